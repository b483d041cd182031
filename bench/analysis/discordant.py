"""Clips that two rows judge differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.evidence import Pair
from bench.analysis.grouping import SectionGroup
from bench.analysis.predictions import Evaluated, Floats, Ints, Reader
from bench.statistics.draws import Evidence, Resampled


@dataclass(frozen=True, slots=True, kw_only=True)
class Discordant:
    """A clip that A and B judge differently.

    Attributes:
        group: Empty where clips are independent.
        target: Its class.
        right_a: Fraction of A's seeds that are right.
        answer_a: A's commonest answer.
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
    """One of the two rows: its cells, and what it is compared by."""

    found: Mapping[Pair, Evaluated]
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    evidence: Evidence

    @property
    def values(self) -> Floats:
        """Values per clip ``(seeds, clips)``, of a score that has them."""
        return np.asarray(self.evidence, dtype=np.float64)

    @property
    def right_or_wrong(self) -> bool:
        """Whether the values say that clips are right (1) or wrong (0)."""
        return not isinstance(self.evidence, Resampled) and bool(np.isin(self.values, (0, 1)).all())

    @property
    def mean(self) -> float:
        """The score over all clips and seeds."""
        return float((self.evidence.observed if isinstance(self.evidence, Resampled) else self.values).mean())

    def by_fold(self, sizes: Sequence[int]) -> Floats:
        """The score of each fold, averaged over seeds; ``sizes`` are the clips of the folds."""
        if isinstance(self.evidence, Resampled):
            scores = [[self.found[fold, seed].value for seed in self.seeds] for fold in self.folds]
            return np.asarray(np.array(scores, dtype=np.float64).mean(axis=1))
        return np.array([part.mean() for part in np.split(self.values.mean(axis=0), np.cumsum(sizes)[:-1])])

    def answers(self, classes: int) -> Ints:
        """The commonest answer to each clip over the seeds ``(clips,)``."""
        votes = np.zeros((self.values.shape[1], classes), dtype=np.int64)
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
    groups = np.concatenate([one.groups for one in clips])
    right_a, right_b = a.values.mean(axis=0), b.values.mean(axis=0)
    answers_a, answers_b = a.answers(len(names)), b.answers(len(names))
    different = np.flatnonzero(np.abs(right_a - right_b) > 1e-12)
    order = sorted(different.tolist(), key=lambda i: (-abs(right_a[i] - right_b[i]), right_b[i] - right_a[i], ids[i]))
    return tuple(
        Discordant(
            clip=str(ids[i]),
            fold=int(folds[i]),
            group=str(groups[i]),
            target=names[int(targets[i])],
            right_a=float(right_a[i]),
            right_b=float(right_b[i]),
            answer_a=names[int(answers_a[i])],
            answer_b=names[int(answers_b[i])],
        )
        for i in order
    )
