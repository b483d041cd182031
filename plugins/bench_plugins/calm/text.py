"""Words as numbers: the hashed vocabulary and the bank of class names."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

VOCABULARY = 4096
"""Rows of the embedding table: 0 is padding, 1 to 4095 are hashed words."""

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


def hash_word(word: str) -> int:
    """The id of a word, 1 to 4095, the same on every machine.

    >>> hash_word("dog") == hash_word("dog")
    True
    """
    return 1 + zlib.crc32(word.encode("utf-8")) % (VOCABULARY - 1)


def word_ids(text: str) -> list[int]:
    """The ids of the words of ``text``, in lower case; a text without a word is hashed as a whole.

    >>> word_ids("Crackling_fire") == word_ids("crackling fire")
    True
    """
    words = _WORD.findall(text.lower()) or [text]
    return [hash_word(word) for word in words]


def class_names(label_names: Sequence[str], num_classes: int) -> list[str]:
    """One name for each class; without names "class 0", "class 1", ..."""
    names = list(label_names) or [f"class {index}" for index in range(num_classes)]
    if len(names) != num_classes:
        raise ValueError(
            f"{len(names)} label names for {num_classes} classes; give TaskInfo one name a class, or none at all"
        )
    return names


def class_bank(label_names: Sequence[str], num_classes: int) -> Tensor:
    """The hashed words of every class name, ``(classes, words)`` int64, 0 = padding."""
    rows = [word_ids(name) for name in class_names(label_names, num_classes)]
    bank = torch.zeros(num_classes, max(map(len, rows)), dtype=torch.int64, device="cpu")
    for index, row in enumerate(rows):
        bank[index, : len(row)] = torch.tensor(row, device="cpu")
    return bank


class TextEncoder(nn.Module):
    """What reads the text, called as :class:`HashText` is; it gives vectors of ``width``."""

    width: int


class HashText(TextEncoder):
    """Hashed words -> learned vectors; without a text, the class bank with one token for each class name.

    The bank is the same for every clip and depends on nothing but the names of the task, so that it can tell
    nothing about the clip it stands beside.
    """

    bank: Tensor

    def __init__(self, label_names: Sequence[str], num_classes: int, *, width: int = 128) -> None:
        super().__init__()
        self.width = width
        self.table = nn.Embedding(VOCABULARY, width, padding_idx=0)
        self.register_buffer("bank", class_bank(label_names, num_classes), persistent=False)

    def forward(self, text: Tensor | None, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Embed a text, or the bank where there is none.

        Args:
            text: ``(batch, length)`` int64 ids, 0 = padding; ``None`` = the class bank.
            mask: ``(batch, length)`` bool, True = token; ``None`` = wherever the id is not 0.

        Returns:
            Tokens ``(batch, length, width)`` and their mask ``(batch, length)``; for the bank batch is 1 and
            length is the number of classes.
        """
        if text is not None:
            return self.table(text), text.ne(0) if mask is None else mask.bool()
        known = self.bank.ne(0).unsqueeze(-1)  # (classes, words, 1)
        tokens = (self.table(self.bank) * known).sum(1) / known.sum(1)  # (classes, words, width) -> (classes, width)
        return tokens.unsqueeze(0), torch.ones(1, len(tokens), dtype=torch.bool, device=tokens.device)
