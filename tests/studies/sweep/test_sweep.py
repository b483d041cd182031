"""A recipe sweep: what is read from its records, the shape around the best, the words and the drawing."""

from __future__ import annotations

import csv
import io
import math

import numpy as np
import pytest

from bench import builtin
from bench.cell import Cell
from bench.config.recipes import parse_overrides, resolve
from bench.metrics.scoring import catalog
from bench.planning.plan import PlannedCell
from bench.plugins.discovery import load_modules
from bench.results.records import Failure, Record, Score
from bench.statistics.ranking import ranking
from bench.studies.sweep.plot import draw, draw_together, drawn_lines, positions
from bench.studies.sweep.read import GridPoint, is_diverged, read_curve
from bench.studies.sweep.render import header, markdown, sentences, table_csv, table_rows
from bench.studies.sweep.run import SweepStudy

CLIPS, CLASSES = 40, 4

METRICS = catalog(load_modules(builtin).registry)


class Made:
    """Records of cells with chosen answers, and the arrays that belong to them."""

    def __init__(self) -> None:
        self.arrays: dict[str, dict[str, np.ndarray]] = {}

    def tried(
        self, texts: dict, rates: dict, *, epochs: int = 5, validation: dict | None = None, mode: str = "scratch",
        contended: bool = False,
    ) -> GridPoint:  # fmt: skip
        """A point with a share of right answers per ``(fold, seed)``; ``None`` = diverged, ``"budget"`` = not run."""
        values = parse_overrides([f"recipe.{key}={text}" for key, text in texts.items()])
        recipe = resolve("quick", None, {**values, "epochs": values.get("epochs", epochs)})
        planned, records = [], []
        for (fold, seed), rate in rates.items():
            cell = Cell(kind="evaluate", dataset="d", protocol="4+1@1", fold=fold, model="m", seed=seed, mode=mode,
                        recipe=recipe.name)  # fmt: skip
            planned.append(PlannedCell(cell=cell, recipe=recipe, fingerprint="f", train_clips=80, test_clips=CLIPS))
            record = self.record(cell, rate, recipe.epochs, (validation or {}).get((fold, seed)))
            records.append(record.model_copy(update={"environment": {"contended": contended}}))
        return GridPoint(texts=texts, values=values, planned=tuple(planned), records=tuple(records))

    def record(self, cell: Cell, rate: float | str | None, epochs: int, validation: float | None) -> Record:
        if not isinstance(rate, float):
            status, reason = ("failed", "nan") if rate is None else ("over_budget", "budget")
            failure = Failure(reason=reason, stage="train", message=f"{reason} it is")
            return Record(cell=cell, status=status, started_at="", error=failure)
        rng = np.random.default_rng([cell.fold, 7])
        targets = rng.integers(0, CLASSES, CLIPS)
        right = np.arange(CLIPS) < round(rate * CLIPS)
        said = np.where(right, targets, (targets + 1) % CLASSES)
        self.arrays[cell.id] = {
            "ids": np.array([f"{cell.fold}-{i}" for i in range(CLIPS)]), "targets": targets,
            "logits": np.eye(CLASSES, dtype=np.float32)[said],
            "groups": np.array([f"{cell.fold}-{i // 2}" for i in range(CLIPS)]),
            "curve_train_loss": np.ones(2), "curve_val_accuracy": np.array([0.0, validation or math.nan]),
        }  # fmt: skip
        dataset = {"title": "Made", "train": 80, "test": CLIPS, "manifest_sha256": "x", "chance_accuracy": 0.25}
        return Record(
            cell=cell, status="ok", scores=(Score(name="accuracy", value=float(right.mean())),), started_at="",
            timing={"epochs": epochs if cell.mode == "scratch" else None, "train_s": 2.0},
            provenance={"dataset": dataset},
            artifacts={"predictions": {"file": "x.npz"}},
        )  # fmt: skip

    def predictions(self, record: Record) -> dict[str, np.ndarray]:
        return self.arrays[record.cell.id]

    def curve(self, points: list[GridPoint], *, validates: bool = False) -> dict:
        keys = list(points[0].texts)
        found = read_curve(points, keys, self.predictions, METRICS)
        label = None if validates else "sensitivity, not selection"
        return {
            "model": "m", "label": "m", "dataset": "d", "protocol": "4+1@1", "axes": {},
            "selection": {"validates": validates, "label": label, "protocols": ["3+1+1"]}, **found,
        }  # fmt: skip


