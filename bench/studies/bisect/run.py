"""Git's bisection in a worktree of its own, each step judged by ``bench gate --against GOOD``; it can go on later."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import bench
from bench.errors import BenchError, NoCellError, SelectionError, did_you_mean, short
from bench.studies.gate.revisions import RevisionError, find_revisions

Answer = Literal["good", "bad", "skip"]
GOOD, BAD = frozenset({"ok", "improved"}), "regression"
"""Statuses of findings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One commit, judged against the good one.

    Attributes:
        finding: As the gate wrote it, of the row that is worst; ``None`` where nothing was measured.
        said: In words.
    """

    commit: str
    answer: Answer
    finding: dict[str, Any] | None
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is looked for.

    Attributes:
        good: Commit.
        bad: A later one.
        metric: Name of a quantity or score in verdicts of the gate.
        options: Of ``bench gate``, besides ``--against``.
    """

    good: str
    bad: str
    metric: str
    options: tuple[str, ...] = ()

    @classmethod
    def of(cls, good: str, bad: str, metric: str, options: Sequence[str], here: Path) -> Question:
        """Names of revisions become commits; refused are those that git does not know, or not in this order."""
        commits = [find_revisions(name, here).base for name in (good, bad)]
        if commits[0] not in git(here, "rev-list", commits[1]).split()[1:]:
            raise SelectionError(f"{short(good)} does not lie before {short(bad)}; give an older commit of its history")
        return cls(good=commits[0], bad=commits[1], metric=metric, options=tuple(options))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What bisection found.

    Attributes:
        suspects: The first bad commit; several where those between could not be judged.
        first: The step of the last of them, which is bad.
        steps: All that was measured, in its order.
    """

    suspects: tuple[str, ...]
    first: Step
    steps: tuple[Step, ...] = field(default=())


def bisect(question: Question, here: Path, told: Callable[[Step], None]) -> Found:
    """The first commit in which the metric is worse than tolerated.

    Steps are kept in the repository's git folder: the same question goes on where it was interrupted. What was not
    resolved is measured again.

    Raises:
        NoCellError: The bad commit is not worse, by what the gate resolves.
        BenchError: The gate refuses.
    """
    home = Path(git(here, "rev-parse", "--path-format=absolute", "--git-common-dir")) / "bench-bisect"
    home /= hashlib.sha256(json.dumps(asdict(question)).encode()).hexdigest()[:12]
    home.mkdir(parents=True, exist_ok=True)
    kept = home / "steps.jsonl"
    lines = kept.read_text(encoding="utf-8").splitlines() if kept.is_file() else []
    read = filter(None, map(_read, lines))
    steps = {step.commit: step for step in read if step.answer != "skip" or step.finding is None}

    with _worktree(here, home / "tree", question.bad) as (tree, folder):

        def judge(commit: str) -> Step:
            if commit not in steps:
                steps[commit] = _gated(commit, question, folder, home, _moved(here, tree))
                with kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(steps[commit])) + "\n")
                told(steps[commit])
            return steps[commit]

        last = judge(question.bad)
        if last.answer != "bad":
            raise NoCellError(
                f"{question.bad[:12]} is not worse than {question.good[:12]}, nothing to bisect: {last.said}"
            )
        git(tree, "bisect", "start", question.bad, question.good)
        while True:
            worst = git(tree, "rev-parse", "refs/bisect/bad")
            left = git(tree, "rev-list", worst, "--not", "--glob=refs/bisect/good-*").split()
            if all(commit == worst or (commit in steps and steps[commit].answer == "skip") for commit in left):
                return Found(suspects=tuple(reversed(left)), first=steps[worst], steps=tuple(steps.values()))
            step = judge(git(tree, "rev-parse", "HEAD"))
            with contextlib.suppress(BenchError):  # git's status where all that is left was skipped
                git(tree, "bisect", step.answer)


def git(folder: Path, *words: str) -> str:
    """What git prints; what it complains of is raised."""
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(done.stderr.strip() or f"git {words[0]} ended with status {done.returncode}")
    return done.stdout.strip()


@contextlib.contextmanager
def _worktree(here: Path, tree: Path, commit: str) -> Iterator[tuple[Path, Path]]:
    """A second working tree, and the folder in it that ``here`` is in the first one."""
    inside = here.resolve().relative_to(Path(git(here, "rev-parse", "--show-toplevel")).resolve())
    git(here, "worktree", "prune")
    if tree.is_dir():  # of an interruption
        git(here, "worktree", "remove", "--force", str(tree))
    git(here, "-c", "core.hooksPath=/dev/null", "worktree", "add", "--force", "--detach", str(tree), commit)
    try:
        yield tree, tree / inside
    finally:
        git(here, "worktree", "remove", "--force", str(tree))


def _moved(here: Path, tree: Path) -> Callable[[str], str]:
    """Absolute paths of the repository, as the worktree has them; those of this program stay."""
    top = Path(git(here, "rev-parse", "--show-toplevel")).resolve()
    own = Path(bench.__file__).resolve().is_relative_to(top)

    def moved(word: str) -> str:
        path = Path(word)
        inside = path.is_absolute() and path.is_relative_to(top) and not own
        return str(tree / path.relative_to(top)) if inside else word

    return moved


def _gated(commit: str, question: Question, folder: Path, home: Path, moved: Callable[[str], str]) -> Step:
    """The worktree's commit against the good one."""
    verdict = home / "verdict.json"
    verdict.unlink(missing_ok=True)
    gate = [sys.executable, "-P", "-m", "bench", "gate", "--against", question.good, "--json", str(verdict)]
    command = [*gate, "--out", str(home / "measured"), *map(moved, question.options)]  # outside the working tree
    paths = os.environ.get("PYTHONPATH")
    found = os.environ | ({"PYTHONPATH": os.pathsep.join(map(moved, paths.split(os.pathsep)))} if paths else {})
    done = subprocess.run(command, cwd=folder, env=found, capture_output=True, text=True, check=False)
    if done.returncode == RevisionError.exit_code:
        return Step(commit=commit, answer="skip", finding=None, said=_tail(done.stderr))
    if not verdict.is_file():
        raise BenchError(f"the gate of {commit[:12]} ended with status {done.returncode}: {_tail(done.stderr)}")
    return judged(commit, json.loads(verdict.read_text(encoding="utf-8"))["findings"], question.metric)


