"""Encoders of transformers give what transformers gives for one clip, whatever stands beside it in a batch."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
import torch

from bench.errors import CheckpointError, DataError
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
