"""A claimed ranking against the records: can these clips tell the models apart at all, and if so, in that order?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from bench.analysis.comparison import Choice, Source, Verdict, compare, parse_choice
from bench.errors import SelectionError
from bench.results.records import Record, Score
from bench.statistics import Refusal, holm

Outcome = Literal["confirmed", "contradicted", "unresolved"]
ALPHA = 0.05
_SCORE = re.compile(r"(?P<name>.+?)\s*=\s*(?P<score>\d+(?:\.\d+)?)\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One model of a claim.

    Attributes:
        choice: Which row.
        score: Its claimed score as typed, percent of a fraction; ``None`` where the claim names none.
    """

    choice: Choice
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One ``a > b`` of a claim in one section.

    Attributes:
        better: The model claimed to be better.
        worse: The other.
        claimed: Claimed difference in the unit of the score; ``None`` where the claim gives no scores.
        verdict: The paired comparison.
        p_adjusted: Holm's, over the steps of the claim.
        outcome: ``unresolved`` unless the adjusted p value is below 0.05.
    """

    better: str
    worse: str
    claimed: float | None
    verdict: Verdict
    p_adjusted: float
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A claim held against one section.

    Attributes:
        dataset: Title of the data set.
        protocol: Name of the protocol.
        resolution: Largest minimum detectable difference of the steps; ``None`` where one is unknown.
        steps: In the claim's order.
    """

    dataset: str
    protocol: str
    resolution: float | None
    steps: tuple[Step, ...]

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

    >>> [(place.choice.model, place.score) for place in parse_claim("a = 99.0 > b")]
    [('a', 99.0), ('b', None)]
    """
    places = []
    for part in text.split(">"):
        match = _SCORE.fullmatch(part.strip())
        name = match["name"] if match else part.strip()
        score = float(match["score"]) if match else None
        if not name:
            raise SelectionError(f"claim {text!r} has an empty place; write it as 'a > b > c'")
        places.append(Place(choice=parse_choice(name), score=score))
    labels = [place.choice.label for place in places]
    if len(places) < 2:
        raise SelectionError(f"claim {text!r} names one model; write it as 'a > b > c'")
    if doubled := sorted({label for label in labels if labels.count(label) > 1}):
        raise SelectionError(f"claim {text!r} names {doubled[0]} twice")
    return tuple(places)


def hold(
    records: Sequence[Record], places: Sequence[Place], source: Source, *, dataset: str | None = None
) -> tuple[list[Held], list[str]]:
    """Compare each model of a claim with the next, wherever both have results.

    Args:
        records: Of one or several runs.
        places: The claim, best first.
        source: What is read and computed.
        dataset: Look at this data set only.

    Returns:
        One result per section in which every step could be compared, and what was left out, with its reason.
    """
    found: dict[tuple[str, str], list[tuple[Place, Place, Verdict]]] = {}
    problems: list[str] = []
    for better, worse in pairwise(places):
        verdicts, left_out = compare(records, better.choice, worse.choice, source, dataset=dataset)
        problems += left_out
        for verdict in verdicts:
            found.setdefault((verdict.dataset, verdict.protocol), []).append((better, worse, verdict))
    held = []
    for (title, protocol), steps in sorted(found.items()):
        if len(steps) < len(places) - 1:
            problems.append(f"{title}, {protocol}: not every model of the claim has results here")
            continue
        refused = [one for *_, one in steps if isinstance(one.paired, Refusal)]
        if refused:
            problems += [f"{title}, {protocol}: {one.paired.reason}" for one in refused]  # type: ignore[union-attr]
            continue
        held.append(Held(dataset=title, protocol=protocol, resolution=_resolution(steps), steps=_steps(steps)))
    return held, list(dict.fromkeys(problems))


def _resolution(steps: Sequence[tuple[Place, Place, Verdict]]) -> float | None:
    known = [verdict.paired.resolution for *_, verdict in steps if not isinstance(verdict.paired, Refusal)]
    numbers = [value for value in known if not isinstance(value, Refusal)]
    return max(numbers) if len(numbers) == len(known) else None


def _steps(steps: Sequence[tuple[Place, Place, Verdict]]) -> tuple[Step, ...]:
    results = [verdict.paired for *_, verdict in steps]
    adjusted = holm([result.p_value for result in results if not isinstance(result, Refusal)])
    made = []
    for (better, worse, verdict), p_value in zip(steps, adjusted.tolist(), strict=True):
        outcome: Outcome = "unresolved"
        if p_value < ALPHA:
            outcome = "confirmed" if verdict.lead > 0 else "contradicted"
        made.append(
            Step(
                better=better.choice.label,
                worse=worse.choice.label,
                claimed=_claimed(better, worse, verdict.metric),
                verdict=verdict,
                p_adjusted=p_value,
                outcome=outcome,
            )
        )
    return tuple(made)


def _claimed(better: Place, worse: Place, metric: Score) -> float | None:
    """The claimed difference of two places in the unit of the score."""
    if better.score is None or worse.score is None:
        return None
    if metric.unit != "fraction":
        return better.score - worse.score
    for place in (better, worse):
        if place.score is not None and place.score > 100:
            raise SelectionError(f"{place.choice.label} = {place.score:g} is no percentage of {metric.name}")
    return (better.score - worse.score) / 100
