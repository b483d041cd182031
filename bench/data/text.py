"""Texts to token ids without a vocabulary: each word is hashed into a bucket."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from bench.errors import DataError, PluginError

Tokens = tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


def hash_tokens(texts: Sequence[str], length: int, buckets: int = 4096) -> Tokens:
    """Token ids of lower-cased words, the same on every machine and in every process.

    Args:
        texts: One per clip.
        length: Tokens kept per text; the rest is cut, shorter texts are padded.
        buckets: Size of the id space, padding included.

    Returns:
        ``ids (texts, length)`` int64, 0 for padding and 1 to ``buckets - 1`` for words, and ``mask (texts, length)``
        bool, true where a token stands. A text without words keeps one token, so that no row is fully masked.

    Raises:
        DataError: ``length`` is below 1 or ``buckets`` below 2.
    """
    if length < 1 or buckets < 2:
        raise DataError(f"length={length} must be at least 1 and buckets={buckets} at least 2")
    ids = np.zeros((len(texts), length), dtype=np.int64)
    for row, text in zip(ids, texts, strict=True):
        words = _WORD.findall(text.lower())[:length] or [""]
        row[: len(words)] = [1 + zlib.crc32(word.encode()) % (buckets - 1) for word in words]
    return ids, ids > 0


def own_tokens(tokenize: Callable[..., object], texts: Sequence[str], length: int, name: str) -> Tokens:
    """What the tokenizer of model ``name`` makes of ``texts``: ``ids`` and ``mask`` as of :func:`hash_tokens`.

    Raises:
        PluginError: It returned anything else, or a row without a token.
    """
    found = tokenize(list(texts), length)
    wanted = (len(texts), length)
    if not isinstance(found, tuple) or len(found) != 2:
        raise PluginError(f"the tokenizer of {name!r} returned {type(found).__name__}, expected (tokens, mask)")
    ids, mask = (np.asarray(part) for part in found)
    if ids.shape != wanted or mask.shape != wanted or not np.issubdtype(ids.dtype, np.integer) or mask.dtype != bool:
        raise PluginError(
            f"the tokenizer of {name!r} returned tokens {ids.shape} {ids.dtype} and a mask {mask.shape} {mask.dtype}; "
            f"expected {wanted} of integers and of bool"
        )
    if len(texts) and not mask.any(axis=1).all():
        raise PluginError(f"the tokenizer of {name!r} left a text without any token; keep at least one per row")
    return ids.astype(np.int64), mask
