"""Rows whose recipe was chosen by their own test clips, or whose weights saw them; the folds that none has seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.analysis.grouping import RowGroup, part
from bench.analysis.phrases import labelled
from bench.analysis.row_metadata import control, facts
from bench.errors import some
from bench.results.records import Record

MOST_NAMED = 6
FEWEST = 2
"""Folds that must be left to rank on, where there are as many."""


def seen_folds(row: RowGroup) -> tuple[int, ...] | None:
    """Folds of the row's results whose test clips its recipe was chosen by; ``None`` where a record does not say."""
    good = [record for record in row.evaluate if record.status == "ok"]
    if any(record.recipe and "tuned_on" not in record.recipe for record in good):
        return None
    return tuple(sorted({record.cell.fold for record in good if _saw(record)}))


def _saw(record: Record) -> bool:
    if not record.recipe.get("tuned_on"):
        return False
    cell = record.cell
    own = part(record, "protocol").get("authors_parts")  # else a fold holds clips of any of theirs
    names = (cell.data_name, cell.dataset.partition("~")[0])  # an edited table of the user is the same one here
    chosen = [entry for entry in record.recipe["tuned_on"] if entry["dataset"].partition("~")[0] in names]
    return any(not own or not entry.get("folds") or cell.fold in entry["folds"] for entry in chosen)


def contaminated(group: RowGroup) -> Iterable[str]:
    """What share of the test clips the weights have seen, or why nobody knows."""
    told = [found for record in group.evaluate if record.status == "ok" and (found := part(record, "contamination"))]
    if reasons := dict.fromkeys(str(one["reason"]) for one in told if one.get("reason")):
        yield f"whether its weights have seen the test clips is unknown: {'; '.join(reasons)}"
    seen, of = (sum(one.get(key) or 0 for one in told) for key in ("clips", "of"))
    if seen:
        yield f"contaminated: its weights have seen {seen} of {of} test clips"


def unseen(rows: Iterable[RowGroup], folds: Sequence[int]) -> tuple[int, ...]:
    """The folds to rank on: those that no recipe saw where two are left, or the only one, else none.

    A recipe that saw all but one of them leaves the others theirs: its row is shown and not ranked. Controls do not
    count.
    """
    results = [row for row in rows if any(record.status == "ok" for record in row.evaluate)]
    able = [row for row in results if not control(row.key, facts(row))]
    fewest = min(FEWEST, len(folds))
    left = [found for row in able if len(found := {*folds} - {*(seen_folds(row) or ())}) >= fewest]
    shared = set.intersection(*left) if left else set()
    return tuple(sorted(shared)) if len(shared) >= fewest else ()


def told(
    seen: Sequence[tuple[str, tuple[int, ...] | None]], whole: Sequence[int], used: Sequence[int], *, clean: bool
) -> str:
    """What the folds of a comparison have to do with the recipes of its rows, empty where they have nothing.

    Args:
        seen: The name of each row and what :func:`seen_folds` says.
        whole: The folds that there are.
        used: Those that are compared on.
        clean: Whether no ranked recipe has seen them.
    """
    chosen: dict[tuple[int, ...], list[str]] = {}
    for name, folds in dict.fromkeys(seen):
        if folds:
            chosen.setdefault(folds, []).append(name)
    said = []
    if chosen:
        by = "; ".join(
            f"{labelled('fold', folds)} ({some(names, MOST_NAMED)})" for folds, names in sorted(chosen.items())
        )
        how = (
            f"Too good, no {'two folds are' if len(whole) > 1 else 'fold is'} clean"
            if not clean
            else "Ranked without rows whose recipe saw these folds"
        )
        how = f"Ranked on {labelled('fold', used)}" if clean and tuple(used) != tuple(whole) else how
        said.append(f"{how}: recipes were chosen by results on {by}.")
    if unknown := [name for name, folds in dict.fromkeys(seen) if folds is None]:
        said.append(f"Not recorded: what the recipe of {some(unknown, MOST_NAMED)} was chosen by.")
    return " ".join(said)
