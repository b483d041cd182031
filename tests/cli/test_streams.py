"""Standard output and error that are closed, full or gone: neither a bug of bench nor a failed cell."""

from __future__ import annotations

import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.data.cache import CacheWarning
from bench.results.store import Store

BENCH = f"{sys.executable} -P -m bench"
PLUGIN = Path(__file__).parents[1] / "running" / "contract_plugin.py"


def shell(command: str, **options) -> subprocess.CompletedProcess[str]:
    line = f"set -o pipefail; {command}"
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, timeout=300, **options)


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        (f"exec 9> >(true); wait $!; {BENCH} list models --json >&9", 141, ""),
        (f"{BENCH} list models > /dev/full", 74, "error: standard output cannot be written: No space left on device\n"),
        (f"{BENCH} list models >&-", 0, ""),
        (f"{BENCH} list modes 2> /dev/full", 2, ""),
    ],
)
def test_what_cannot_be_printed_is_lost_without_a_traceback(command: str, status: int, said: str) -> None:
    done = shell(command)
    assert (done.returncode, done.stderr) == (status, said)


def test_a_path_that_the_system_refuses_is_no_bug_of_bench(capsys) -> None:
    assert main(["report", "x" * 300]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: cannot use 'xxx")
    assert said.endswith("xxx...: File name too long\n")


@pytest.mark.filterwarnings("default::bench.data.cache.CacheWarning")
def test_a_warning_of_bench_is_a_note_and_any_other_has_its_place(monkeypatch, capsys) -> None:
    def warned(_: object) -> int:
        warnings.warn("the cache is damaged", CacheWarning, stacklevel=2)
        warnings.warn("other", UserWarning, stacklevel=2)
        return 0

    monkeypatch.setattr("bench.__main__._execute", warned)
    with pytest.warns(UserWarning, match="other"):
        assert main([]) == 0
    assert capsys.readouterr().err == "note: the cache is damaged\n"


@pytest.mark.slow
def test_a_run_whose_reader_has_gone_writes_all_its_results(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    run = (
        f"{BENCH} run --models does.good --dataset beats --folds 1,2 --recipe smoke --no-profile --jobs 1 "
        f"--set recipe.budget_seconds=none --plugin {PLUGIN} --format csv"
    )
    for name, ending, status in (
        ("gone", "2>&1 | true", 141),
        ("full", "> /dev/full 2>&1", 74),
        ("shut", ">&- 2>&-", 0),
    ):
        done = shell(f"{run} --out {tmp_path / name} {ending}")
        assert (done.returncode, done.stdout, done.stderr) == (status, "", "")
        assert [record.status for record in Store(tmp_path / name).records()[0]] == ["ok", "ok"]
        assert (tmp_path / name / "leaderboard.csv").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_told_to_stop_says_how_to_go_on(tmp_path: Path, monkeypatch, number: signal.Signals) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    command = [
        sys.executable, "-P", "-m", "bench", "run", "--models", "does.ignores", "--dataset", "beats", "--folds", "1",
        "--recipe", "smoke", "--no-profile", "--jobs", "1", "--plugin", str(PLUGIN), "--timeout", "600",
        "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    before = signal.signal(number, signal.SIG_DFL)  # what runs under nohup hands down that it is ignored
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    signal.signal(number, before)
    with process:
        assert process.stderr is not None
        next(line for line in process.stderr if line.startswith("plan: 1 cells to run"))
        process.send_signal(number)
        said = process.stderr.read()
    assert process.returncode == 130
    assert "the same command runs the rest" in said
    assert "Traceback" not in said
    assert [record.status for record in Store(tmp_path / "out").records()[0]] in ([], ["cancelled"])


def test_the_program_ends_with_what_was_registered_for_its_end() -> None:
    """It skips the end of the interpreter: threads are waited for, buffers written, the status is the verb's."""
    code = """
import atexit, threading, time
import bench.__main__ as program
def main():
    atexit.register(print, "registered")
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
    print("said", end="")
    return 3
program.main = main
program.run()
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "saidthread\nregistered\n", "")
