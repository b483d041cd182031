"""Data as the process that fits may see them: another process loads, divides and masks them, and stays between.

A loaded data set holds every target, and so may what it calls for its pictures. The process that fits gets the targets
of its training and validation clips, files to map, and pictures for the asking. Its logits are scored by the host.

This stops mistakes and short cuts, not a plugin that means to cheat: what it writes to disk in one cell, and reads in
another one that trains without those clips, nobody sees. Folds that are trained as one network, which somebody
has to ask for, share a process, where one trains on what another is tested on; see :mod:`bench.execution.together`.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle
import traceback
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import IO, Any, NoReturn

import numpy as np
import numpy.typing as npt

from bench.cell import parse_inputs
from bench.clips import reworded, veiled
from bench.errors import DataError
from bench.execution.opening import Opened, open_data, split_for
from bench.job import Job
from bench.plugins.registry import Registry
from bench.protocols.groups import units, untrained
from bench.protocols.split import Split

Images = Callable[[Any], npt.NDArray[np.float32]]


def open_sealed(registry: Registry, job: Job) -> tuple[Opened, Split]:
    """The data of an evaluate cell without the targets of its test clips, and their division.

    What the data set or the protocol raises is raised here too.
    """
    keeper = _Keeper(registry, job)
    opened, split, pictures = keeper.answer()
    if pictures:
        opened = replace(opened, clips=replace(opened.clips, images=keeper.images))
    return opened, split


def masked(opened: Opened, split: Split, job: Job) -> Opened:
    """The data with no target but those of training and validation: -1, or NaN for several labels, elsewhere.

    What could give targets away and no model asked for is left out too: groups, texts, what is called for samples, and
    names, which hold the label in many data sets (``dog/1.wav``): those of other clips are :func:`bench.clips.veiled`,
    in what is said of their decoding too.
    """
    clips, waveforms = opened.clips, opened.waveforms
    shown = np.concatenate([split.train, split.validation])
    targets = np.full_like(clips.targets, -1 if clips.targets.ndim == 1 else np.nan)
    targets[shown] = clips.targets[shown]
    named = {*shown.tolist(), *np.flatnonzero(~clips.known).tolist()}
    ids = tuple(name if row in named else veiled(name) for row, name in enumerate(clips.ids))
    texts = clips.texts if "text" in parse_inputs(job.cell.inputs) else None
    said = untrained(clips, split.train, split.test)
    notes = (*clips.notes, *([f"fold {job.cell.fold}: {said}"] if said else []))
    if waveforms is not None:
        called = dict(zip(clips.ids, ids, strict=True))
        waveforms = replace(waveforms, report=reworded(waveforms.report, lambda name: called.get(name, name)))
    groups = units(clips)
    if groups is not None:  # which training clips belong together is theirs; numbers, since names may hold labels
        numbers = {name: str(number) for number, name in enumerate(dict.fromkeys(groups[row] for row in shown))}
        trained = set(shown.tolist())
        groups = tuple(numbers[name] if row in trained else "" for row, name in enumerate(groups))
    clips = replace(
        clips, ids=ids, targets=targets, notes=notes, groups=groups, recordings=None, copies=None, texts=texts,
        audio=None, images=None, listed_bad=(),
    )  # fmt: skip
    return Opened(clips=clips, waveforms=waveforms)


class _Keeper:
    """A child of this process that opens the data of a job; it lives on as long as it has pictures to give."""

    def __init__(self, registry: Registry, job: Job) -> None:
        (asked, ask), (said, say) = os.pipe(), os.pipe()
        child = os.fork()
        if not child:
            os.close(ask)
            os.close(said)
            with os.fdopen(asked, "rb") as questions, os.fdopen(say, "wb") as answers:
                _keep(registry, job, questions, answers)
        os.close(asked)
        os.close(say)
        self._questions, self._answers = os.fdopen(ask, "wb"), os.fdopen(said, "rb")
        self._end = weakref.finalize(self, _bury, child, self._questions, self._answers)

    def answer(self) -> Any:
        """The next thing that the child says; what it raised is raised."""
        try:
            value, error, trace = pickle.load(self._answers)
        except EOFError:
            self._end()
            raise DataError("the process that reads the data set ended before its time; see the log") from None
        if error is None:
            return value
        kind, arguments, attributes = error
        raised = kind.__new__(kind, *arguments)
        raised.args = arguments
        raised.__dict__.update(attributes)
        raise raised from _ElsewhereError(trace)

    def images(self, indices: Any) -> npt.NDArray[np.float32]:
        """What the data set's own ``images`` gives."""
        with contextlib.suppress(BrokenPipeError):
            pickle.dump(np.asarray(indices), self._questions)
            self._questions.flush()
        found: npt.NDArray[np.float32] = self.answer()
        return found


class _ElsewhereError(Exception):
    """A traceback of another process."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class _Pickler(pickle.Pickler):
    """A whole memory map travels as its file."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is np.memmap and isinstance(value.base, mmap.mmap):
            return np.memmap, (value.filename, value.dtype, "r", value.offset, value.shape)
        return NotImplemented


def _keep(registry: Registry, job: Job, questions: IO[bytes], answers: IO[bytes]) -> NoReturn:
    """The life of the child: say what was opened, then answer for pictures until nobody asks any more."""

    def say(value: Any, error: Any = None, trace: str = "") -> None:
        _Pickler(answers, pickle.HIGHEST_PROTOCOL).dump((value, error, trace))
        answers.flush()

    try:
        opened = open_data(registry, job)
        split, images = split_for(registry, opened.clips, job), opened.clips.images
        ways = parse_inputs(job.cell.inputs).get("image")
        pictures = images is not None and ways is not None and "derived" not in ways
        say((masked(opened, split, job), split, pictures))
        while pictures and images is not None:
            say(images(pickle.load(questions)))
    except (EOFError, BrokenPipeError):
        pass
    except BaseException as error:  # noqa: BLE001  a plugin may raise anything; whoever waits is told
        say(None, _portable(error), "".join(traceback.format_exception(error)))
    finally:
        os._exit(0)


def _portable(error: BaseException) -> tuple[type[BaseException], tuple[Any, ...], dict[str, Any]]:
    """What an exception is rebuilt from in another process; one that does not travel is told in words."""
    parts = type(error), error.args, error.__dict__
    try:
        pickle.dumps(parts)
    except Exception:  # noqa: BLE001  whatever it holds
        return RuntimeError, (f"{type(error).__name__}: {error}",), {}
    return parts


def _bury(child: int, *streams: IO[bytes]) -> None:
    """Nobody asks any more: the child ends, and so does what is kept of it."""
    for stream in streams:
        with contextlib.suppress(OSError):
            stream.close()
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)
