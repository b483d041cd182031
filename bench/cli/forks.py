"""``map`` over several cores, for functions whose arguments are large and whose answers are small."""

from __future__ import annotations

import gc
import itertools
import os
import pickle
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")
MOST, MANY = 4, 1000
"""Processes at most; records from which on a board is made by several."""


def forked_map(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """What ``function`` makes of each item, in their order; forks of this process take their share of the items.

    A fork that does not come to its end is nobody's fault here: its share is made by this process, which then meets
    whatever stopped it. Where there is one core, a thread or no ``fork``, this process makes all of them.
    """
    count = min(MOST, len(items), len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1)
    if count < 2 or threading.active_count() > 1:
        return [function(item) for item in items]
    _flush()  # what is printed already is no fork's
    gc.freeze()  # collections leave the pages that all of them share alone
    ends = [len(items) * share // count for share in range(count + 1)]
    shares = [_Share(function, items[start:end]) for start, end in itertools.pairwise(ends[1:])]
    try:
        made = [function(item) for item in items[: ends[1]]]
        return made + [answer for share in shares for answer in share.answers()]
    finally:
        gc.unfreeze()
        for share in shares:
            share.close()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


class _Share:
    """Items that a fork of this process works on."""

    def __init__(self, function: Callable[[Any], Any], items: Sequence[Any]) -> None:
        self._function, self._items = function, items
        source, sink = os.pipe()
        self._child = os.fork()
        if not self._child:
            try:
                os.close(source)
                answers = pickle.dumps([function(item) for item in items], pickle.HIGHEST_PROTOCOL)
                with os.fdopen(sink, "wb") as file:
                    file.write(answers)
                _flush()  # what a plugin has printed
                os._exit(0)
            finally:
                os._exit(1)
        os.close(sink)
        self._source = os.fdopen(source, "rb")

    def answers(self) -> list[Any]:
        """What the fork has made, or what this process makes of the same items."""
        told = self._source.read()
        if self._wait() or not told:
            return [self._function(item) for item in self._items]
        answers: list[Any] = pickle.loads(told)  # of our own fork
        return answers

    def _wait(self) -> int:
        child, self._child = self._child, 0
        return os.waitpid(child, 0)[1]

    def close(self) -> None:
        """Leave no process and no pipe."""
        self._source.close()  # a fork that still writes ends by it
        if self._child:
            self._wait()
