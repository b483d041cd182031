"""``bench sweep`` from the command line: a small run, a diverging rate, a budget, and going on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .calling import called

pytestmark = pytest.mark.usefixtures("warm_workers", "own_cache")

PLUGIN = Path(__file__).resolve().parents[1] / "studies" / "sweep" / "sweep_plugin.py"


def call(*words: str) -> tuple[int, str, str]:
    fixed = ["--models", "steep.net", "--dataset", "demo", "--limit", "24", "--recipe", "smoke", "--device", "cpu"]
    return called("sweep", *fixed, "--jobs", "1", *words, "--plugin", str(PLUGIN))


RATES = ("--set", "recipe.lr=1e-2,0.1,10", "--set", "recipe.epochs=2", "--set", "recipe.ema=none")


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    status, out, err = call(*RATES, "--json", "--out", str(folder))
    assert status == 0, err
    return folder, json.loads(out)


@pytest.mark.slow
def test_every_value_is_an_ordinary_cell_of_one_folder(swept) -> None:
    folder, found = swept
    points = found["curves"][0]["points"]
    assert [point["texts"]["lr"] for point in points] == ["1e-2", "0.1", "10"]
    assert len({point["recipe"] for point in points}) == 3
    assert all(point["recipe"].startswith("smoke~") for point in points)
    assert len(list((folder / "records").rglob("*.json"))) == 3
    assert {point["clips_seen"] for point in points} == {48}


@pytest.mark.slow
def test_a_rate_that_diverges_is_a_point(swept) -> None:
    folder, found = swept
    point = found["curves"][0]["points"][2]
    assert (point["status"], point["score"]) == ("diverged", None)
    assert "loss of epoch" in point["problem"]
    assert "| 10 | - | - | - |" in (folder / "sweep.md").read_text()


@pytest.mark.slow
def test_files_agree_and_name_no_folder(swept) -> None:
    folder, found = swept
    names = [Path(name).name for name in found["files"]]
    stem = "sweep-demo-steep.net"
    assert {f"{stem}.svg", f"{stem}.png", f"{stem}.toml", "sweep.md", "sweep.csv", "sweep.json"} == {*names}
    assert json.loads((folder / "sweep.json").read_text())["curves"] == found["curves"]
    page = (folder / "sweep.md").read_text()
    assert f"({stem}.svg)" in page
    assert "sensitivity, not selection" in page
    assert str(folder) not in page
    assert len((folder / "sweep.csv").read_text().splitlines()) == 4
    assert not [*folder.rglob("*.safetensors")]  # as --help says


@pytest.mark.slow
def test_a_second_call_takes_what_is_finished_and_adds_values(swept) -> None:
    folder, first = swept
    more = ["--set", "recipe.lr=1e-2,0.1,0.3", "--set", "recipe.epochs=2", "--set", "recipe.ema=none"]
    status, out, _ = call(*more, "--json", "--out", str(folder))
    found = json.loads(out)
    assert (status, found["reused"]) == (0, 2)
    assert found["curves"][0]["points"][:2] == [
        {**old, "against_best": new["against_best"]}
        for old, new in zip(first["curves"][0]["points"][:2], found["curves"][0]["points"][:2], strict=True)
    ]
    assert found["curves"][0]["points"][2]["status"] == "ok"


@pytest.mark.slow
def test_a_value_over_budget_is_a_row_and_the_others_run(tmp_path) -> None:
    status, out, err = call("--set", "recipe.epochs=1,100000", "--out", str(tmp_path))
    assert status == 0, err
    assert "over_budget" in out
    assert "Equal budgets: every value that finished was given 24 clips" in " ".join(out.split())
    assert "epochs 100000: over budget (" in out


def test_nothing_to_sweep_and_unknown_settings_say_so(tmp_path) -> None:
    status, _, err = call("--set", "recipe.lr=1e-3", "--out", str(tmp_path))
    assert (status, "nothing to sweep" in err) == (2, True)
    status, _, err = call("--set", "recipe.epoch=3,4", "--out", str(tmp_path))
    assert (status, "did you mean 'epochs'" in err) == (2, True)
    status, _, err = call("--set", "recipe.lr=1e-3,1e-2", "--no-evaluate", "--out", str(tmp_path))
    assert (status, "nothing to sweep" in err) == (2, True)


def test_several_values_of_an_option_of_the_network_are_models_of_their_own(tmp_path) -> None:
    status, _, err = call("--set", "model.depth=1,2", "--set", "model.heads=2,4", "--out", str(tmp_path))
    assert (status, "nothing to sweep" in err) == (2, False)
    assert "--set model.depth=1,2: a sweep varies settings of training" in err
    named = ",".join(f"steep.net?depth={depth}&heads={heads}" for depth in (1, 2) for heads in (2, 4))
    assert f"--models '{named}' instead" in err
