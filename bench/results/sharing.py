"""One run folder for several processes at once, each of which writes the cells of its own shard."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from bench.errors import StoreError


@contextlib.contextmanager
def shard_held(root: Path, index: int, count: int) -> Iterator[None]:
    """Hold shard ``index`` of ``count`` of a run folder, against the same shard and against runs of the whole.

    Raises:
        StoreError: Somebody else has it, or writes the shards of another division.
    """
    folder = root / ".shards"
    folder.mkdir(parents=True, exist_ok=True)
    other = "; wait for it or give --out another folder, and `bench merge` them later"
    with contextlib.ExitStack() as held:
        held.enter_context(_held(root / ".lock", fcntl.LOCK_SH, f"another bench run is writing to {root}{other}"))
        own = folder / f"{index}-of-{count}.lock"
        held.enter_context(_held(own, fcntl.LOCK_EX, f"shard {index}/{count} of {root} runs already{other}"))
        for path in folder.glob("*-of-*.lock"):
            if not path.stem.endswith(f"-of-{count}"):
                shard = path.stem.replace("-of-", "/")
                with _held(path, fcntl.LOCK_SH, f"shard {shard} of {root} runs, of another division{other}"):
                    pass
        yield


@contextlib.contextmanager
def plan_held(root: Path) -> Iterator[None]:
    """Wait until no other shard reads and writes the plan of a run folder."""
    with _held(root / ".shards" / "plan.lock", fcntl.LOCK_EX):
        yield


@contextlib.contextmanager
def _held(path: Path, how: int, busy: str = "") -> Iterator[None]:
    """Hold a lock file; one that is taken is waited for unless there are words for it."""
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, how | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError as error:
            raise StoreError(busy) from error
        yield
