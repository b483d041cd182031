"""Encoders of transformers give what transformers gives for one clip, whatever stands beside it in a batch."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.cell import Cell
from bench.data.contents import file_digests
from bench.errors import CheckpointError, DataError
from bench.execution.counting import Known, count_work
from bench.execution.results import Progress
from bench.job import Job
from bench.plugins.discovery import load
from bench.plugins.references import referring
from bench.recipe import Recipe
from bench_plugins.encoders import hf, targets

from .conftest import RATE


def audio(*samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Clips of ``samples``, zeros behind them, and their lengths."""
    waves = torch.zeros(len(samples), max(samples))
    generator = torch.Generator().manual_seed(1)
    for row, count in zip(waves, samples, strict=True):
        row[:count] = 0.1 * torch.randn(count, generator=generator)
    return waves, torch.tensor(samples)


def alone(network, extractor, waves, samples, read):
    """What transformers gives for each clip by itself."""
    found = []
    for wave, count in zip(waves, samples.tolist(), strict=True):
        np.random.seed(0)  # noqa: NPY002
        inputs = extractor(wave[:count].numpy(), sampling_rate=RATE, return_tensors="pt")
        with torch.inference_mode():
            found.append(read(network, inputs))
    return torch.cat(found)


LENGTHS = (RATE, 9_000, RATE, 4_321)


def built(folder, task, **options):
    resolved = targets.hf(folder, **options)
    assert resolved.fields["sample_rate"] == RATE
    return hf.build(task, **resolved.fields["options"]).eval()


def own(network, inputs):
    return network(**inputs).pooler_output


def mean(network, inputs):
    return network(**inputs).last_hidden_state.mean(1)


