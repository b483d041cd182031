"""Bisection over a small repository, judged by a gate that reads a file instead of measuring."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from bench.errors import BenchError, NoCellError, SelectionError
from bench.studies.bisect import run
from bench.studies.bisect.run import Question, bisect, judged

WHO = {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
GATE = """
import json, pathlib, sys
words = dict(zip(sys.argv[2::2], sys.argv[3::2]))
place = pathlib.Path(words["--plugin"])
pathlib.Path(words["--out"]).mkdir(exist_ok=True)
assert place.parents[1] not in pathlib.Path(words["--out"]).parents, "results would count as a change"
cost = (place.parent / "cost").read_text()
with open(words["--log"], "a") as log:
    log.write(cost + "\\n")
if cost == "broken":
    print("cannot be installed", file=sys.stderr)
    raise SystemExit(5)
if cost == "wrong":
    print("error: --minutes 0", file=sys.stderr)
    raise SystemExit(2)
status = {"5": "ok", "9": "regression"}.get(cost, "not_resolvable")
change = 0.8 if cost == "9" else 0.0
finding = {"row": "r", "quantity": "latency", "status": status, "baseline": 5.0, "candidate": 9.0, "change": change,
           "low": change - 0.1, "high": change + 0.1, "relative": True, "reason": "looks"}
pathlib.Path(words["--json"]).write_text(json.dumps({"findings": [finding, finding | {"quantity": "flops"}]}))
raise SystemExit(3 if status == "regression" else 0)
"""


class Repository:
    def __init__(self, root: Path, costs: list[str]) -> None:
        self.root, self.log = root / "work", root / "log"
        (self.root / "part").mkdir(parents=True)
        self.git("init", "-q")
        self.commits = []
        for cost in costs:
            (self.root / "part" / "cost").write_text(cost)
            (self.root / "part" / "model.py").write_text(f"# {len(self.commits)}")
            self.git("add", "-A")
            self.git("commit", "-q", "-m", f"cost {cost}")
            self.commits.append(self.git("rev-parse", "HEAD"))

    def git(self, *words: str) -> str:
        command = ["git", "-C", str(self.root), *words]
        return subprocess.run(command, env=os.environ | WHO, capture_output=True, text=True, check=True).stdout.strip()

    def question(self, metric: str = "latency") -> Question:
        options = ("--plugin", str(self.root / "part" / "model.py"), "--log", str(self.log))
        return Question.of(self.commits[0], "HEAD", metric, options, self.root / "part")

    def bisect(self, metric: str = "latency"):
        return bisect(self.question(metric), self.root / "part", lambda step: None)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Commits with the costs given; a cost of 5 is good, 9 bad, others are not resolved, broken or wrong."""
    package = tmp_path / "program" / "bench"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(GATE)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    return lambda *costs: Repository(tmp_path, [*costs])


def test_the_first_bad_commit_is_found_in_a_worktree_and_nothing_else_is_touched(repository) -> None:
    repo = repository("5", "5", "5", "5", "9", "9", "9")
    (repo.root / "part" / "cost").write_text("being edited")
    found = repo.bisect()
    assert found.suspects == (repo.commits[4],)
    assert found.first.said == "latency of r regression, 1.8 [1.7, 1.9] times that of the good commit"
    assert len(found.steps) <= 4
    assert (repo.root / "part" / "cost").read_text() == "being edited"
    assert len(repo.git("worktree", "list").splitlines()) == 1
    assert repo.git("rev-parse", "HEAD") == repo.commits[-1]


def test_an_interrupted_search_goes_on_and_measures_nothing_twice(repository, monkeypatch) -> None:
    repo = repository("5", "5", "5", "9", "9", "9", "9", "9")
    real, calls = run._gated, []

    def interrupted(*given):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(given)
        return real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(run, "_gated", interrupted)
        with pytest.raises(KeyboardInterrupt):
            repo.bisect()
    (kept,) = (repo.root / ".git" / "bench-bisect").glob("*/steps.jsonl")
    kept.write_text(kept.read_text() + '{"commit": "cut in the mid')
    kept.write_text(kept.read_text() + "\n")
    assert repo.bisect().suspects == (repo.commits[3],)
    measured = repo.log.read_text().splitlines()
    assert repo.bisect().suspects == (repo.commits[3],)
    assert repo.log.read_text().splitlines() == measured
    whole = [line for line in kept.read_text().splitlines() if line.endswith("}")]
    assert len(measured) == len(whole) == len({json.loads(line)["commit"] for line in whole}) == 3


def test_what_was_not_resolved_is_measured_again_when_asked_again(repository) -> None:
    repo = repository("5", "7")
    for _ in range(2):
        with pytest.raises(NoCellError, match="nothing to bisect"):
            repo.bisect()
    assert repo.log.read_text().split() == ["7", "7"]


@pytest.mark.parametrize("middle", ["7", "broken"])
def test_what_cannot_be_judged_is_skipped_and_named_where_it_may_be_the_one(repository, middle) -> None:
    repo = repository("5", "5", middle, middle, "9", "9")
    assert repo.bisect().suspects == tuple(repo.commits[2:5])


def test_without_a_regression_there_is_nothing_to_bisect(repository) -> None:
    repo = repository("5", "5", "5")
    with pytest.raises(NoCellError, match="is not worse than"):
        repo.bisect()


def test_names_are_checked_before_anything_is_measured(repository) -> None:
    repo = repository("5", "9")
    with pytest.raises(SelectionError, match="'v0': git knows no such commit"):
        Question.of("v0", "HEAD", "latency", (), repo.root)
    with pytest.raises(SelectionError, match="does not lie before"):
        Question.of("HEAD", repo.commits[0], "latency", (), repo.root)
    with pytest.raises(SelectionError, match="did you mean 'latency'"):
        repo.bisect("latncy")


def test_a_gate_that_refuses_ends_the_search_with_its_words(repository) -> None:
    with pytest.raises(BenchError, match="ended with status 2: error: --minutes 0"):
        repository("5", "wrong").bisect()


def test_one_row_that_is_worse_makes_a_commit_bad_whatever_the_others_are() -> None:
    finding = {
        "row": "a",
        "quantity": "latency",
        "status": "ok",
        "baseline": 1.0,
        "change": None,
        "reason": "",
        "relative": True,
    }
    rows = [finding | {"row": str(i), "status": status} for i, status in enumerate(["ok", "vanished", "regression"])]
    assert judged("c", rows, "latency").answer == "bad"
    assert judged("c", rows[:2], "latency").answer == "skip"
    assert judged("c", rows[:1], "latency").answer == "good"
    gone = finding | {"quantity": "all", "status": "vanished", "reason": "not in the results"}
    assert judged("c", [gone], "latency").said == "all of a vanished: not in the results"