def judged(commit: str, findings: Sequence[Mapping[str, Any]], metric: str) -> Step:
    """What a verdict says of one metric: bad where any row is worse, good where all are not, else skipped.

    Raises:
        SelectionError: No row has the metric.
    """
    named = [dict(one) for one in findings if one["quantity"] in (metric, "all")]
    if not named:
        raise SelectionError(
            f"no row has {short(metric)}: {did_you_mean(metric, {one['quantity'] for one in findings})}"
        )
    worse = [one for one in named if one["status"] == BAD]
    unclear = [one for one in named if one["status"] not in GOOD]
    shown = (worse or unclear or named)[0]
    answer: Answer = "bad" if worse else "skip" if unclear else "good"
    return Step(commit=commit, answer=answer, finding=shown, said=ratio(shown))


def ratio(finding: Mapping[str, Any]) -> str:
    """Row, status and how many times the good commit's value it is, with the interval."""
    said = f"{finding['quantity']} of {finding['row']} {finding['status']}"
    base, change = finding["baseline"], finding["change"]
    if change is None or not base:
        return f"{said}{': ' + finding['reason'] if finding['reason'] else ''}"
    scale = 1.0 if finding["relative"] else abs(base)
    ends = [finding[name] for name in ("low", "high")]
    between = "" if None in ends else " [{}, {}]".format(*(f"{1 + end / scale:.4g}" for end in ends))
    return f"{said}, {1 + change / scale:.4g}{between} times that of the good commit"


def _tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-8:]) or "it said nothing"


def _read(line: str) -> Step | None:
    """A kept step; a line that an interruption cut is none."""
    try:
        return Step(**json.loads(line))
    except (ValueError, TypeError):
        return None
