"""Reading what lies on a disk, where anything may have happened to it: a whole value or one error; nothing is deleted."""

from __future__ import annotations

import errno
import functools
import itertools
import json
import math
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pydantic_core import ValidationError, from_json

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

_SHAPE = bytes.maketrans(b"123456789E\n\r\t,]}", b"000000000e      ")
_EXPONENT = re.compile(rb"e\+?000+(?: |$)")
"""With the digits ``0`` and what may follow a number a space (:data:`_SHAPE`): where a large exponent may stand."""


def read_bytes(path: str | Path) -> bytes:
    """The content of an ordinary file.

    Raises:
        OSError: There is none, it cannot be read, or something else (a folder, a pipe) has its name.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not be waited for
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "something that is no file has its name", str(path))
        content = os.read(descriptor, found.st_size)
        while len(content) < found.st_size and (more := os.read(descriptor, found.st_size - len(content))):
            content += more
        return content
    finally:
        os.close(descriptor)


def parse_json(content: bytes | str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: It is not whole, not UTF-8, nested 200 deep, or a number is NaN, infinite or beyond 64 bits.
    """
    whole = content.encode() if isinstance(content, str) else content
    value = from_json(whole, allow_inf_nan=False, cache_strings="all")
    shape = whole.translate(_SHAPE)
    if b"0" * 19 in shape or _EXPONENT.search(shape):  # every other text is known to hold no number beyond 64 bits
        _check_numbers(value)
    return value


def parse_as(kind: type[T], values: Any) -> T:
    """JSON values as a dataclass.

    Raises:
        ValueError: A key is unknown or missing, or a value is not what its field may hold.
    """
    found: T = _adapter(cast("Any", kind)).validate_json(json.dumps(values), strict=True, extra="forbid")
    return found


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _check_numbers(value: Any) -> None:
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            _check_numbers(one)
    elif (isinstance(value, float) and not math.isfinite(value)) or (isinstance(value, int) and abs(value) >= 1 << 63):
        raise ValueError(f"a number beyond 64 bits: {str(value)[:24]}")


def reason(error: Exception) -> str:
    """Why reading failed, in one line without the file's name."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return " ".join(str(error).split())[:300]


def first_problem(error: ValueError) -> str:
    """The first thing that is wrong with a value of other types, and where: ``timing.wall_s: should be ...``."""
    if not isinstance(error, ValidationError):
        return reason(error)
    first, count = error.errors(include_url=False, include_context=False)[0], error.error_count()
    more = f" (and {count - 1} more)" if count > 1 else ""
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}, not {first['input']!r:.60}{more}"


def set_aside(path: Path) -> Path:
    """Rename what stands at ``path`` to ``NAME.damaged-N``, where nothing takes it for what it was.

    Raises:
        OSError: It cannot be renamed.
    """
    aside = next(
        found for n in itertools.count(1) if not os.path.lexists(found := path.with_name(f"{path.name}.damaged-{n}"))
    )
    path.rename(aside)
    return aside
