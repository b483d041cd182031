"""Pretrained text encoders for `calm`: MiniLM from its package, or any BERT from a folder, frozen or tuned.

Frozen, a text's vectors depend on the text alone, to the last bit: each text is read by itself, without padding, in
float32 and without dropout, and what has been read is kept. Tuned, texts are read together and learn at a rate of
their own. Without texts, the class names are read by the same encoder, one vector for each: the mean over its tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench import TaskInfo, takes_fields
from bench_plugins.calm.checkpoints import (
    MINILM_SHAPE,
    Tokenize,
    bert_folder,
    blank_bert,
    load_bert,
    load_tokenizer,
    minilm_folder,
    on_meta,
)
from bench_plugins.calm.network import Calm, CalmConfig, TextTokens, Trunk
from bench_plugins.calm.text import TextEncoder, class_names

TUNED_RATE = 2e-5 / 3e-4
"""Rate of a tuned BERT over that of everything else."""

PROMPT_LENGTH = 32
"""Tokens that a class name is cut to."""

KEPT_BYTES = 256 * 2**20
"""Vectors that a frozen encoder keeps at most; ESC-50's 1 459 distinct titles take about 20 MB."""


class Memory:
    """Vectors of the texts that a frozen encoder has read; copies of the encoder share it."""

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self.limit = limit
        self.used = 0
        self.known: dict[tuple[object, ...], Tensor] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Memory:
        return self

    def keep(self, key: tuple[object, ...], vectors: Tensor) -> None:
        """Keep ``vectors (tokens, width)`` unless that would exceed the limit."""
        size = vectors.numel() * vectors.element_size()
        if self.used + size <= self.limit:
            self.used += size
            self.known[key] = vectors


