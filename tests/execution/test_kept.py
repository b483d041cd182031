"""A fitted cell out of its checkpoint answers as it did, in every run mode, and on files of any length."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch

from bench.__main__ import main
from bench.cell import Cell
from bench.clips import TaskInfo
from bench.data.locate import open_clips
from bench.data.waveforms import open_waveforms
from bench.errors import BenchError, CheckpointError, SelectionError, StoreError
from bench.execution.kept import reopen
from bench.job import Job
from bench.metrics.arrays import chances
from bench.plugins.discovery import load
from bench.recipe import Recipe
from bench.results.store import Store
from bench.studies.export.run import export
from bench.studies.predict.run import check_inputs, files_of, listen

PLUGIN = Path(__file__).with_name("modes_plugin.py")
RECIPE = Recipe(
    name="plain", epochs=2, batch=8, ema=None, mixup_alpha=0.0, trim_db=None, roll=False, gain_db=0.0, shift=0.0,
    pretrain_steps=4, pretrain_batch=8,
)  # fmt: skip
RATE, SAMPLES = 8000, 1600
WAYS = [
    ("scratch", "random", "tones"), ("finetune", "masked", "tones"), ("probe", "masked", "tones"),
    ("knn", "masked", "tones"), ("probe", "masked", "chords"), ("knn", "masked", "chords"),
]  # fmt: skip


@pytest.fixture(scope="module")
def registry():
    return load((PLUGIN,)).registry


@pytest.fixture
def stored(registry, evaluated, tmp_path: Path):
    """``stored(mode, ...)``: a cell run in this process and stored as the host stores it."""

    def one(mode="scratch", weights="random", dataset="tones", model="modes.good", recipe=RECIPE, **changes):
        cell = Cell(
            kind="evaluate", dataset=dataset, protocol="official@1", fold=0, model=model, mode=mode, weights=weights,
            frontend="torchaudio", recipe="plain", batch=8, clip_samples=SAMPLES,
        )  # fmt: skip
        found = evaluated(registry, Job(cell=cell, recipe=recipe, fingerprint="f", **changes))
        store = Store(tmp_path / "run")
        store.prepare()
        return store, store.write(found.record, found.arrays, found.files)

    return one


@pytest.fixture(scope="module")
def tones(registry, tmp_path_factory: pytest.TempPathFactory):
    """The clips of the data set as files, by id."""
    entry = registry.datasets["tones"]
    clips = open_clips(entry.spec, None, load=entry.factory)
    root = tmp_path_factory.mktemp("tones")
    waves = open_waveforms(clips, trim_db=None, fill="zeros", cache=root).samples
    for name, wave in zip(clips.ids, waves, strict=True):
        soundfile.write(root / f"{name}.wav", wave, RATE, subtype="PCM_16")
    return root


@pytest.mark.parametrize(("mode", "weights", "dataset"), WAYS)
def test_files_get_the_logits_that_the_cell_stored(registry, stored, tones, tmp_path, mode, weights, dataset) -> None:
    store, record = stored(mode, weights, dataset)
    arrays, entry = store.predictions(record), registry.datasets[dataset]
    clips = open_clips(entry.spec, None, load=entry.factory)
    waves = open_waveforms(clips, trim_db=None, fill="zeros", cache=tmp_path)
    files = []
    for name in arrays["ids"]:
        files.append(tmp_path / f"{name}.wav")
        soundfile.write(files[-1], waves.samples[clips.ids.index(name)], RATE, subtype="PCM_16")
    found = [*listen(reopen(registry, store, record), files)]
    assert [one.file for one in found] == files
    wanted = chances(arrays["logits"], several=dataset == "chords")
    np.testing.assert_allclose([one.chances for one in found], wanted, atol=2e-6)
    assert record.provenance["task"]["sample_rate"] == RATE


def test_a_record_that_does_not_say_its_task_takes_what_the_data_set_declares(registry, stored, tones) -> None:
    store, record = stored()
    provenance = {key: value for key, value in record.provenance.items() if key != "task"}
    old = record.model_copy(update={"provenance": provenance})
    with pytest.raises(CheckpointError, match="sample rate; run its command again"):
        reopen(registry, store, old)
    tones = registry.datasets["tones"]
    declared = TaskInfo(num_classes=3, sample_rate=RATE, clip_samples=SAMPLES)
    told = replace(tones, spec=replace(tones.spec, task=declared))
    datasets = replace(registry.datasets, entries={**registry.datasets.entries, "tones": told})
    kept = reopen(replace(registry, datasets=datasets), store, old)
    assert (kept.task.sample_rate, kept.task.task_type) == (RATE, "single_label")


def test_windows_cover_a_file_and_the_first_is_the_clip(registry, stored, tones, tmp_path) -> None:
    store, record = stored()
    kept = reopen(registry, store, record)
    wave, _ = soundfile.read(tones / "tone-40.wav", dtype="int16")
    long, short = tmp_path / "long.WAV", tmp_path / "short.wav"
    soundfile.write(long, np.concatenate([wave, wave, wave[:500]]), RATE)
    soundfile.write(short, wave[:700], RATE)
    assert files_of([tmp_path]) == [long, short]
    whole, first, second, last, cut = listen(kept, [tones / "tone-40.wav", long, short])
    assert [round(one.start * RATE) for one in (first, second, last)] == [0, SAMPLES, SAMPLES + 500]
    assert last.stop * RATE == 2 * SAMPLES + 500
    np.testing.assert_allclose([first.chances, second.chances], [whole.chances] * 2, atol=1e-6)
    assert (cut.start, cut.stop) == (0, 700 / RATE)
    halves = [round(one.start * RATE) for one in listen(kept, [long], hop=0.1)]
    assert halves == [0, 800, 1600, 2100]
    with pytest.raises(SelectionError, match="no audio file below"):
        files_of([tmp_path / "run"])


def test_an_encoder_that_brings_its_weights_is_not_stored_again(registry, stored, tones, tmp_path) -> None:
    store, record = stored("probe", model="modes.brought")
    names = [*safetensors.torch.load(store.content(record, "checkpoint"))]
    assert [name for name in names if not name.startswith(("probe.", "normaliser.", "frontend."))] == []
    arrays, kept = store.predictions(record), reopen(registry, store, record)
    found = [one.chances for one in listen(kept, [tones / f"{name}.wav" for name in arrays["ids"]])]
    np.testing.assert_allclose(found, chances(arrays["logits"], several=False), atol=2e-6)
    export(registry, store, kept, tmp_path / "whole.safetensors")
    assert "model.body.1.weight" in safetensors.torch.load_file(tmp_path / "whole.safetensors")
    # Trained in the cell, or of chance: nobody else has them.
    for mode, weights, model in (("probe", "random", "modes.good"), ("scratch", "random", "modes.brought")):
        other = store.content(stored(mode, weights, model=model)[1], "checkpoint")
        assert "model.body.1.weight" in safetensors.torch.load(other)


def test_an_encoder_with_other_weights_than_the_cells_is_refused(registry, stored) -> None:
    store, record = stored("probe", model="modes.brought")
    other = record.model_copy(update={"cell": replace(record.cell, seed=1), "artifacts": {}})
    store.write(other, None, {"checkpoint.safetensors": store.content(record, "checkpoint")})
    with pytest.raises(CheckpointError, match=r"weights of modes.brought are not those that .* was fitted on; give it"):
        reopen(registry, store, store.read(other.cell))


def test_what_cannot_be_reopened_says_what_to_do(registry, stored, tmp_path) -> None:
    store, record = stored(keep_checkpoint=False)
    with pytest.raises(CheckpointError, match=r"kept no checkpoint.*--keep-checkpoints"):
        reopen(registry, store, record)
    store, record = stored()
    other = record.model_copy(update={"cell": replace(record.cell, model="modes.wide")})
    Store(store.root).write(other.model_copy(update={"artifacts": {}}), None, {
        "checkpoint.safetensors": store.content(record, "checkpoint")
    })  # fmt: skip
    with pytest.raises(CheckpointError, match=r"does not fit modes.wide as it is now"):
        reopen(registry, store, Store(store.root).read(other.cell))
    shuffled = record.model_copy(update={"cell": replace(record.cell, inputs="audio.shuffled")})
    kept = replace(reopen(registry, store, record), record=shuffled)
    with pytest.raises(SelectionError, match=r"tested on audio.shuffled; only cells tested on audio alone"):
        check_inputs(kept)
    store.path(record.cell).with_suffix(".safetensors").write_bytes(b"other")
    with pytest.raises(StoreError, match=r"checkpoint .* was changed"):
        reopen(registry, store, record)


@pytest.mark.parametrize("mode", ["scratch", "probe"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pt2", ".onnx"])
def test_a_file_gives_the_stored_logits(stored, tmp_path, capsys, mode, suffix) -> None:
    if suffix == ".onnx":
        pytest.importorskip("onnxscript", reason="needs the extra onnx")
        pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    store, record = stored(mode)
    file = tmp_path / f"a{suffix}"
    assert main(["export", str(store.path(record.cell)), "--to", str(file), "--plugin", str(PLUGIN)]) == 0
    assert "12 test clips by at most" in capsys.readouterr().out
    told = READ[suffix](file)
    assert (told["class_names"], told["sample_rate"]) == (["pitch0", "pitch1", "pitch2"], RATE)
    assert told["frontend"] == "torchaudio"
    assert [path.name for path in tmp_path.glob(".tmp*")] == []


def _onnx_metadata(file: Path) -> dict:
    import onnxruntime

    return json.loads(onnxruntime.InferenceSession(str(file)).get_modelmeta().custom_metadata_map["bench"])


def _pt2_metadata(file: Path) -> dict:
    told = {"bench.json": ""}
    with file.open("rb") as stream:
        torch.export.load(stream, extra_files=told)
    return json.loads(told["bench.json"])


def _safetensors_metadata(file: Path) -> dict:
    with safetensors.safe_open(file, "pt") as held:
        return json.loads(held.metadata()["bench"])


READ = {".onnx": _onnx_metadata, ".pt2": _pt2_metadata, ".safetensors": _safetensors_metadata}


def test_a_file_with_other_logits_is_not_kept(registry, stored, tmp_path) -> None:
    store, record = stored()
    kept = reopen(registry, store, record)
    with torch.no_grad():
        kept.pipeline.model.head.bias += 1.0
    with pytest.raises(BenchError, match="is not kept: its logits differ by 1 from"):
        export(registry, store, kept, tmp_path / "a.pt2")
    assert not [*tmp_path.glob("*.pt2")]
    with pytest.raises(SelectionError, match=r"unknown format '.h5'; write .safetensors, .pt2, .onnx"):
        export(registry, store, kept, tmp_path / "a.h5")
    store, record = stored("knn")
    with pytest.raises(SelectionError, match=r"its head is not linear; export .safetensors"):
        export(registry, store, reopen(registry, store, record), tmp_path / "a.pt2")


def test_a_cell_that_heard_the_beginning_of_clips_is_exported(registry, stored, tmp_path) -> None:
    how = {"crop": None, "window": "averages over windows, .*long_clips=crop"}
    for long_clips, why in how.items():
        recipe = RECIPE.model_copy(update={"long_clips": long_clips, "window_s": 0.1})
        store, record = stored("probe", recipe=recipe)
        kept = reopen(registry, store, record)
        if why is None:
            found = export(registry, store, kept, tmp_path / "a.pt2")
            assert found.difference <= found.limit
        else:
            with pytest.raises(SelectionError, match=why):
                export(registry, store, kept, tmp_path / "b.pt2")


def test_the_command_line_goes_on_past_files_that_cannot_be_read(stored, tones, tmp_path, capsys) -> None:
    store, record = stored()
    bad = tmp_path / "bad\x1b.wav"
    bad.write_bytes(b"RIFF no sound")
    asked = [str(store.path(record.cell)), str(tones / "tone-40.wav"), str(bad), str(tmp_path / "none.wav"),
             str(tones / "tone-41.wav"), "--plugin", str(PLUGIN), "--top", "2"]  # fmt: skip
    assert main(["predict", *asked]) == 1
    out, err = capsys.readouterr()
    header, *lines = out.splitlines()
    assert header == "file,start,end,label,probability"
    assert [line.split(",")[0] for line in lines] == [str(tones / f"tone-{i}.wav") for i in (40, 40, 41, 41)]
    assert [line for line in err.splitlines() if line.startswith("error: ")][1].endswith("none.wav: no such file")
    assert "\x1b" not in err
    assert main(["predict", *asked, "--json"]) == 1
    values = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["error" in value for value in values] == [False, True, True, False]
    assert values[0]["end"] == 0.2
    assert len(values[0]["labels"]) == 2
    assert values[0]["labels"][0]["probability"] >= values[0]["labels"][1]["probability"]
    asked[0] = "tones"
    assert main(["predict", *asked[:2], *asked[4:], "--results", str(store.root)]) == 0
    assert main(["predict", "tones", asked[1], "--results", str(tmp_path / "nowhere")]) == 2
    assert "as --results" in capsys.readouterr().err
