"""``bench frontends`` from the command line, on generated tones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.studies.frontends.claims import CLAIMS
from bench.studies.frontends.render import feeding_rows, markdown

from .calling import called

pytestmark = pytest.mark.usefixtures("warm_workers", "own_cache")

TESTS = Path(__file__).resolve().parents[1]
PLUGINS = [
    "--plugin", str(TESTS / "execution" / "faulty_plugin.py"), "--plugin", str(TESTS / "studies" / "rude_plugin.py"),
]  # fmt: skip


def call(*words: str) -> tuple[int, str, str]:
    return called("frontends", "--dataset", "tones", "--recipe", "smoke", "--device", "cpu", *words, *PLUGINS)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    status, out, err = call(
        "--model", "polite.net", "--frontends", "nnaudio,nnaudio_mel,nnaudio_stft", "--evaluate", "--folds", "1,2",
        "--seeds", "0,1", "--processes", "2", "--set", "recipe.epochs=2", "--json", "--out", str(folder),
    )  # fmt: skip
    assert status == 0, err
    return folder, json.loads(out)


@pytest.mark.slow
def test_every_feeding_is_a_row(study) -> None:
    _, found = study
    rows = found["rows"]
    assert list(rows) == ["nnaudio fly", "nnaudio_mel fly", "nnaudio_stft fly", "nnaudio precomputed"]
    assert rows["nnaudio_stft fly"]["status"] == "incompatible"
    assert "does not take front end 'nnaudio_stft'" in rows["nnaudio_stft fly"]["problem"]
    good = [row for row in rows.values() if row["status"] == "ok"]
    assert len(good) == 3
    assert all(row["processes"] == len(row["samples"]["infer"]) == 2 for row in good)
    assert all(row["infer"] > 0 and row["train"] > 0 and row["host_train_mib"] > 0 for row in good)


@pytest.mark.slow
def test_stored_features_leave_the_front_end_out_of_the_count(study) -> None:
    _, found = study
    classes, features = 3, 8 * 26
    assert found["rows"]["nnaudio precomputed"]["flops"] == 2 * features * classes
    assert found["rows"]["nnaudio fly"]["flops"] > 2 * features * classes


@pytest.mark.slow
def test_storage_and_preparation_add_up(study) -> None:
    _, found = study
    storage = found["features"]["storage"]
    assert storage == {"source": None, "int16": 3200, "float32": 8 * 26 * 4, "float16": 8 * 26 * 2}
    assert found["features"]["baseline"] == {
        "sample_rate": 8000, "codec": "generated", "frontend": "nnaudio", "shape": [8, 26],
    }  # fmt: skip
    assert found["features"]["preparation"]["decode_s"] > 0
    assert "generated" in found["features"]["reasons"]["storage.source"]
    assert found["features"]["preparation"]["of"] == 36
    assert found["features"]["preparation"]["seconds"] > 0


@pytest.mark.slow
def test_matched_front_ends_agree_and_half_precision_hardly_differs(study) -> None:
    _, found = study
    parity = found["features"]["parity"]
    assert parity["nnaudio"]["max_db"] < 0.1
    assert parity["nnaudio_mel"]["max_db"] == pytest.approx(parity["nnaudio"]["max_db"], abs=1e-3)
    assert 0 < parity["torchaudio as float16"]["max_db"] < 0.1


@pytest.mark.slow
def test_accuracy_difference_has_its_interval_over_folds_and_seeds(study) -> None:
    _, found = study
    (mel,) = found["accuracy"]
    assert (mel["frontend"], mel["against"], mel["folds"]) == ("nnaudio_mel", "nnaudio", [1, 2])
    assert mel["seeds"] == [[0, 1], [0, 1]]
    low, high = mel["interval"]
    assert low <= mel["difference"] <= high
    assert mel["difference"] == pytest.approx(mel["accuracy"] - mel["accuracy_frozen"])


@pytest.mark.slow
def test_every_claim_has_its_verdict_and_the_files_hold_it(study) -> None:
    folder, found = study
    assert {case["claim"] for case in found["verdicts"] if case["main"]} == set(CLAIMS)
    assert json.loads((folder / "frontends.json").read_text())["verdicts"] == found["verdicts"]
    page = (folder / "frontends.md").read_text()
    assert page == markdown(found)
    case = "int16 waveform cache (8000 Hz) against float32 nnaudio features (8 x 26), the waveforms deleted"
    assert f"| less storage | {case} | 3200 | 832 |" in page
    assert all(case["basis"] and " against " in case["case"] for case in found["verdicts"])
    assert str(folder) not in page


@pytest.mark.slow
def test_pictures_are_written_and_named(study) -> None:
    folder, found = study
    names = [Path(file).name for file in found["files"]]
    drawn = [f"frontends-{kind}.{ending}" for kind in ("bars", "spectrograms") for ending in ("svg", "png")]
    assert names == ["frontends.json", "frontends.md", *drawn]
    assert all((folder / name).stat().st_size > 1000 for name in names)
    page = (folder / "frontends.md").read_text()
    assert ", 2 processes per feeding." in page
    assert "(frontends-bars.svg)" in page
    assert "(frontends-spectrograms.svg)" in page
    # nnaudio_mel is trainable: before training it is nnaudio.
    assert [(one["clip"], one["frontend"]) for one in found["pictures"]] == [
        ("tone-0", "nnaudio"),
        ("tone-1", "nnaudio"),
    ]


@pytest.mark.slow
def test_delivery_is_measured_for_what_is_frozen(study) -> None:
    _, found = study
    rows = {(row["kept"], row["place"], row["frontend"]): row for row in found["delivery"]["rows"]}
    assert {name for _, _, name in rows} == {"nnaudio", None}
    warm = rows["float32", "warm", None]
    assert all(rate["interval"][0] <= rate["clips_per_s"] <= rate["interval"][1] for rate in warm["rates"].values())
    assert set(warm["rates"]) == {"16", "32"}
    assert rows["files", "warm", "nnaudio"]["reasons"]["rates"].startswith("the clips are generated")


@pytest.mark.slow
def test_a_second_call_measures_nothing_and_says_the_same(study) -> None:
    folder, found = study
    status, out, err = call(
        "--model", "polite.net", "--frontends", "nnaudio,nnaudio_mel,nnaudio_stft", "--seeds", "0,1",
        "--processes", "2", "--set", "recipe.epochs=2", "--json", "--out", str(folder),
    )  # fmt: skip
    assert status == 0, err
    again = json.loads(out)
    assert (again["rows"], again["delivery"], again["features"]) == (
        found["rows"], found["delivery"], found["features"],
    )  # fmt: skip
    assert again["reused"] == 6
    assert again["measured_before"]
    assert "delivery were measured before" in err


@pytest.mark.slow
def test_features_that_cannot_be_compared_say_why(study) -> None:
    _, found = study
    rows = {row[0]: row for row in feeding_rows(found)}
    assert rows["nnaudio precomputed"][8] == "ruled out"
    assert rows["nnaudio on the fly"][8] == "possible"
    assert rows["nnaudio_stft on the fly"][1] == "-"


def test_a_model_without_a_front_end_is_refused(tmp_path) -> None:
    status, _, err = call("--model", "wants.image", "--out", str(tmp_path))
    assert status == 2
    assert "takes the waveform" in err


def test_unknown_names_say_what_is_close(tmp_path) -> None:
    status, _, err = call("--model", "polite.ned", "--out", str(tmp_path))
    assert status == 2
    assert "polite.net" in err
    status, _, err = call("--model", "polite.net", "--frontends", "nnaudoi", "--out", str(tmp_path))
    assert status == 2
    assert "nnaudio" in err
