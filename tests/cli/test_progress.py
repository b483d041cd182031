"""What is shown of something countable while it goes on."""

from __future__ import annotations

from bench.cli import progress


def test_a_line_tells_the_time_left_at_the_pace_since_it_was_first_mentioned(monkeypatch, capsys) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    lines = progress.LineProgress()
    for seconds, done in ((100.0, 10), (101.0, 11), (110.0, 20), (111.0, 21), (190.0, 100)):
        now[0] = seconds
        lines.count("clips", done, 100)
    said = capsys.readouterr().err.splitlines()
    assert said == ["clips: 20 of 100, 1m 20s left", "clips: 100 of 100"]


def test_nothing_is_said_of_the_time_left_while_nothing_is_done(monkeypatch, capsys) -> None:
    now = iter([0.0, 0.0, 0.0, 9.0, 9.0, 9.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    lines = progress.LineProgress()
    lines.count("clips", 0, 5)
    lines.count("clips", 0, 5)
    assert capsys.readouterr().err == "clips: 0 of 5\n"
