"""A launcher and a format of an outside plugin, from the command line: pricing and cells go through the launcher."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bench.results.store import Store

TONES = Path(__file__).parents[1] / "execution" / "faulty_plugin.py"
PLUGIN = """
import json
from pathlib import Path

from bench import LauncherSpec, ReporterSpec, hookimpl, supervise

@hookimpl
def bench_add_launchers():
    return [LauncherSpec(name="written", factory=":Written", description="says what it ran")]

@hookimpl
def bench_add_reporters():
    return [ReporterSpec(name="lines", render=":lines", suffix=".json", description="JSON lines")]

class Written:
    def __init__(self, *, log):
        self.log = Path(log)

    def run(self, jobs, on_event, resources):
        with self.log.open("a") as log:
            log.writelines(f"{job.action} {job.cell.kind} {resources.slots} {resources.threads}\\n" for job in jobs)
        supervise(jobs, on_event, resources)

def lines(board):
    rows = [row for section in board.sections for row in section.rows]
    return "".join(json.dumps({"model": row.model.family}) + "\\n" for row in rows).encode()
"""


@pytest.mark.slow
def test_who_runs_cells_and_what_is_written_is_chosen_by_name(
    processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    plugin, log, out = tmp_path / "outside.py", tmp_path / "ran.txt", tmp_path / "out"
    plugin.write_text(PLUGIN)
    command = [
        sys.executable, "-P", "-m", "bench", "run", "--models", "tones.good", "--dataset", "tones", "--recipe", "smoke",
        "--folds", "1", "--plugin", str(TONES), "--plugin", str(plugin), "--out", str(out), "--jobs", "1",
        "--launcher", f"written:log={log}", "--format", "lines,json",
    ]  # fmt: skip
    done = processes.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [record.status for record in Store(out).records()[0]] == ["ok", "ok"]
    ran = [line.split() for line in log.read_text().splitlines()]
    asked = {("estimate", "evaluate"), ("pace", "evaluate"), ("cell", "evaluate"), ("cell", "profile")}
    assert {tuple(words[:2]) for words in ran} == asked
    assert json.loads((out / "leaderboard.lines.json").read_text()) == {"model": "tones"}
    assert json.loads((out / "leaderboard.json.json").read_text())["sections"]
    assert not (out / "leaderboard.md").exists()
    refused = processes.run([*command[:-3], "written"], capture_output=True, text=True, timeout=300)
    assert refused.returncode == 2
    assert "--launcher written: it needs log, given as NAME:log=..." in refused.stderr
