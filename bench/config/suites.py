"""Suites: data sets, each with its protocol, metric and weight, and how they make one number of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import SelectionError, did_you_mean, short
from bench.plugins.registry import Registry
from bench.recipe import explain
from bench.results.plans import StoredPlan
from bench.textfiles import read_toml

FOLDER = Path(__file__).parent / "suites"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Member(_Strict):
    """What a suite says of one of its data sets.

    Attributes:
        protocol: ``None`` = the data set's own default.
        metric: ``None`` = the data set's own.
        weight: Relative to the other data sets.
    """

    protocol: str | None = None
    metric: str | None = None
    weight: float = Field(1.0, gt=0, le=1e6)


class Suite(_Strict):
    """Several data sets and how they make one number.

    Attributes:
        name: That of the file, without its suffix, where the file gives none.
        title: For people.
        aggregate: ``mean`` of the scores, mean ``rank``, or ``borda`` (mean number of models beaten).
        datasets: In the order of their columns.
    """

    name: str
    title: str = Field("", max_length=200)
    aggregate: Literal["mean", "rank", "borda"] = "mean"
    datasets: dict[str, Member] = Field(min_length=2, max_length=100)


def read_suite(name: str) -> Suite:
    """A suite of bench by its name, or that of a TOML file.

    Raises:
        SelectionError: There is none, or something in it is not allowed.
    """
    known = {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}
    if name not in known and not name.endswith(".toml"):
        raise SelectionError(f"no suite named {short(name)}; {did_you_mean(name, known)} A file ends in .toml")
    path = known.get(name, Path(name))
    return suite_of({"name": path.stem, **read_toml(path, error=SelectionError)}, f"suite {name}")


def built_in() -> list[Suite]:
    """The suites that come with bench."""
    return [read_suite(path.stem) for path in sorted(FOLDER.glob("*.toml"))]


def suite_of(values: object, origin: str) -> Suite:
    """The suite with these values; messages name its ``origin``.

    Raises:
        SelectionError: Keys are unknown, lack or are not allowed; all of them are named.
    """
    try:
        return Suite.model_validate(values)
    except ValidationError as error:
        known = {**Suite.model_fields, **Member.model_fields}
        said = "; ".join(explain(error, known))
        advice = "a data set is a table, and there are at least two: [datasets.esc50]"
        raise SelectionError(f"{origin}: {said}; {advice}") from error


def stored_suite(plan: StoredPlan) -> tuple[Suite | None, str]:
    """The suite of a run folder, and what is wrong with what the folder keeps of it."""
    try:
        return (None if plan.suite is None else suite_of(plan.suite, "plan.json: suite")), ""
    except SelectionError as error:
        return None, str(error)


def check_suite(suite: Suite, registry: Registry) -> None:
    """Refuse names that are not registered, and data sets that share clips."""
    whole: dict[str, str] = {}
    for name, member in suite.datasets.items():
        spec = registry.datasets[name].spec
        if member.metric is not None:
            registry.metrics[member.metric]
        for collection in sorted(spec.collections):
            if (other := whole.setdefault(collection, name)) != name:
                raise SelectionError(f"suite {suite.name}: {name} and {other} share clips; keep one of the two")
