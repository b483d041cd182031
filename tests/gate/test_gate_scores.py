"""A gate goes by the direction and unit of the score that the data set is judged by, whatever it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.__main__ import main
from bench.gate.baseline import packed, parse_baseline, unpacked
from bench.gate.verdict import markdown
from bench.metrics.retrieval import retrieved
from bench.metrics.scores import log_loss, macro_f1, mean_average_precision
from bench.metrics.scoring import catalog
from bench.plugins.discovery import discover
from bench.results.records import Score
from bench.results.store import Store

GOLDEN = Path(__file__).parent / "golden"
LOSS = {"name": "log_loss", "unit": "nats", "higher_is_better": False}


def costly_errors(logits, targets) -> float:
    """A plugin's metric that the host does not know: twice the share of wrong answers."""
    return 2 * float((logits.argmax(axis=1) != targets).mean())


def judged_by(
    store: Store,
    scale: float = 1.0,
    noise: float = 0.0,
    score: dict = LOSS,
    *,
    logits: bool = True,
    compute: Callable[..., float] = log_loss,
) -> Store:
    """The run with another primary metric; ``scale`` multiplies the stored score, ``noise`` spoils the logits."""
    rng = np.random.default_rng(7)
    for record in store.records()[0]:
        if record.cell.kind != "evaluate":
            continue
        arrays = dict(store.predictions(record))
        arrays["logits"] = (3 * arrays["logits"] + noise * rng.normal(size=arrays["logits"].shape)).astype(np.float32)
        value = scale * compute(arrays["logits"], arrays["targets"])
        dataset = {**record.provenance["dataset"], "primary_metric": score["name"]}
        changed = record.model_copy(
            update={
                "scores": (*record.scores, Score(value=value, **score)),
                "provenance": {**record.provenance, "dataset": dataset},
                "artifacts": {},
            }
        )
        store.write(changed, arrays if logits else None)
    return store


def verdict_on(gated, candidate, baseline, name="log_loss"):
    verdict = gated(candidate, baseline)
    (finding,) = [finding for finding in verdict.findings if finding.quantity == name]
    return verdict, finding


@pytest.mark.parametrize(
    ("scale", "outcome", "status"), [(3.0, "regression", "regression"), (0.3, "passed", "improved")]
)
def test_a_tripled_loss_is_a_regression_and_a_smaller_one_is_not(runs, gated, scale, outcome, status):
    verdict, finding = verdict_on(gated, judged_by(runs(1), scale), judged_by(runs(2)))
    assert (verdict.outcome, finding.status) == (outcome, status)
    assert finding.unit == "nats"
    assert "nats" in markdown(verdict)
    assert finding.candidate == pytest.approx(scale * finding.baseline)


def test_a_score_that_rises_with_the_loss_is_the_other_way_round(runs, gated):
    score = {"name": "gain", "unit": "", "higher_is_better": True}
    _, finding = verdict_on(gated, judged_by(runs(1), 3.0, score=score), judged_by(runs(2), score=score), "gain")
    assert finding.status == "improved"