EXPECTED = {
    "ast": own,
    "wav2vec2": mean,
    "hubert": mean,
    "wavlm": mean,
    "clap": lambda network, inputs: network.audio_projection(network.audio_model(**inputs).pooler_output),
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_a_clip_in_any_batch_is_the_clip_alone(kind, saved, task) -> None:
    folder, network, extractor = saved(kind)
    waves, samples = audio(*LENGTHS)
    with torch.inference_mode():
        found = built(folder, task).embed(audio=waves, audio_samples=samples)
    torch.testing.assert_close(found, alone(network, extractor, waves, samples, EXPECTED[kind]), atol=1e-5, rtol=0)


def test_whisper_pools_the_steps_of_the_clip_and_not_those_of_its_30_seconds(saved, task) -> None:
    folder, network, extractor = saved("whisper")
    waves, samples = audio(*LENGTHS)

    def read(network, inputs):
        return network.encoder(inputs.input_features).last_hidden_state

    states = alone(network, extractor, waves, samples, read)
    expected = [one[: -(-count // 320)].mean(0) for one, count in zip(states, samples.tolist(), strict=True)]
    with torch.inference_mode():
        found = built(folder, task).embed(audio=waves, audio_samples=samples)
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["ast-classifier", "whisper-classifier", "wav2vec2-classifier"])
def test_a_classifier_that_knows_the_labels_gives_its_own_logits(kind, saved, task) -> None:
    folder, network, extractor = saved(kind)
    waves, samples = audio(*LENGTHS)
    expected = alone(network, extractor, waves, samples, lambda network, inputs: network(**inputs).logits)
    with torch.inference_mode():
        found = built(folder, task)(audio=waves, audio_samples=samples)
    torch.testing.assert_close(found, expected[:, [3, 1, 0]], atol=1e-5, rtol=0)


def test_layers_and_pools(saved, task) -> None:
    folder, network, extractor = saved("wav2vec2")
    waves, samples = audio(*LENGTHS)
    pools = {"mean": lambda x: x.mean(1), "max": lambda x: x.amax(1), "first": lambda x: x[:, 0]}
    for pool, reduce in pools.items():

        def read(network, inputs, reduce=reduce):
            return reduce(network(**inputs, output_hidden_states=True).hidden_states[1])

        expected = alone(network, extractor, waves, samples, read)
        with torch.inference_mode():
            found = built(folder, task, layer=1, pool=pool).embed(audio=waves, audio_samples=samples)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    with pytest.raises(CheckpointError, match="hidden states 0 to 2"):
        built(folder, task, layer=9)
    with pytest.raises(CheckpointError, match="pools nothing itself"):
        built(folder, task, pool="own")


def test_half_precision_and_shards_are_read(saved, task) -> None:
    folder, network, extractor = saved("wav2vec2", max_shard_size="20KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    assert len(targets.hf(folder).files) == 3 + len(list(folder.glob("model-*.safetensors")))
    waves, samples = audio(RATE, 9_000)
    with torch.inference_mode():
        found = built(folder, task).embed(audio=waves, audio_samples=samples)
    torch.testing.assert_close(found, alone(network, extractor, waves, samples, mean), atol=1e-5, rtol=0)
    network.half().save_pretrained(folder / "half")
    extractor.save_pretrained(folder / "half")
    half = built(folder / "half", task)
    assert {p.dtype for p in half.parameters()} == {torch.float32}
    with torch.inference_mode():
        torch.testing.assert_close(half.embed(audio=waves, audio_samples=samples), found, atol=2e-2, rtol=0)
        low = built(folder / "half", task, dtype="bfloat16").embed(audio=waves, audio_samples=samples)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, found, atol=0.2, rtol=0)


def test_the_extractor_works_in_full_precision_where_the_network_does_not(saved, task) -> None:
    folder, *_ = saved("ast")
    waves, samples = audio(RATE)
    encoder = built(folder, task)
    with torch.inference_mode():
        found = encoder.embed(audio=waves, audio_samples=samples)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            low = encoder.embed(audio=waves, audio_samples=samples)
    torch.testing.assert_close(low.float(), found, atol=0.1, rtol=0)


def test_what_is_imported_while_parameters_are_counted_has_data(saved, task, monkeypatch) -> None:
    seen, load = [], hf.import_transformers

    def spied():
        seen.append(torch.get_default_device().type)
        return load()

    monkeypatch.setattr(hf, "import_transformers", spied)
    folder, *_ = saved("ast")
    with torch.device("meta"), contextlib.suppress(NotImplementedError):
        built(folder, task)
    assert seen[0] == "cpu"


def test_gradients_reach_the_network_and_training_masks_nothing_itself(saved, task) -> None:
    folder, *_ = saved("wav2vec2")
    encoder = built(folder, task).train()
    assert not encoder.network.config.apply_spec_augment
    waves, samples = audio(RATE, 9_000)
    encoder(audio=waves, audio_samples=samples).sum().backward()
    assert encoder.network.encoder.layers[0].attention.k_proj.weight.grad is not None
    assert encoder.head.weight.grad is not None
    assert not [name for name, p in encoder.named_parameters() if p.requires_grad and p.grad is None]


def test_what_is_no_model_is_one_error_that_says_what_is_missing(saved, task, tmp_path, monkeypatch) -> None:
    folder, *_ = saved("wav2vec2")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"empty has no config\.json"):
        targets.hf(tmp_path / "empty")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(CheckpointError, match="`hf download nobody/nothing`") as raised:
        targets.hf("nobody/nothing")
    assert str(tmp_path / "cache") in str(raised.value)
    said = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**said, "sampling_rate": None}))
    with pytest.raises(CheckpointError, match="says no sampling_rate"):
        targets.hf(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:1000])
    with pytest.raises(CheckpointError, match="cannot be read as an audio model"):
        built(folder, task)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="has no weights"):
        targets.hf(folder)