def sweep_of(curve: dict) -> dict:
    keys = list(curve["points"][0]["texts"])
    what = {"recipe": "quick", "fixed": [], "points": len(curve["points"]), "device": "cpu", "precision": "fp32",
            "limit": None}  # fmt: skip
    return {"keys": keys, "what": what, "cells": 9, "curves": [curve]}


def both(rate):
    return {(fold, seed): rate for fold in (1, 2) for seed in range(3)}


@pytest.fixture
def curve() -> dict:
    made = Made()
    rates = {"1e-5": 0.3, "1e-4": 0.75, "3e-4": 0.8, "1e-3": 0.7, "1e-2": None}
    return made.curve([made.tried({"lr": text}, both(rate)) for text, rate in rates.items()])


# --- reading


def test_points_hold_scores_intervals_and_budgets(curve) -> None:
    points = curve["points"]
    assert [point["score"] for point in points] == [pytest.approx(v) for v in (0.3, 0.75, 0.8, 0.7)] + [None]
    assert all(point["interval"][0] < point["score"] < point["interval"][1] for point in points[:4])
    assert [point["clips_seen"] for point in points] == [400.0] * 5
    assert [point["budget_measured"] for point in points] == [True] * 4 + [False]
    assert curve["best"] == 2


def test_comparisons_are_those_of_the_ranking_over_all_pairs(curve) -> None:
    right = {
        f"{i:06d}": np.tile(np.arange(CLIPS) < round(r * CLIPS), (3, 2)) for i, r in enumerate((0.3, 0.75, 0.8, 0.7))
    }
    groups = np.array([f"{fold}-{i // 2}" for fold in (1, 2) for i in range(CLIPS)])
    expected = ranking(right, groups)
    for place, name in enumerate(m.name for m in expected.models):
        if place:
            against = curve["points"][int(name)]["against_best"]
            assert against["p_value"] == pytest.approx(expected.p_values[0, place])
            assert against["difference"] == pytest.approx(-expected.differences[0, place])
    assert curve["points"][0]["against_best"]["resolved"]
    assert not curve["points"][1]["against_best"]["resolved"]


def test_below_three_seeds_no_value_is_told_apart() -> None:
    made = Made()
    rates = {"1e-5": 0.3, "1e-4": 0.9}
    found = made.curve([made.tried({"lr": t}, {(1, 0): r, (2, 0): r}) for t, r in rates.items()])
    assert found["best"] == 1
    assert found["points"][0]["against_best"] is None
    assert found["points"][0]["interval_note"].endswith("over clips only")
    text = markdown(sweep_of(found), {}, {})
    assert "Highest: lr 1e-4 with 90.0 %; no paired test: 1 seed: a rank needs at least 3." in text
    assert "differs significantly" not in text


def test_a_diverged_value_is_a_point_and_no_failure(curve) -> None:
    point = curve["points"][4]
    assert (point["status"], point["diverged"], point["complete"]) == ("diverged", 6, False)
    made = Made()
    record = made.tried({"lr": "1"}, {(1, 0): None}).records[0]
    assert is_diverged(record)
    broken = record.model_copy(update={"error": Failure(reason="raised", stage="train", message="oh")})
    study = SweepStudy(what={}, keys=("lr",), curves=(), records=(record, broken), reused=0)
    assert study.failed == [broken]


def test_half_a_value_is_never_the_best() -> None:
    made = Made()
    half = made.tried({"lr": "1e-2"}, {(1, 0): 1.0, (2, 0): None})
    found = made.curve([made.tried({"lr": "1e-3"}, both(0.5)), half])
    assert found["best"] == 0
    assert found["points"][1]["status"] == "diverged 1, ok 1"
    assert found["points"][1]["score"] == 1.0
    assert found["points"][1]["against_best"] is None


