"""``bench frontends`` from the command line, on generated tones."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.reports.frontends import feeding_rows, markdown
from bench.studies.claims import CLAIMS

TESTS = Path(__file__).resolve().parents[1]
PLUGINS = [
    "--plugin", str(TESTS / "engine" / "faulty_plugin.py"), "--plugin", str(TESTS / "studies" / "rude_plugin.py"),
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def call(*words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(["frontends", "--dataset", "tones", "--recipe", "smoke", "--device", "cpu", *words, *PLUGINS])
    return status, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    status, out, err = call(
        "--model", "polite.net", "--frontends", "nnaudio,nnaudio_mel,nnaudio_stft", "--evaluate", "--folds", "1,2",
        "--seeds", "0,1", "--set", "recipe.epochs=2", "--json", "--out", str(folder),
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
    assert "| less storage | int16 waveform cache against float32 features, originals deleted | 3200 | 832 |" in page
    assert str(folder) not in page


@pytest.mark.slow
def test_features_that_cannot_be_compared_say_why(study) -> None:
    _, found = study
    rows = {row[0]: row for row in feeding_rows(found)}
    assert rows["nnaudio precomputed"][8] == "ruled out"
    assert rows["nnaudio fly"][8] == "possible"
    assert rows["nnaudio_stft fly"][1] == "-"


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
