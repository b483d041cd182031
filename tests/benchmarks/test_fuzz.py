"""Every reader against a few damaged contents, the same ones each time; ``tox -e fuzz`` tries a hundred thousand."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(BENCHMARKS)
    from fuzz import data, models, results, words
    from fuzz.blocks import READ, REFUSED, EscapeError, Reader, case, outcome, run

READERS = {
    one.name: one
    for one in (*results.readers(), *data.readers(), *words.readers(), *models.readers())
    if not one.name.startswith(("references", "front-end"))  # these import transformers and matplotlib
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", READERS)
@settings(derandomize=True, max_examples=8)
@given(number=st.integers(0, 10**9))
def test_a_damaged_content_is_read_or_refused(name: str, number: int) -> None:
    reader = READERS[name]
    damaged, whole = case(reader, 0, number, reader.samples())
    with tempfile.TemporaryDirectory() as folder:
        found = outcome(reader, damaged, whole, Path(folder))
    assert found in (READ, REFUSED), f"python benchmarks/fuzz --reader '{name}' --case {number}"


@pytest.mark.parametrize("name", READERS)
def test_a_whole_content_is_read(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    whole = reader.samples()[0]
    assert outcome(reader, whole, whole, tmp_path) in ({READ} if reader.sound else {READ, REFUSED})


class Broken(Exception):
    pass


def fails(content: bytes, _: Path, __: bytes) -> None:
    """A reader with every fault that is counted."""
    match content[0]:
        case 1:
            raise ValueError("no clean error")
        case 2:
            raise EscapeError("another value")
        case 3:
            import os

            os.kill(os.getpid(), 9)
        case 4:
            while True:
                pass
        case 5:
            raise SystemExit(0)
        case 6:
            raise Broken("")


def test_what_escapes_is_counted_also_where_it_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.blocks.SECONDS", 0.2)
    reader = Reader(
        name="broken",
        samples=lambda: [b"\0"],
        damage=lambda rng, _: bytes([rng.randrange(8)]),
        read=fails,
        errors=(Broken,),
    )
    counts = run(reader, 40, 0)
    kinds = {name.partition(" at ")[0] for name in counts.escapes}
    assert kinds == {
        "ValueError", "EscapeError: another value", "the process ended with -9", "more than 0.2 s", "SystemExit",
        "a message of 0 characters",
    }  # fmt: skip
    assert counts.cases == 40
    assert counts.escaped == sum(map(len, counts.escapes.values()))
