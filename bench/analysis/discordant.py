"""Clips that two rows judge differently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.analysis.grouping import SectionGroup
from bench.analysis.predictions import Bools, Ints, Judged, Reader
from bench.analysis.rows import Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Discordant:
    """A clip that A and B judge differently.

    Attributes:
        clip: Its id.
        fold: Its fold.
        group: Its group, empty where clips are independent.
        target: Its class.
        right_a: Fraction of A's seeds that are right.
        right_b: Fraction of B's seeds that are right.
        answer_a: A's commonest answer.
        answer_b: B's commonest answer.
        path: The clip's file, where the data set was asked for it; see ``bench compare --data``.
    """

    clip: str
    fold: int
    group: str
    target: str
    right_a: float
    right_b: float
    answer_a: str
    answer_b: str
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two rows."""

    found: Mapping[Pair, Judged]
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    correct: Bools

    def answers(self, classes: int) -> Ints:
        """The commonest answer to each clip over the seeds ``(clips,)``."""
        votes = np.zeros((self.correct.shape[1], classes), dtype=np.int64)
        for seed in self.seeds:
            parts = [self.found[fold, seed].predicted for fold in self.folds]
            said = np.concatenate([values for values in parts if values is not None])
            votes[np.arange(len(said)), said] += 1
        answers: Ints = votes.argmax(axis=1)
        return answers


def discordant(section: SectionGroup, reader: Reader, a: Side, b: Side) -> tuple[Discordant, ...]:
    """The clips, those first on which the two sides differ most; their folds and clips are the same."""
    names = section.identity.labels
    clips = [reader.folds[fold] for fold in a.folds]
    ids = np.concatenate([one.ids for one in clips])
    folds = np.concatenate([np.full(len(one.ids), fold) for fold, one in zip(a.folds, clips, strict=True)])
    targets = np.concatenate([one.targets for one in clips if one.targets is not None])
    groups = reader.groups(a.folds)
    right_a, right_b = a.correct.mean(axis=0), b.correct.mean(axis=0)
    answers_a, answers_b = a.answers(len(names)), b.answers(len(names))
    different = np.flatnonzero(np.abs(right_a - right_b) > 1e-12)
    order = sorted(different.tolist(), key=lambda i: (-abs(right_a[i] - right_b[i]), right_b[i] - right_a[i], ids[i]))
    return tuple(
        Discordant(
            clip=str(ids[i]),
            fold=int(folds[i]),
            group="" if groups is None else str(groups[i]),
            target=names[int(targets[i])],
            right_a=float(right_a[i]),
            right_b=float(right_b[i]),
            answer_a=names[int(answers_a[i])],
            answer_b=names[int(answers_b[i])],
        )
        for i in order
    )
