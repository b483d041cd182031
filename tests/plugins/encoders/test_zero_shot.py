"""Zero-shot by a CLAP folder: transformers' own logits for a clip, and a cell that no training clip enters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from bench.errors import CheckpointError
from bench.execution.zero_shot import prompted
from bench_plugins.encoders import targets

from .conftest import LABELS, RATE
from .test_hf import alone, audio, built

WORDS = ("<s>", "<pad>", "</s>", "<unk>", "dog", "rain", "sea", "waves", "a", "sound", "of")
TEMPLATE = "a sound of {label}"


@pytest.fixture
def clap(saved):
    """The folder with a tokenizer of a few words, the network, the extractor and the tokenizer."""
    folder, network, extractor = saved("clap")
    words = Tokenizer(models.WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.save_pretrained(folder)
    return folder, network, extractor, tokenizer


def test_the_logits_are_those_of_transformers_for_one_clip(clap, task) -> None:
    folder, network, extractor, tokenizer = clap
    waves, samples = audio(RATE, 9_000)
    texts = tokenizer([f"a sound of {name.replace('_', ' ')}" for name in LABELS], padding=True, return_tensors="pt")
    expected = alone(network, extractor, waves, samples, lambda net, x: net(**texts, **x).logits_per_audio)
    encoder = built(folder, task)
    head = prompted(encoder, TEMPLATE, task.label_names)
    with torch.inference_mode():
        found = head.logits(encoder.embed(audio=waves, audio_samples=samples).numpy())
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5, rtol=0)
    assert found.std() > 1e-3
    assert head.describe() == {"classifier": "cosine with texts", "prompt": TEMPLATE, "dim": 24}


def test_texts_are_part_of_what_the_model_is_and_others_have_none(clap, saved, task) -> None:
    folder = clap[0]
    resolved = targets.hf(folder)
    assert resolved.fields["embeds_text"]
    assert {"tokenizer.json", "tokenizer_config.json"} <= {path.name for path in resolved.files}
    plain, _, _ = saved("wav2vec2")
    assert not targets.hf(plain).fields["embeds_text"]
    with pytest.raises(CheckpointError, match="Wav2Vec2Model has no text tower"):
        built(plain, task).embed_text(["dog"])
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match="no tokenizer that can be read"):
        built(folder, task).embed_text(["dog", "rain"])
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(CheckpointError, match="reads different texts alike"):
        built(folder, task).embed_text(["dog", "rain"])