def test_nothing_finished_has_a_reason() -> None:
    made = Made()
    found = made.curve([made.tried({"lr": "1"}, both(None)), made.tried({"lr": "2"}, both("budget"))])
    assert found["best"] is None
    assert [point["status"] for point in found["points"]] == ["diverged", "over_budget"]
    text = "\n".join(sentences(sweep_of(found), found))
    assert "No best value: no value finished all its folds and seeds." in text
    assert "lr 2: over budget (budget it is)." in text


def test_each_fold_picks_its_value_on_its_own_validation() -> None:
    made = Made()
    first = made.tried({"lr": "1"}, {(1, 0): 0.5, (2, 0): 0.25}, validation={(1, 0): 0.9, (2, 0): 0.1})
    second = made.tried({"lr": "2"}, {(1, 0): 1.0, (2, 0): 0.75}, validation={(1, 0): 0.2, (2, 0): 0.8})
    found = made.curve([first, second], validates=True)
    assert found["chosen"]["by_fold"] == {"1": {"lr": "1"}, "2": {"lr": "2"}}
    assert found["chosen"]["test"] == pytest.approx((0.5 + 0.75) / 2)
    text = "\n".join(sentences(sweep_of(found), found))
    assert "Picked on validation (fold 1: lr 1; fold 2: lr 2), the test score is 62.5 %." in text
    assert "not selection" not in text


def test_alike_is_one_run_around_the_best(curve) -> None:
    shape = curve["shape"]["lr"]
    assert [curve["points"][i]["texts"]["lr"] for i in shape["alike"]] == ["1e-4", "3e-4", "1e-3"]
    assert shape["alike_elsewhere"] == []
    assert not shape["edge"]


def test_best_at_the_edge_is_said() -> None:
    made = Made()
    found = made.curve([made.tried({"lr": t}, both(r)) for t, r in (("1e-3", 0.3), ("1e-2", 0.9), ("1e-4", 0.2))])
    assert found["shape"]["lr"]["edge"]
    text = "\n".join(sentences(sweep_of(found), found))
    assert "better ones may lie beyond" in text
    assert "every other finished value differs significantly from 1e-2" in text


# --- words and drawing


def test_page_says_what_it_must(curve) -> None:
    page = markdown(sweep_of(curve), {0: "sweep.svg"}, {"d": "all.svg"})
    assert "## m on Made (sensitivity, not selection)" in page
    assert "picking a value by them is selection on the test split; to pick a value, use --protocol 3+1+1." in page
    assert "recipe.lr: 1e-4 to 1e-3 (3 of 5 values) do not differ significantly from the best." in page
    assert "Sensitivity to recipe.lr: the score spans 9.6 points over a 10x change around the best" in page
    assert "Equal budgets: every value that finished was given 400 clips (epochs x clips) a cell" in page
    assert "lr 1e-2: diverged (nan it is)." in page
    assert "Not significant is not equal" in page
    assert "![accuracy of m by recipe.lr](sweep.svg)" in page


def test_table_has_every_point(curve) -> None:
    sweep = sweep_of(curve)
    rows = table_rows(sweep, curve)
    assert all(len(row) == len(header(sweep, curve)) for row in rows)
    assert header(sweep, {**curve, "seeds": [0, 1]})[2] == "95 % interval over clips only"
    assert header(sweep, {**curve, "seeds": [0, 1, 2]})[2] == "95 % interval"
    assert [row[0] for row in rows] == ["1e-5", "1e-4", "3e-4", "1e-3", "1e-2"]
    assert rows[2][3] == "best"
    assert rows[0][3].startswith("-50.0, differs significantly")
    assert rows[4][1:4] == ["-", "-", "-"]
    read = list(csv.DictReader(io.StringIO(table_csv(sweep))))
    assert [row["recipe.lr"] for row in read] == ["1e-5", "1e-4", "3e-4", "1e-3", "1e-2"]
    assert [row["best"] for row in read].index("True") == 2
    assert read[4]["score"] == ""


def test_unequal_budgets_are_said() -> None:
    made = Made()
    found = made.curve([made.tried({"epochs": t}, both(r)) for t, r in (("5", 0.3), ("10", 0.9))])
    assert "Budgets differ: 400 to 800 clips" in "\n".join(sentences(sweep_of(found), found))


