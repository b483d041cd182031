"""``bench translate`` from the command line, on the generated demo."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.config.recipes import parse_overrides, resolve

from .calling import called

pytestmark = pytest.mark.usefixtures("own_cache")

TESTS = Path(__file__).resolve().parents[1]


def call(*words: str) -> tuple[int, str, str]:
    return called("translate", *words, "--device", "cpu")


def test_table_page_and_json_say_the_same(tmp_path: Path) -> None:
    words = ["--dataset", "demo", "--rules", "xares-knn,xares-knn-repaired", "--set", "recipe.head_c=[1.0]"]
    status, shown, err = call("mel_statistics", *words, "--out", str(tmp_path))
    assert status == 0, err
    found, page = json.loads((tmp_path / "translate.json").read_text()), (tmp_path / "translate.md").read_text()
    assert [rule["name"] for rule in found["rules"]] == ["xares-knn-repaired", "xares-knn"]
    assert found["what"]["normalise"] == "none"
    for text in (shown, page):
        for rule in found["rules"]:
            assert f"{rule['title']} {rule['version']}" in text
            assert f"{100 * rule['steps'][-1]['score']:.1f}" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mel_statistics", "--dataset", "demo", "--rules", "mteb,hea"], "did you mean 'hear'?"),
        (["mel_statistics", "--dataset", "tones"], "has 0 folds"),
        (["mel_statistics", "--dataset", "chords"], "several labels"),
        (["classical.svm", "--dataset", "demo"], "estimator"),
        (["modes.blind", "--dataset", "demo"], "embed"),
        (["mel_statistics,modes.blind", "--dataset", "demo"], "names 2 models; choose one of"),
        (["mel_statistics", "--set", "recipe.lr=0.1"], "--set recipe.lr=0.1: no rule reads it; they read budget_"),
        (
            ["mel_statistics", "--dataset", "demo", "--rules", "mteb", "--set", "recipe.shots=8"],
            "--set recipe.shots=none",
        ),
        (["mel_statistics", "--set", "model.colour=red"], "no option 'colour'"),
    ],
)
def test_what_cannot_be_translated_is_one_sentence(tmp_path: Path, words, said) -> None:
    plugin = str(TESTS / "execution" / "modes_plugin.py")
    status, _, err = call(*words, "--plugin", plugin, "--out", str(tmp_path))
    assert status in (2, 4), err
    assert said in err
    assert not list(tmp_path.iterdir())


def test_a_setting_whose_word_is_none_can_be_set() -> None:
    assert resolve("quick", None, parse_overrides(["recipe.normalise=none"])).normalise == "none"
    assert resolve("quick", None, parse_overrides(["recipe.patience=none"])).patience is None