@pytest.mark.parametrize(
    ("score", "compute", "scale"),
    [
        (LOSS, log_loss, 3.0),
        ({"name": "macro_f1", "unit": "fraction", "higher_is_better": True}, macro_f1, 0.8),
        ({"name": "costly_errors", "unit": "", "higher_is_better": False}, costly_errors, 1.5),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_golden_verdicts(runs, gated, score, compute, scale):
    found = gated(
        judged_by(runs(1), scale, score=score, compute=compute), judged_by(runs(1), score=score, compute=compute)
    )
    assert found.outcome == "regression"
    path = GOLDEN / f"verdict-{score['name'].replace('_', '-')}.md"
    assert markdown(found) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(("score", "compute"), [("macro_f1", macro_f1), ("map", mean_average_precision)])
def test_a_score_of_classes_is_paired_by_draws_of_groups(runs, gated, score, compute):
    judged = {"score": {"name": score, "unit": "fraction", "higher_is_better": True}, "compute": compute}
    baseline = judged_by(runs(1), **judged)
    _, same = verdict_on(gated, judged_by(runs(2), **judged), baseline, score)
    assert same.status == "ok"
    _, worse = verdict_on(gated, judged_by(runs(1, worse=0.1), **judged), baseline, score)
    assert worse.status == "regression"
    assert "of the score itself" in worse.reason
    assert worse.low < worse.change < worse.high < 0
    assert worse.high - worse.low < 0.1


def test_a_score_of_another_name_is_no_comparison(runs, gated):
    _, finding = verdict_on(gated, runs(1), judged_by(runs(2)))
    assert finding.status == "vanished"
    assert "scored by accuracy, the baseline by log_loss" in finding.reason


def test_values_per_clip_survive_the_file():
    bits, losses = np.array([1.0, 0, 1, 1, 0, 0, 0, 1, 1]), np.array([0.25, 3.5, 1e-3])
    assert packed(bits).startswith("bits:")
    np.testing.assert_array_equal(unpacked(packed(bits), 9), bits)
    np.testing.assert_allclose(unpacked(packed(losses), 3), losses, rtol=1e-6)


def test_a_baseline_of_version_1_knows_the_directions_of_the_hosts_scores():
    raw = json.loads((GOLDEN / "baseline-v1.json").read_text(encoding="utf-8"))
    from bench.gate import baseline

    del raw["sha256"]
    raw["rows"][0]["metric"] = "log_loss"
    raw["sha256"] = baseline._checksum(raw)
    row = parse_baseline(json.dumps(raw), "old.json").rows[0]
    assert (row.unit, row.higher_is_better, row.cells[0].per_clip) == ("nats", False, "bits:ff40")


def test_a_worse_loss_is_paired_clip_by_clip(runs, gated):
    _, finding = verdict_on(gated, judged_by(runs(1), noise=2.0), judged_by(runs(2)))
    assert finding.status == "regression"
    assert "paired bootstrap over 200 groups" in finding.reason
    assert finding.tolerance < finding.low <= finding.change <= finding.high
    _, same = verdict_on(gated, judged_by(runs(1)), judged_by(runs(2)))
    assert (same.status, same.change) == ("ok", 0)


def frozen(store: Store, worse: float = 0.0, *, arrays: bool = True) -> Store:
    """The run with scores of vectors: of each clip its class and noise, the same noise however much ``worse``."""
    metrics = {name: one for name, one in catalog(discover()).items() if one.reads in ("retrieval", "clusters")}
    for record in store.records()[0]:
        if record.cell.kind != "evaluate":
            continue
        found, rng = dict(store.predictions(record)), np.random.default_rng(record.cell.fold)
        targets, groups = found["targets"].astype(np.int64), found["groups"].tolist()
        vectors = np.eye(4)[targets] + (0.4 + worse) * rng.normal(size=(len(targets), 4))
        found["retrieval"] = retrieved(vectors.astype(np.float32), targets, groups)
        found["clusters"] = vectors.argmax(axis=1)
        scores = tuple(one.score(found[one.reads], targets) for one in metrics.values())
        changed = record.model_copy(update={"scores": (*record.scores, *scores), "artifacts": {}})
        store.write(changed, found if arrays else None)
    return store


VECTOR_SCORES = ("retrieval_map", "recall_at_1", "v_measure", "adjusted_rand")


def test_scores_of_vectors_are_paired_over_groups_beside_the_boards_own(runs, gated):
    def findings(candidate: Store) -> dict:
        return {one.quantity: one for one in gated(candidate, baseline, wanted=VECTOR_SCORES).findings}

    baseline = frozen(runs(1))
    same, worse = findings(frozen(runs(1))), findings(frozen(runs(1), worse=0.3))
    assert same["accuracy"].status == worse["accuracy"].status == "ok"
    for name in VECTOR_SCORES:
        assert (same[name].status, same[name].change) == ("ok", 0)
        assert "no values" not in same[name].reason
        assert worse[name].status == "regression"
        assert worse[name].low <= worse[name].change <= worse[name].high < 0
        assert "200 groups" in worse[name].reason
    beside, alone = (gated(baseline, baseline, wanted=wanted).findings for wanted in (VECTOR_SCORES, ()))
    assert len(beside) == len(alone) + len(VECTOR_SCORES)


def test_scores_of_vectors_without_arrays_have_no_interval_and_what_lacks_them_vanishes(runs, gated):
    bare = gated(frozen(runs(1), arrays=False), frozen(runs(1)), wanted=VECTOR_SCORES).findings
    found = {one.quantity: one for one in bare}
    assert found["retrieval_map"].reason == "no interval: no values of the same clips on both sides"
    gone = {one.quantity: one for one in gated(runs(1), frozen(runs(1)), wanted=("v_measure",)).findings}
    assert gone["v_measure"].status == "vanished"


def test_only_scores_that_are_there_are_pinned_and_gated(runs, tmp_path, capsys):

    store, pinned = frozen(runs(1)), tmp_path / "base.json"
    assert main(["baseline", "pin", str(store.root), "--to", str(pinned), "--metric", "retrieval_mop"]) == 2
    assert "is scored by 'retrieval_mop': did you mean 'retrieval_map'" in capsys.readouterr().err
    assert main(["baseline", "pin", str(store.root), "--to", str(pinned), "--metric", "retrieval_map"]) == 0
    assert main(["gate", str(frozen(runs(1), worse=0.3).root), "--baseline", str(pinned)]) == 3
    assert "retrieval_map" in capsys.readouterr().out
    assert main(["gate", str(runs(1).root), "--baseline", str(pinned)]) == 4
