"""Files that the user wrote, and words of the command line, as values: what is wrong with them is one clear error."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.errors import BenchError, DataError

MIB = 1 << 20
_LARGEST_TOML = MIB
_LARGEST = 16 * 1024 * MIB


def file_size(path: Path, *, error: type[BenchError] = DataError, largest: int = _LARGEST) -> int:
    """Bytes of a plain file; errors as of :func:`read_bytes`."""
    with _explained(path, error):
        found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no plain file"
        raise error(f"cannot read {seen(path)}: it is {kind}; give a file")
    if found.st_size > largest:
        raise error(f"{seen(path)} holds {found.st_size} bytes; allowed are {largest}. Is it the right file?")
    return found.st_size


def read_bytes(path: Path, *, error: type[BenchError] = DataError, largest: int = _LARGEST) -> bytes:
    """The contents of a plain file of at most ``largest`` bytes.

    Raises:
        BenchError: As ``error``: it is not there, is no plain file (a pipe would be waited for), is too large or cannot
            be read.
    """
    file_size(path, error=error, largest=largest)
    with _explained(path, error):
        return path.read_bytes()


@contextlib.contextmanager
def _explained(path: Path, error: type[BenchError]) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as missing:
        looked = "" if path.is_absolute() else f"; looked for {seen(path.absolute())}"
        raise error(f"cannot read {seen(path)}: no such file{looked}") from missing
    except (OSError, ValueError, MemoryError) as reason:  # ValueError: a name with a zero byte
        said = reason.strerror if isinstance(reason, OSError) else str(reason)
        raise error(f"cannot read {seen(path)}: {said or type(reason).__name__}") from reason


def read_text(path: Path, *, error: type[BenchError] = DataError, largest: int = _LARGEST) -> str:
    """The contents of a text file in UTF-8, with or without a byte order mark; errors as of :func:`read_bytes`."""
    return decoded(read_bytes(path, error=error, largest=largest), path, error=error)


def decoded(content: bytes, path: Path, *, error: type[BenchError] = DataError, encoding: str = "utf-8-sig") -> str:
    """The text of the contents of ``path``, which messages name.

    Raises:
        BenchError: As ``error``: they are in another encoding.
    """
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as reason:
        line = content[: reason.start].count(b"\n") + 1
        raise error(
            f"cannot read {seen(path)}: byte {content[reason.start]:#04x} on line {line} is not "
            f"{'UTF-8' if encoding == 'utf-8-sig' else encoding.upper()}; if it was saved as Latin-1: iconv -f latin1 "
            f"-t utf-8 {path.name!r} > {f'{path.stem}-utf8{path.suffix}'!r}"
        ) from reason


def read_toml(path: Path, *, error: type[BenchError] = DataError) -> dict[str, Any]:
    """The contents of a small TOML file.

    Raises:
        BenchError: As ``error``: it cannot be read, or is not TOML.
    """
    return parse_toml(read_text(path, error=error, largest=_LARGEST_TOML), str(path), error=error)


def parse_toml(text: str, origin: str, *, error: type[BenchError] = DataError) -> dict[str, Any]:
    """A TOML text as a mapping; messages name its ``origin``.

    Raises:
        BenchError: As ``error``: it is not TOML.
    """
    import tomllib

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as reason:  # also numbers of thousands of digits, and brackets without end
        raise error(f"{origin} is not TOML: {_said(reason)}") from reason


def parse_json(text: str | bytes, origin: str, *, error: type[BenchError] = DataError, advice: str = "") -> Any:
    """A JSON text as a value; messages name its ``origin`` and end in ``advice``.

    Raises:
        BenchError: As ``error``: it is not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as reason:
        raise error(f"{origin} is not a whole JSON file ({_said(reason)}){advice and '; '}{advice}") from reason


def toml_value(text: str) -> Any:
    """One word of the command line as TOML reads a value; what is none stays the text it is.

    >>> toml_value("1e-4"), toml_value("step"), toml_value("[1, 2]")
    (0.0001, 'step', [1, 2])
    """
    import tomllib  # a listing reads none

    try:
        found = tomllib.loads(f"v = {text}")
    except (ValueError, RecursionError):
        return text
    return found["v"] if len(found) == 1 else text


def at_home(path: str | Path) -> Path:
    """A path whose ``~`` is the user's folder, or that of another one; of someone unknown it stays as it is."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  pathlib raises there


def seen(path: Path) -> str:
    """A path as a message shows it: as it is, or with its invisible characters made visible."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def _said(reason: Exception) -> str:
    return "it is nested too deeply" if isinstance(reason, RecursionError) else str(reason)
