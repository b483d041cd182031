"""A claimed ranking against the records: can these clips tell the models apart at all, and if so, in that order?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from bench.analysis.comparison import Choice, Source, Verdict, compare_sections, parse_choice
from bench.analysis.grouping import Identity
from bench.errors import SelectionError
from bench.results.records import Record, Score
from bench.statistics.results import Refusal

Outcome = Literal["confirmed", "contradicted", "unresolved"]
_SCORE = re.compile(r"(?P<name>.+?)\s*=\s*(?P<score>\d+(?:\.\d+)?)\s*$")


Place = tuple[Choice, float | None]
"""One model of a claim: which row, and its claimed score as typed (percent of a fraction) where the claim names one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimStep:
    """One ``a > b`` of a claim in one section.

    Attributes:
        claimed: Claimed difference in the unit of the score; ``None`` where the claim gives no scores.
        outcome: ``unresolved`` unless the two differ significantly by the letters of the board.
    """

    better: str
    worse: str
    claimed: float | None
    verdict: Verdict
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedClaim:
    """A claim judged by one section.

    Attributes:
        dataset: Title of the data set.
        resolution: Largest minimum detectable difference of the steps; ``None`` where one is unknown.
    """

    dataset: str
    protocol: str
    resolution: float | None
    steps: tuple[ClaimStep, ...]

    @property
    def outcome(self) -> Outcome:
        """Of the whole order: one contradicted step contradicts it, one unresolved step leaves it open."""
        outcomes = {step.outcome for step in self.steps}
        if "contradicted" in outcomes:
            return "contradicted"
        return "unresolved" if "unresolved" in outcomes else "confirmed"


def parse_claim(text: str) -> tuple[Place, ...]:
    """``"a > b > c"``, each with an optional claimed score (percent of a fraction): ``"a = 99.0 > b = 98.9"``.

    Raises:
        SelectionError: Fewer than two models, or one named twice.

    >>> [(choice.model, score) for choice, score in parse_claim("a = 99.0 > b")]
    [('a', 99.0), ('b', None)]
    """
    places = []
    for part in text.split(">"):
        match = _SCORE.fullmatch(part.strip())
        name = match["name"] if match else part.strip()
        if not name:
            raise SelectionError(f"claim {text!r} has an empty place; write it as 'a > b > c'")
        places.append((parse_choice(name), float(match["score"]) if match else None))
    labels = [choice.label for choice, _ in places]
    if len(places) < 2:
        raise SelectionError(f"claim {text!r} names one model; write it as 'a > b > c'")
    if doubled := sorted({label for label in labels if labels.count(label) > 1}):
        raise SelectionError(f"claim {text!r} names {doubled[0]} twice")
    return tuple(places)


def judge_claim(
    records: Sequence[Record], places: Sequence[Place], source: Source, *, dataset: str | None = None
) -> tuple[list[JudgedClaim], list[str]]:
    """Compare each model of a claim (best first) with the next, wherever both have results.

    Returns:
        One result per section in which every step could be compared, and what was left out, with its reason.
    """
    found: dict[Identity, list[tuple[Place, Place, Verdict]]] = {}
    problems: list[str] = []
    for better, worse in pairwise(places):
        verdicts, left_out = compare_sections(records, better[0], worse[0], source, dataset=dataset)
        problems += left_out
        for where, verdict in verdicts.items():
            found.setdefault(where, []).append((better, worse, verdict))
    held = []
    for _, steps in sorted(found.items()):
        title, protocol = steps[0][2].dataset, steps[0][2].protocol
        if len(steps) < len(places) - 1:
            problems.append(f"{title}, {protocol}: not every model of the claim has results here")
            continue
        results = [verdict.paired for *_, verdict in steps]
        compared = [result for result in results if not isinstance(result, Refusal)]
        problems += [f"{title}, {protocol}: {one.reason}" for one in results if isinstance(one, Refusal)]
        if len(compared) == len(results):
            known = [one.resolution for one in compared if not isinstance(one.resolution, Refusal)]
            resolution = max(known) if len(known) == len(compared) else None
            held.append(JudgedClaim(dataset=title, protocol=protocol, resolution=resolution, steps=_steps(steps)))
    return held, list(dict.fromkeys(problems))


def _steps(steps: Sequence[tuple[Place, Place, Verdict]]) -> tuple[ClaimStep, ...]:
    made = []
    for better, worse, verdict in steps:
        outcome: Outcome = "unresolved"
        if verdict.resolved:
            outcome = "confirmed" if verdict.lead > 0 else "contradicted"
        made.append(
            ClaimStep(
                better=better[0].label,
                worse=worse[0].label,
                claimed=_claimed(better, worse, verdict.metric),
                verdict=verdict,
                outcome=outcome,
            )
        )
    return tuple(made)


def _claimed(better: Place, worse: Place, metric: Score) -> float | None:
    """The claimed difference of two places in the unit of the score."""
    (_, higher), (_, lower) = better, worse
    if higher is None or lower is None:
        return None
    if metric.unit != "fraction":
        return higher - lower
    for choice, score in (better, worse):
        if score is not None and score > 100:
            raise SelectionError(f"{choice.label} = {score:g} is no percentage of {metric.name}")
    return (higher - lower) / 100
