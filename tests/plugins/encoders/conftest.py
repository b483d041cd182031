"""Small audio models of random weights, saved as transformers saves them."""

from __future__ import annotations

import pytest
import torch

from bench.clips import TaskInfo

transformers = pytest.importorskip("transformers")

RATE = 16_000
LABELS = ("dog", "rain", "sea_waves")
_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 37}
_CONVOLUTIONS = {
    "conv_dim": (16, 16, 16), "conv_kernel": (10, 3, 3), "conv_stride": (5, 4, 4), "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, "classifier_proj_size": 16,
}  # fmt: skip
_AST = {**_SIZES, "num_mel_bins": 32, "max_length": 128}


def _wave_family(config, model, extractor=None):
    return config(**_SIZES, **_CONVOLUTIONS), model, extractor or transformers.Wav2Vec2FeatureExtractor()


def _ast(model):
    sound = transformers.ASTFeatureExtractor(num_mel_bins=32, max_length=128)
    return transformers.ASTConfig(**_AST), model, sound


def _whisper(model):
    config = transformers.WhisperConfig(
        d_model=32, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=37, decoder_layers=1,
        decoder_attention_heads=2, decoder_ffn_dim=37, num_mel_bins=20, max_source_positions=150, vocab_size=50,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, classifier_proj_size=16,
    )  # fmt: skip
    return config, model, transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=3)


def _clap():
    audio = {
        "num_mel_bins": 64, "spec_size": 256, "depths": [1, 1], "num_attention_heads": [2, 2], "window_size": 8,
        "patch_embeds_hidden_size": 16, "hidden_size": 32, "num_classes": 2, "patch_size": 4, "patch_stride": [4, 4],
        "enable_fusion": False, "projection_dim": 24,
    }  # fmt: skip
    text = {**_SIZES, "vocab_size": 50, "projection_dim": 24, "max_position_embeddings": 40}
    config = transformers.ClapConfig(text_config=text, audio_config=audio, projection_dim=24)
    sound = transformers.ClapFeatureExtractor(
        sampling_rate=RATE, max_length_s=2, truncation="rand_trunc", fft_window_size=2048, frequency_max=8000
    )
    return config, transformers.ClapModel, sound


MADE = {
    "ast": lambda: _ast(transformers.ASTModel),
    "wav2vec2": lambda: _wave_family(transformers.Wav2Vec2Config, transformers.Wav2Vec2Model),
    "hubert": lambda: _wave_family(transformers.HubertConfig, transformers.HubertModel),
    "wavlm": lambda: _wave_family(transformers.WavLMConfig, transformers.WavLMModel),
    "whisper": lambda: _whisper(transformers.WhisperModel),
    "clap": _clap,
    "ast-classifier": lambda: _ast(transformers.ASTForAudioClassification),
    "whisper-classifier": lambda: _whisper(transformers.WhisperForAudioClassification),
    "wav2vec2-classifier": lambda: _wave_family(
        transformers.Wav2Vec2Config, transformers.Wav2Vec2ForSequenceClassification
    ),
}


@pytest.fixture
def saved(tmp_path):
    """``saved(kind)``: the folder, the network and the extractor."""

    def save(kind, **how):
        config, model, extractor = MADE[kind]()
        if kind.endswith("classifier"):
            config.num_labels = 4
            config.id2label = dict(enumerate(("Sea waves", "Rain", "Cat", "Dog")))
            config.label2id = {label: row for row, label in config.id2label.items()}
        torch.manual_seed(0)
        network = model(config).eval()
        network.save_pretrained(tmp_path / kind, **how)
        extractor.save_pretrained(tmp_path / kind)
        return tmp_path / kind, network, extractor

    return save


@pytest.fixture
def task():
    return TaskInfo(num_classes=3, sample_rate=RATE, clip_samples=RATE, label_names=LABELS)
