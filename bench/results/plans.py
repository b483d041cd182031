"""What a run folder keeps of its plans."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainValidator, model_validator

from bench.cell import Cell
from bench.errors import StoreError
from bench.results.reading import first_problem, parse_json, read_bytes, reason
from bench.results.records import upgraded_cell


class StoredPlan(BaseModel):
    """What a folder keeps of its plans.

    Attributes:
        cells: All that were ever planned.
        decisions: One for each.
    """

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, arbitrary_types_allowed=True)

    cells: list[Annotated[Cell, PlainValidator(lambda values: Cell.from_json(upgraded_cell(values)))]]
    decisions: list[dict[str, Any]]

    @property
    def pairs(self) -> Iterator[tuple[Cell, dict[str, Any]]]:
        """Each cell with its decision."""
        return zip(self.cells, self.decisions, strict=True)

    @property
    def suite(self) -> Any:
        """The suite that was last planned in the folder, as it was written; ``None`` where there was none."""
        return (self.model_extra or {}).get("suite")

    @model_validator(mode="after")
    def _one_each(self) -> StoredPlan:
        """Every decision says of which cell it is, what was decided and for which fingerprint."""
        texts = ("id", "decision", "fingerprint")
        if len(self.cells) != len(self.decisions):
            raise ValueError(f"{len(self.cells)} cells and {len(self.decisions)} decisions")
        if any(type(entry.get(name)) is not str for entry in self.decisions for name in texts):
            raise ValueError(f"a decision lacks one of {', '.join(texts)}")
        return self


def parse_plan(path: Path) -> StoredPlan:
    """The plan in a file, empty where there is none.

    Raises:
        StoreError: It is damaged.
    """
    try:
        return StoredPlan.model_validate(parse_json(read_bytes(path)))
    except FileNotFoundError:
        return StoredPlan(cells=[], decisions=[])
    except OSError as error:
        raise StoreError(f"{path.name}: cannot be read: {reason(error)}") from error
    except ValueError as error:
        again = "planned cells without a record are unknown until the same bench run plans again"
        raise StoreError(f"{path.name}: no whole plan: {first_problem(error)}; {again}") from error