def test_weights_that_lack_tensors_are_refused(saved, task) -> None:
    from safetensors.torch import load_file, save_file

    folder, *_ = saved("hubert")
    tensors = load_file(folder / "model.safetensors")
    kept = {name: x for name, x in tensors.items() if "layers.1" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks encoder\.layers\.1.* and \d+ more"):
        built(folder, task)


@pytest.mark.parametrize(("kind", "least"), [("wav2vec2", 60), ("ast", 400)])
def test_a_clip_below_the_least_length_is_one_error(kind, least, saved, task) -> None:
    folder, *_ = saved(kind)
    encoder = built(folder, task)
    encoder.embed(*audio(RATE, least))
    with pytest.raises(DataError, match=f"{least - 1} samples .* shorter than the {least}"):
        encoder.embed(*audio(RATE, least - 1))


@pytest.mark.parametrize("kind", ["ast", "wav2vec2", "hubert", "whisper"])
def test_what_has_no_weights_yet_can_be_priced(kind, saved, task) -> None:
    folder, *_ = saved(kind)
    with torch.device("meta"):
        encoder = built(folder, task, layer="all")
        assert encoder(torch.empty(2, RATE)).shape == (2, 3)


def states_of(network, inputs):
    return torch.stack(network(**inputs, output_hidden_states=True).hidden_states, 2)


@pytest.mark.parametrize("layer", ["all", None, 1])
def test_frames_are_the_hidden_states_of_each_clip_alone(layer, saved, task) -> None:
    folder, network, extractor = saved("wav2vec2")
    waves, samples = audio(*LENGTHS)
    with torch.inference_mode():
        encoder = built(folder, task, layer=layer)
        found, vectors = encoder.frames(audio=waves, audio_samples=samples), encoder.embed(waves, samples)
    for row, (one, count) in enumerate(zip(found, samples.tolist(), strict=True)):
        (states,) = alone(network, extractor, waves[[row]], torch.tensor([count]), states_of)
        wanted = states if layer == "all" else states[:, [-1 if layer is None else layer]]
        torch.testing.assert_close(one, wanted, atol=1e-5, rtol=0)
        torch.testing.assert_close(vectors[row], wanted.mean((0, 1)), atol=1e-5, rtol=0)  # of all layers their mean


@pytest.mark.parametrize("kind", ["ast", "whisper"])
def test_frames_leave_out_what_an_extractor_pads_every_clip_with(kind, saved, task) -> None:
    waves, samples = audio(*LENGTHS)
    folder, *_ = saved(kind)
    with torch.inference_mode():
        found = built(folder, task, layer="all").frames(waves, samples)
        pooled = built(folder, task, layer="all", pool="mean").embed(waves, samples)
    torch.testing.assert_close(torch.stack([one.mean((0, 1)) for one in found]), pooled, atol=1e-5, rtol=0)
    assert {one.shape[1:] for one in found} == {(3, 32)}
    assert len(found[0]) == len(found[2]) > len(found[1]) > len(found[3])


def test_maps_of_a_hierarchy_are_steps_and_their_layers_no_stack(saved, task) -> None:
    folder, *_ = saved("clap")
    waves, samples = audio(RATE)
    with torch.inference_mode():
        (one,) = built(folder, task).frames(waves, samples)
    assert one.shape[1:] == (1, 32)
    with pytest.raises(CheckpointError, match="hidden states of no one shape"):
        built(folder, task, layer="all")


def test_attention_over_all_layers_is_fitted_and_its_frames_are_read_again(
    saved, evaluated, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    names = [f"hf:{saved(kind)[0]}?layer=all" for kind in ("wav2vec2", "ast")]
    tones = Path(__file__).parents[2] / "execution" / "modes_plugin.py"
    registry = referring(load((tones,)).registry, names, file_digests)
    recipe = Recipe(name="plain", trim_db=None, fill="zeros")
    for spec in (registry.models[name].spec for name in names):
        cell = Cell(
            kind="evaluate", dataset="tones", protocol="official@1", fold=0, model=spec.name, mode="attention",
            weights=spec.axes["weights"], frontend="waveform", recipe="plain", clip_samples=3200,
        )  # fmt: skip
        jobs = [Job(cell=replace(cell, seed=seed), recipe=recipe, fingerprint="f") for seed in (0, 1)]
        assert count_work(registry, jobs[0], Progress(), Known()).forward
        first, again = (evaluated(registry, job).record.provenance["frozen"] for job in jobs)
        assert (first["cache"]["fresh"], again["cache"]) == (True, {**first["cache"], "fresh": False})
        assert len(first["layer_weights"]) == 3
        assert first["loss"][-1] < first["loss"][0]
        assert first["loss"] != again["loss"]
