"""Cases in forked blocks: what a reader does with a case is counted, also where it ends the process that runs it."""

from __future__ import annotations

import contextlib
import mmap
import os
import resource
import shutil
import signal
import struct
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TextIO

from bench.data.cache import CacheWarning
from bench.errors import BenchError

BLOCK = 500
"""Cases of one child."""
SECONDS = 4.0
"""Of processor time that a case may take."""
SILENT_SECONDS = 300.0
"""Without a case that ended, after which a child waits for something that does not come."""
MIB = 1 << 20
MEMORY = 1024 * MIB
"""That a case may take beyond what the block began with."""
LONGEST = 50_000
"""Characters of a message; the longest words that are tried have 20 000."""
READ, REFUSED = "read", "refused"


class EscapeError(Exception):
    """A reader gave another value than it may."""


class _SlowError(BaseException):
    """A case took too long."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """One way by which something from outside comes in.

    Attributes:
        name: In the table.
        samples: Valid contents, made once.
        damage: What happens to one of them.
        read: Reads and uses a damaged content in an empty folder; it is handed the undamaged one too. It raises
            :class:`EscapeError` for a value that it should not have got.
        errors: What it may raise.
        share: Of all cases, relative to the others.
        sound: Whether the samples are read where nothing happened to them.
    """

    name: str
    samples: Callable[[], Sequence[Any]]
    damage: Callable[[Random, Any], Any]
    read: Callable[[Any, Path, Any], object]
    errors: tuple[type[Exception], ...] = (BenchError,)
    share: float = 1.0
    sound: bool = True


@dataclass(kw_only=True)
class Counts:
    """What became of the cases of one reader: how many were read, refused, or escaped; the first of each kind."""

    cases: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    escapes: dict[str, list[int]] = field(default_factory=dict)

    @property
    def escaped(self) -> int:
        """Cases that were neither read nor refused."""
        return self.cases - self.outcomes[READ] - self.outcomes[REFUSED]


def case(reader: Reader, seed: int, number: int, samples: Sequence[Any]) -> tuple[Any, Any]:
    """The damaged and the whole content of one case; one in fifty is left whole."""
    rng = Random(f"{seed} {reader.name} {number}")
    whole = samples[number % len(samples)]
    return (whole if rng.random() < 0.02 else reader.damage(rng, whole)), whole


def outcome(reader: Reader, damaged: Any, whole: Any, folder: Path) -> str:
    """What a reader does with a content: ``read``, ``refused``, or how it escaped."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            reader.read(damaged, folder, whole)
        except reader.errors as error:
            said = str(error)
            if damaged is whole and reader.sound:
                return f"refused undamaged: {said[:200]}"
            found = REFUSED if 0 < len(said) <= LONGEST else f"a message of {len(said)} characters"
        except Exception as error:  # noqa: BLE001  that is what is looked for
            return _place(error)
        else:
            found = READ
    noise = next((one for one in caught if not issubclass(one.category, CacheWarning)), None)
    return found if noise is None else f"warns: {noise.category.__name__}: {str(noise.message)[:80]}"


def _place(error: BaseException) -> str:
    """The kind of an exception, and the innermost line of ours that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [one for one in frames if "/fuzz/" not in one.filename and "/lib/python" not in one.filename]
    last = (ours or frames)[-1]
    said = f": {error}" if isinstance(error, EscapeError) else ""
    return f"{type(error).__name__}{said} at {'/'.join(Path(last.filename).parts[-2:])}:{last.lineno}"


def run(reader: Reader, cases: int, seed: int) -> Counts:
    """Run cases 0 to ``cases`` of one reader."""
    counts = Counts()
    samples = reader.samples()
    start = _processor_seconds()
    while counts.cases < cases:
        _block(reader, samples, range(counts.cases, min(counts.cases + BLOCK, cases)), seed, counts)
    counts.seconds = _processor_seconds() - start
    return counts


def _processor_seconds() -> float:
    """Of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _block(reader: Reader, samples: Sequence[Any], numbers: range, seed: int, counts: Counts) -> None:
    """Run some cases in a child; where it dies, the case that it died of is the last of the block."""
    board = mmap.mmap(-1, 8)
    board[:8] = struct.pack("q", numbers.start)
    with tempfile.TemporaryFile("w+") as told:
        child = os.fork()
        if not child:
            _child(reader, samples, numbers, seed, (board, told))
        status = _watched(child, board)
        told.seek(0)
        found = [line.rstrip("\n").split("\t", 1) for line in told if line.endswith("\n")]
    for number, name in found:
        _count(counts, int(number), name)
    if len(found) < len(numbers):
        number = struct.unpack("q", board[:8])[0]
        _count(counts, number, f"the process ended with {os.waitstatus_to_exitcode(status)}")


def _count(counts: Counts, number: int, name: str) -> None:
    counts.cases += 1
    counts.outcomes[name] += 1
    if name not in (READ, REFUSED):
        counts.escapes.setdefault(name, []).append(number)


def _watched(child: int, board: mmap.mmap) -> int:
    """Wait for the end of a child, and end it where no case has ended for long."""
    seen, since = board[:8], time.monotonic()
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        if board[:8] != seen:
            seen, since = board[:8], time.monotonic()
        elif time.monotonic() - since > SILENT_SECONDS:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    return ended[1]


def _child(reader: Reader, samples: Sequence[Any], numbers: range, seed: int, told: tuple[mmap.mmap, TextIO]) -> None:
    board, lines = told
    root = Path(tempfile.mkdtemp(prefix="bench-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        with contextlib.suppress(OSError), Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)  # decoders print there
        os.environ["BENCH_CACHE"] = str(root / "cache")
        signal.signal(signal.SIGPROF, _slow)
        resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize:") + 4 * MEMORY, resource.RLIM_INFINITY))
        for number in numbers:
            board[:8] = struct.pack("q", number)
            name = " ".join(_one(reader, samples, seed, number, root / "case").split())
            lines.write(f"{number}\t{name}\n")
            lines.flush()
    finally:
        shutil.rmtree(root, ignore_errors=True)
        os._exit(0)


def _one(reader: Reader, samples: Sequence[Any], seed: int, number: int, folder: Path) -> str:
    folder.mkdir()
    before = _status("VmHWM:")
    try:
        damaged, whole = case(reader, seed, number, samples)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            name = outcome(reader, damaged, whole, folder)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except _SlowError:
        name = f"more than {SECONDS:g} s"
    except BaseException as error:  # noqa: BLE001  SystemExit, KeyboardInterrupt
        name = _place(error)
    if (took := _status("VmHWM:") - before) > MEMORY:
        name = f"{took // MIB} MiB of memory"
    if took > MEMORY // 16:
        Path("/proc/self/clear_refs").write_text("5")
    shutil.rmtree(folder, ignore_errors=True)
    return name


def _slow(*_: object) -> None:
    raise _SlowError


def _status(name: str) -> int:
    """A size of this process in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
