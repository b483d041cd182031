"""What a network does wrong becomes a record with a status and the other cells go on.

What a cell does to its process is tried in ``tests/running/test_contract.py``.
"""

from __future__ import annotations

import os

import pytest

from bench.errors import DataError, LeakError, NoCellError, UnknownNameError

pytestmark = pytest.mark.usefixtures("warm_workers")

EXPECTED = {
    "raises": ("failed", "raised", "train"),
    "build_raises": ("failed", "raised", "build"),
    "shape": ("failed", "shape", "build"),
    "nan": ("failed", "nan", "train"),
    "memory": ("oom", "memory", "train"),
}


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    """One run over every faulty model, beside a good one."""
    from pathlib import Path

    from bench.config.selection import Selection
    from bench.config.settings import Settings
    from bench.running.runner import Runner

    folder = tmp_path_factory.mktemp("faults")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "engine-cache"))
        selection = Selection(
            models=("faulty", "tones.good"), datasets=("tones",), folds=(1,), recipe="smoke",
            overrides=("recipe.epochs=2", "recipe.budget_seconds=600"), profile=False,
        )  # fmt: skip
        settings = Settings(out=folder, plugins=(Path(__file__).with_name("faulty_plugin.py"),), jobs=2)
        runner = Runner(selection, settings)
        # The cost of a model that raises cannot be timed; that must not keep it from running.
        result = runner.run()
    return runner, result


@pytest.mark.slow
@pytest.mark.parametrize("fault", sorted(EXPECTED))
def test_fault_is_a_record(evaluation, fault: str) -> None:
    _, result = evaluation
    (record,) = (r for r in result.records if r.cell.model == f"faulty.{fault}")
    assert (record.status, record.error.reason, record.error.stage) == EXPECTED[fault]
    assert record.error.message
    assert record.provenance["fingerprint"]


@pytest.mark.slow
def test_the_others_go_on(evaluation) -> None:
    _, result = evaluation
    good = [r for r in result.records if r.cell.model in ("tones.good", "faulty.prints")]
    assert [r.status for r in good] == ["ok"] * 2
    assert len(result.failed) == len(EXPECTED)


@pytest.mark.slow
def test_what_a_model_prints_is_in_its_log(evaluation) -> None:
    runner, result = evaluation
    cell = next(r.cell for r in result.records if r.cell.model == "faulty.prints")
    log = runner.store.log_path(cell).read_text()
    assert "said by the model" in log
    assert "whispered by the model" in log


@pytest.mark.slow
def test_failure_detail_names_the_line_and_no_absolute_path(evaluation) -> None:
    _, result = evaluation
    record = next(r for r in result.records if r.cell.model == "faulty.raises")
    assert "the model broke here" in record.error.detail
    assert "misbehave" in record.error.detail
    assert str(os.getcwd()) not in record.to_json()  # noqa: PTH109


def test_leaking_split_is_refused_with_its_rate(make_runner) -> None:
    with pytest.raises(LeakError, match=r"leaks: the group of 100\.0%") as caught:
        make_runner("tones.good", datasets=("leaky",)).plan(measure=False)
    assert caught.value.rate == 1.0


def test_needs_another_modality(make_runner) -> None:
    runner = make_runner("wants.image", "tones.good")
    plan = runner.plan(measure=False)
    reasons = {p.cell.model: p.reason for p in plan.cells if p.decision == "incompatible"}
    assert reasons == {"wants.image": "needs image; Tones (generated) gives audio"}


def test_only_incompatible_cells_end_with_no_cell(make_runner) -> None:
    with pytest.raises(NoCellError, match="needs image") as caught:
        make_runner("wants.image").run()
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("selection", "kind", "says"),
    [
        ({"models": ("tones.god",)}, UnknownNameError, "tones.good"),
        ({"datasets": ("tonez",)}, UnknownNameError, "tones"),
        ({"frontend": "torchaudo"}, UnknownNameError, "torchaudio"),
        ({"protocol": "official"}, DataError, "4\\+1"),
        ({"recipe": "quik"}, UnknownNameError, "quick"),
        ({"overrides": ("recipe.epoch=3",)}, Exception, "epochs"),
    ],
)
def test_unknown_names_say_what_is_close(make_runner, selection, kind, says) -> None:
    models = selection.pop("models", ("tones.good",))
    with pytest.raises(kind, match=says):
        make_runner(*models, **selection).plan(measure=False)


def test_missing_fold_is_named(make_runner) -> None:
    with pytest.raises(Exception, match="has no fold 7; it has 1, 2, 3"):
        make_runner("tones.good", folds=(7,)).plan(measure=False)
