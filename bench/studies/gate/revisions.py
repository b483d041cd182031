"""Two revisions of a repository side by side: checked out, installed, and told apart."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from bench.data.cache import cache_root
from bench.errors import BenchError, SelectionError, did_you_mean, short

TAIL_LINES = 30
INSTEAD = "or measure both yourself and compare the runs: `bench gate BASE RESULTS`"


class RevisionError(BenchError):
    """A revision that cannot be installed or measured."""

    exit_code = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Revisions:
    """What is compared with what.

    Attributes:
        root: Top of the repository.
        project: Folder of what is installed, relative to ``root``; ``None`` where nothing is, as with plain files.
        ref: As it was typed.
        base: Its commit.
        head: Commit that is checked out.
        changed: Files that differ from ``head``, untracked ones included.
    """

    root: Path
    project: Path | None
    ref: str
    base: str
    head: str
    changed: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether both sides are one revision."""
        return self.base == self.head and not self.changed

    @property
    def candidate(self) -> str:
        """In words."""
        files = f", {len(self.changed)} files changed" if self.changed else ""
        return f"{self.head[:12]}{files.replace('1 files', '1 file')}"


def find_revisions(ref: str, start: Path) -> Revisions:
    """The repository around ``start`` and what ``ref`` means there.

    Raises:
        SelectionError: No git, no repository, no such revision, or a clone without it.
    """
    if shutil.which("git") is None:
        raise SelectionError(f"--against {short(ref)}: git is not installed; install it, {INSTEAD}")
    top = _git(start, "rev-parse", "--show-toplevel")
    head = _git(start, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if top is None or head is None:
        what = "no git repository" if top is None else "no commit yet"
        raise SelectionError(f"--against {short(ref)}: {what} in {start}; go to the repository to be gated, {INSTEAD}")
    base = _git(start, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if base is None and _git(start, "rev-parse", "--is-shallow-repository") == "true":
        raise SelectionError(
            f"--against {short(ref)}: this clone is shallow and does not hold it; `git fetch --unshallow`, or in a "
            "workflow `fetch-depth: 0` for actions/checkout, `GIT_DEPTH: 0` for GitLab"
        )
    if base is None:
        known = (_git(start, "for-each-ref", "--format=%(refname:short)", "--count=500") or "").splitlines()
        raise SelectionError(
            f"--against {short(ref)}: git knows no such commit, branch or tag here; {did_you_mean(ref, known)} "
            "A branch of the server has to be fetched first: `git fetch origin NAME`, then --against origin/NAME"
        )
    root = Path(top)
    changed = (_git(root, "status", "--porcelain", "--untracked-files=normal") or "").splitlines()
    folders = [folder for folder in (start, *start.parents) if folder == root or root in folder.parents]
    project = next((folder for folder in folders if _installable(folder)), None)
    return Revisions(
        root=root, project=None if project is None else project.relative_to(root), ref=ref, base=base, head=head,
        changed=tuple(line.strip() for line in changed),
    )  # fmt: skip


def _installable(folder: Path) -> bool:
    if (folder / "setup.py").is_file():
        return True
    with contextlib.suppress(OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        content = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        return bool(content.keys() & {"project", "build-system"})
    return False


def _git(folder: Path, *words: str, variables: Mapping[str, str] | None = None) -> str | None:
    command, env = ["git", "-C", str(folder), *words], {**os.environ, **(variables or {})}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    return done.stdout.strip() if done.returncode == 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """One revision on disk.

    Attributes:
        root: What stands for the repository's top.
        installed: Folder that its distribution was installed into, ``None`` where nothing was.
    """

    root: Path
    installed: Path | None = None

    def place(self, path: Path, repository: Path) -> Path:
        """The same place in this revision; what lies outside the repository stays where it is."""
        path = path.absolute()
        return self.root / path.relative_to(repository) if repository in (path, *path.parents) else path

    def environment(self, repository: Path) -> dict[str, str]:
        """Variables in which this revision is imported, empty where nothing needs to be changed."""
        before = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
        after = [str(self.place(Path(part), repository)) for part in before]
        if self.installed is not None:
            after.insert(0, str(self.installed))
        return {"PYTHONPATH": os.pathsep.join(after)} if after != before else {}


def prepare_trees(revisions: Revisions) -> tuple[Tree, Tree]:
    """Base and candidate, ready to be imported; what was prepared before is found in the cache folder.

    Both are treated in the same way, down to the length of their paths, which moves what a process has in memory. They
    are installed without what they depend on: torch and all else are those of this environment.

    Raises:
        RevisionError: Git cannot check it out, or it cannot be installed.
    """
    name = hashlib.sha256(str(revisions.root).encode()).hexdigest()[:12]
    home = cache_root() / "gate" / f"{name}-{sys.implementation.cache_tag}"
    with _alone(home):
        base = _checked_out(revisions, revisions.base, home)
        new = _checked_out(revisions, _as_commit(revisions, home) if revisions.changed else revisions.head, home)
        if revisions.project is None:
            return Tree(root=base), Tree(root=new)
        return (
            Tree(root=base, installed=_installed(base / revisions.project, f"the base revision {revisions.ref}")),
            Tree(root=new, installed=_installed(new / revisions.project, "the candidate")),
        )


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _checked_out(revisions: Revisions, commit: str, home: Path) -> Path:
    tree = home / commit[:16]
    done = tree.with_suffix(".checked-out")
    if not done.is_file():
        _git(revisions.root, "worktree", "prune")
        shutil.rmtree(tree, ignore_errors=True)
        words = ["-c", "core.hooksPath=/dev/null", "worktree", "add", "--force", "--detach", str(tree), commit]
        _run(["git", "-C", str(revisions.root), *words], f"{revisions.ref} could not be checked out")
        done.touch()
    return tree


def _as_commit(revisions: Revisions, home: Path) -> str:
    """The files as they stand, untracked ones included, as a commit that no branch knows."""
    author = {f"GIT_{who}_{what}": "bench@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    dates = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), "2000-01-01T00:00:00Z")
    own = author | dates | {"GIT_INDEX_FILE": str(home / "index")}
    for words in (["read-tree", revisions.head], ["add", "--all"]):
        _run(["git", "-C", str(revisions.root), *words], "the files of the candidate cannot be read by git", own)
    tree = _git(revisions.root, "write-tree", variables=own) or ""
    return _git(revisions.root, "commit-tree", tree, "-p", revisions.head, "-m", "as it stands", variables=own) or ""


def _installed(project: Path, what: str) -> Path:
    """The folder that a project is installed into: with the build tools of this environment, else with its own."""
    target = project.parent / f"{project.name}.installed"
    done = target.with_suffix(".complete")
    if done.is_file():
        return target
    if uv := shutil.which("uv"):
        command = [uv, "pip", "install", "--python", sys.executable]
    elif any(True for _ in distributions(name="pip")):  # to look for the module has setuptools step back for good
        command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    else:
        raise RevisionError(f"{what} cannot be installed: neither uv nor pip is here; `python -m ensurepip`, {INSTEAD}")
    command += ["--no-deps", "--target", str(target)]
    for options in (["--no-build-isolation"], []):
        shutil.rmtree(target, ignore_errors=True)
        try:
            _run([*command, *options, str(project)], f"{what} cannot be installed")
        except RevisionError:
            if not options:
                raise
        else:
            break
    done.touch()
    return target


def _run(command: Sequence[str], problem: str, variables: Mapping[str, str] | None = None) -> None:
    env = {**os.environ, **(variables or {})}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=env)
    if done.returncode:
        tail = "\n".join(f"  {line}" for line in done.stdout.strip().splitlines()[-TAIL_LINES:])
        raise RevisionError(f"{problem} ({command[0]} ended with status {done.returncode}):\n{tail}\n{INSTEAD}")
