"""The findings: the cheap ones measured again, every stored number looked at, the page made of them."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

ROOT = Path(__file__).resolve().parents[1]
CHEAP = ("digit-duplicates", "majority", "validation-overlap", "gpu-clock", "best-epoch", "one-key", "window")
STORED = json.loads((ROOT / "results" / "published" / "findings.json").read_text(encoding="utf-8"))["findings"]


@pytest.fixture(scope="module", autouse=True)
def importable():
    """The folder of the benchmarks on the path, as running it as a program has it."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield
    sys.path.remove(str(ROOT / "benchmarks"))
    for name in [n for n in sys.modules if n.partition(".")[0] == "findings"]:
        del sys.modules[name]


@pytest.fixture
def registry():
    from findings import registry

    return registry


@pytest.fixture
def check(registry):
    from findings.entry import differences

    return lambda name, data=None: differences(registry.measure(name, data), STORED[name])


@pytest.mark.parametrize("name", CHEAP)
def test_the_stored_numbers_are_those_that_the_code_gives(name, check) -> None:
    assert check(name) == []


@pytest.mark.data
@pytest.mark.parametrize("name", ["own-statistics", "shared-sources"])
def test_the_stored_numbers_are_those_of_the_real_clips(name, check, data_root) -> None:
    assert check(name, data_root) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["batch-mean", "live-dropout", "batch-graph"])
def test_the_stored_numbers_are_those_of_the_networks(name, check) -> None:
    assert check(name) == []


def test_every_finding_is_stored_and_says_where_it_is_from(registry) -> None:
    assert list(STORED) == list(registry.STUDIES)
    for finding in STORED.values():
        assert all(finding[key] for key in ("title", "source", "practice", "method", "instead"))
        assert finding["numbers"][0]["origin"] != "cited", "the headline is our own number"
        assert all(np.isfinite(number["value"]) for number in finding["numbers"])


def test_a_number_that_moved_is_named(registry) -> None:
    from findings.entry import differences

    made = registry.measure("majority", None)
    moved = json.loads(json.dumps(made))
    moved["numbers"][0]["value"] += 1.0
    moved["title"] = "Another"
    first, second = differences(made, moved)
    assert first == "title is worded differently"
    assert second.startswith("bona fide clips called spoofed: 32.18 instead of 33.18")
    assert differences(made, {**made, "numbers": made["numbers"][1:]}) == ["its numbers are others"]
    lost = json.loads(json.dumps(made))
    lost["numbers"][0]["value"] = float("nan")
    assert len(differences(lost, made)) == 1


def test_scores_of_the_confusion_matrix_agree_with_sklearn() -> None:
    from findings.majority import MATRIX, answers

    logits, targets = answers(MATRIX)
    said = logits.argmax(axis=1)
    stored = {number["what"]: number["value"] for number in STORED["majority"]["numbers"]}
    assert stored["accuracy"] == pytest.approx(100 * accuracy_score(targets, said), abs=0.01)
    assert stored["balanced accuracy"] == pytest.approx(100 * balanced_accuracy_score(targets, said), abs=0.01)
    assert (targets == 0).sum() == 2_548
    assert (targets == 1).sum() == 22_296


def test_closed_form_and_simulation_of_duplicates_agree() -> None:
    from findings import digit_duplicates as study

    for rows in (study.as_even_as_possible(), study.at_random()):
        assert len(rows) == study.ROWS
        assert len(np.unique(rows)) == study.DISTINCT
        assert np.mean(study.heard_before(rows)) == pytest.approx(study.expected(rows), abs=0.004)
    assert study.expected(np.arange(study.DISTINCT)) == 0, "without repeats nothing is heard before"


def test_a_model_without_batch_mates_shows_no_dependence() -> None:
    import torch
    from findings.clips import other_mates

    torch.manual_seed(0)
    clips = torch.randn(24, 3, 4)
    alone = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 5))
    assert other_mates(alone, clips, 8, 6, 0).change < 1e-5
    assert other_mates(alone, clips, 8, 6, 0).flips == 0
    assert other_mates(lambda x: alone(x) + x.mean(), clips, 8, 6, 0).change > 0.01
    assert other_mates(lambda x: alone(x).mean(0).expand(len(x), -1), clips, 8, 6, 0).answers == 1


def test_the_main_lobe_is_four_bins_of_the_window() -> None:
    from findings.window import MEANT, RATE, WINDOW, main_lobe

    for window in (WINDOW, MEANT):
        assert main_lobe(window) == pytest.approx(4 * RATE / window, rel=2e-3)


def test_the_page_holds_every_finding_and_no_power_of_ten() -> None:
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    page = generate.findings_page(ROOT / "results" / "published" / "findings.json")
    for name, finding in STORED.items():
        assert f"## {finding['title']}" in page
        assert f"(#{name})" in page
        assert f'id="{name}"' in page
    assert "e-0" not in page
    assert generate.amount({"value": 34_801, "unit": ""}) == "34 801"
    assert generate.amount({"value": 6.9e-10, "unit": "sd"}) == "0 sd"