class PretrainedText(TextEncoder):
    """A BERT without pooler in the place of :class:`HashText`, with the same way of calling.

    ``tokenize`` made the ids that it will be given (``None`` on the meta device); ``names`` are one prompt a class.
    """

    def __init__(self, bert: Any, tokenize: Tokenize | None, names: Sequence[str], *, tuned: bool) -> None:
        super().__init__()
        self.bert = bert.requires_grad_(tuned)
        self.tuned = tuned
        self.width = int(bert.config.hidden_size)
        self.padding = int(bert.config.pad_token_id or 0)
        # Not buffers: averaged weights would average ids, and the names are the task's, not the checkpoint's.
        self._bank = _read_names(tokenize, names)
        self._memory = Memory()
        self.register_load_state_dict_post_hook(_forget)  # type: ignore[no-untyped-call]

    def train(self, mode: bool = True) -> PretrainedText:  # noqa: FBT001, FBT002  torch's signature
        """Training mode, in which a frozen encoder stays without dropout."""
        super().train(mode)
        self.bert.train(mode and self.tuned)
        return self

    def forward(self, text: Tensor | None, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Read a text, or the class names where there is none; arguments and result as of :class:`HashText`.

        The ids are those of this encoder's tokenizer.
        """
        if text is not None:
            mask = text.ne(self.padding) if mask is None else mask.bool()
            return self._read(text, mask), mask
        ids, known = (part.to(self._weight().device) for part in self._bank)  # (classes, words)
        states = self._read(ids, known) * known.unsqueeze(-1)  # (classes, words, width)
        tokens = states.sum(1) / known.sum(1, keepdim=True)  # (classes, width)
        return tokens.unsqueeze(0), known.any(1).unsqueeze(0)

    def _read(self, ids: Tensor, mask: Tensor) -> Tensor:
        """``(batch, length)`` ids -> ``(batch, length, width)``."""
        if self.tuned or ids.is_meta:
            # Transformers looks into the mask, which on the meta device nobody can. Rows without any token get all.
            seen = None if ids.is_meta else (mask | ~mask.any(1, keepdim=True)).long()
            states: Tensor = self.bert(input_ids=ids, attention_mask=seen).last_hidden_state
            return states
        rows = [
            tuple(number for number, there in zip(*pair, strict=True) if there)
            for pair in zip(ids.tolist(), mask.tolist(), strict=True)
        ]
        with torch.no_grad(), torch.autocast(ids.device.type, enabled=False):
            vectors = [self._recall(row) for row in rows if row]
            states = self._weight().new_zeros(*ids.shape, self.width)  # (batch, length, width)
            if vectors:
                states[mask] = torch.cat(vectors)
        return states

    def _recall(self, row: tuple[int, ...]) -> Tensor:
        """Vectors ``(tokens, width)`` of one text without padding."""
        weight = self._weight()
        key = (weight.device, weight.dtype, row)
        found = self._memory.known.get(key)
        if found is None:
            found = self.bert(input_ids=torch.tensor([row], device=weight.device)).last_hidden_state[0]
            self._memory.keep(key, found)
        return found

    def _weight(self) -> Tensor:
        """A weight, for its device and dtype."""
        weight: Tensor = self.bert.embeddings.word_embeddings.weight
        return weight


def _forget(module: PretrainedText, _keys: Any) -> None:
    """New weights: what the old ones have read counts no more. A new memory, since copies share the old one."""
    module._memory = Memory(module._memory.limit)


def _read_names(tokenize: Tokenize | None, names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Ids and mask ``(classes, words)`` of the prompts, as wide as the longest."""
    if tokenize is None:
        shape = (len(names), 8)
        return torch.ones(shape, dtype=torch.int64, device="cpu"), torch.ones(shape, dtype=torch.bool, device="cpu")
    ids, mask = tokenize([name.replace("_", " ") for name in names], PROMPT_LENGTH)
    longest = int(mask.sum(1).max())
    return torch.from_numpy(ids[:, :longest]), torch.from_numpy(mask[:, :longest])


class TunedCalm(Calm):
    """Calm with a text encoder that learns more slowly than the rest."""

    def param_groups(self, recipe: Any) -> list[dict[str, Any]]:
        """The text encoder's parameters with their rate; decay as for all other parameters."""
        if self.text is None or not isinstance(self.text.words, PretrainedText):
            return []
        parameters = list(self.text.words.bert.parameters())
        decayed = [p for p in parameters if p.ndim > 1 or recipe.decay_all]
        kept = [p for p in parameters if p.ndim <= 1 and not recipe.decay_all]
        return [
            {"params": decayed, "lr_scale": TUNED_RATE},
            {"params": kept, "lr_scale": TUNED_RATE, "weight_decay": 0.0},
        ]


def minilm_words(task: TaskInfo) -> PretrainedText:
    """MiniLM, frozen, with the class names of ``task``."""
    names = class_names(task.label_names, task.num_classes)
    if on_meta():
        return PretrainedText(blank_bert(**MINILM_SHAPE), None, names, tuned=False)
    folder = minilm_folder()
    return PretrainedText(load_bert(folder), load_tokenizer(folder), names, tuned=False)


def minilm_tokens(**_options: Any) -> Tokenize:
    """MiniLM's own tokenizer."""
    return load_tokenizer(minilm_folder())


def bert_tokens(*, weights: str | Path | None = None, **_options: Any) -> Tokenize:
    """The tokenizer beside the weights of a BERT."""
    return load_tokenizer(bert_folder(weights))


@takes_fields(CalmConfig)
def build_minilm(task: TaskInfo, **options: Any) -> Calm:
    """Calm with MiniLM, frozen; the options are the fields of :class:`CalmConfig`."""
    return Calm(task, CalmConfig(**options), minilm_words(task))


@takes_fields(CalmConfig)
def build_bert(task: TaskInfo, *, tuned: bool, weights: str | Path | None = None, **options: Any) -> Calm:
    """Calm with a BERT from a folder.

    Args:
        task: As for every model.
        tuned: Whether the BERT learns, at ``TUNED_RATE`` of the recipe's rate, or stays as it is.
        weights: Folder in transformers' layout. On the meta device, where nothing has a value, it may be left out
            and stands for BERT base.
        options: Fields of :class:`CalmConfig`.
    """
    names = class_names(task.label_names, task.num_classes)
    if on_meta() and weights is None:
        words = PretrainedText(blank_bert(), None, names, tuned=tuned)
    else:
        folder = bert_folder(weights)
        with torch.device("cpu"):
            words = PretrainedText(load_bert(folder), load_tokenizer(folder), names, tuned=tuned)
    return (TunedCalm if tuned else Calm)(task, CalmConfig(**options), words)


class TextOnly(Trunk):
    """Text tokens -> encoder -> self-attention -> transformer encoder -> pooling -> classes.

    Args:
        task: Its ``label_names`` are prompts, as in :class:`Calm`.
        config: As for :class:`Calm`; there is nothing to attend across to.
        words: The text encoder.
    """

    def __init__(self, task: TaskInfo, config: CalmConfig, words: TextEncoder) -> None:
        super().__init__()
        if config.pooling == "cls":
            raise ValueError("calm.text_only has no token for pooling 'cls'; choose mean, max or attention")
        self.text = TextTokens(task, replace(config, cross=False), config.make_encoder(), words)
        self.add_trunk(config, task.num_classes)

    def forward(self, text: Tensor, text_mask: Tensor | None = None) -> Tensor:
        """``text (batch, length)`` int64 ids and their mask, True = token -> logits ``(batch, classes)``."""
        logits: Tensor = self.head(self.embed(text, text_mask))  # (batch, classes)
        return logits

    def embed(self, text: Tensor, text_mask: Tensor | None = None) -> Tensor:
        """The pooled vector before the head, ``(batch, dim)``; a text without a token gives zeros."""
        x, mask = self.text.encode(text, text_mask)  # (batch, m, dim), (batch, m)
        filled = mask.any(1, keepdim=True)  # (batch, 1)
        return torch.where(filled, self.pooled(x, mask | ~filled), 0.0)


@takes_fields(CalmConfig)
def build_text_only(task: TaskInfo, **options: Any) -> TextOnly:
    """The control for ``task`` with MiniLM as text encoder; the options are the fields of :class:`CalmConfig`."""
    return TextOnly(task, CalmConfig(**options), minilm_words(task))