def test_what_is_fitted_once_has_no_epochs() -> None:
    made = Made()
    found = made.curve([made.tried({"shots": t}, both(r), mode="logistic") for t, r in (("1", 0.3), ("10", 0.9))])
    assert "epochs" not in " ".join(header(sweep_of(found), found))
    assert [row[4] for row in table_rows(sweep_of(found), found)] == ["80", "80"]
    said = "\n".join(sentences(sweep_of(found), found))
    assert "Equal budgets: every value was given 80 training clips a cell" in said
    assert "Seconds of training hold what embedding the clips took" in said


def test_a_point_without_a_result_has_no_part_in_the_budgets_that_are_told() -> None:
    made = Made()
    points = (("1", 0.5), ("5", 0.5), ("900", "budget"))
    found = made.curve([made.tried({"shots": t}, both(r), mode="knn") for t, r in points])
    said = "\n".join(sentences(sweep_of(found), found))
    assert "Equal budgets: every value that finished was given 80 training clips a cell" in said
    assert "epochs" not in said
    assert "better ones may lie beyond" not in said  # all score the same
    found = made.curve([made.tried({"epochs": t}, both(r)) for t, r in (("5", 0.3), ("90", "budget"))])
    assert "Equal budgets: every value that finished was given 400 clips" in "\n".join(
        sentences(sweep_of(found), found)
    )


def test_seconds_beside_other_work_are_said_to_be() -> None:
    made = Made()
    for busy, words in ((True, "Other work ran beside 12 cells: their seconds are no measure of speed."), (False, "")):
        points = [made.tried({"lr": t}, both(0.5), contended=busy) for t in ("1", "2")]
        found = made.curve(points)
        assert ("Other work" in (said := "\n".join(sentences(sweep_of(found), found)))) == busy
        assert words in said
        assert "embedding" not in said


def test_two_keys_are_lines_and_a_third_is_held_at_the_best() -> None:
    made = Made()
    points = [
        made.tried({"lr": lr, "epochs": epochs, "batch": batch}, both(0.9 if (lr, batch) == ("2", "8") else 0.4))
        for lr in ("1", "2") for epochs in ("3", "4") for batch in ("8", "16")
    ]  # fmt: skip
    found = made.curve(points)
    lines = drawn_lines(found, ["lr", "epochs", "batch"])
    assert [(name, len(line)) for name, line in lines] == [("3", 2), ("4", 2)]
    assert {point["texts"]["batch"] for _, line in lines for point in line} == {"8"}
    assert "recipe.lr (at epochs 3, batch 8)" in "\n".join(sentences(sweep_of(found), found))
    assert draw(found, ["lr", "epochs", "batch"])["svg"].count(b"epochs 3") == 1


def test_models_of_a_data_set_share_a_drawing() -> None:
    made = Made()
    curves = [made.curve([made.tried({"lr": t}, both(r)) for t, r in (("1", low), ("3", 0.9))]) for low in (0.3, 0.5)]
    named = [{**curve, "label": name} for curve, name in zip(curves, ("first", "second"), strict=True)]
    drawn = draw_together(named, "lr")
    assert {kind: content[:4] for kind, content in drawn.items()} == {"svg": b"<?xm", "png": b"\x89PNG"}
    assert [drawn["svg"].count(one["label"].encode()) for one in named] == [1, 1]
    assert draw_together(named, "lr") == drawn


@pytest.mark.parametrize(
    ("values", "kind"),
    [((1e-5, 1e-3), "log"), ((1.0, 10.0), "linear"), ((0.0, 100.0), "linear"), (("step", "cosine"), "category"),
     ((None, 0.9), "category"), ((True, False), "category")],
)  # fmt: skip
def test_axis_is_logarithmic_where_values_span_more_than_tenfold(values, kind) -> None:
    points = [{"texts": {"k": str(value)}, "values": {"k": value}} for value in values]
    assert positions(points, "k")[1] == kind


def test_drawing_is_the_same_every_time_and_marks_what_diverged(curve) -> None:
    first, second = draw(curve, ["lr"]), draw(curve, ["lr"])
    assert first == second
    assert first["png"].startswith(b"\x89PNG")
    text = first["svg"].decode()
    assert "diverged" in text
    assert "recipe.lr (logarithmic)" in text
    assert "sensitivity, not selection" in text
    assert "2026" not in text
