"""A small BERT of random weights, saved as transformers saves it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

WORDS = (
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "dog", "bark", "##ing", "rain", "sea", "waves", "crying", "baby",
    "class", "0", "1", "2", "3", "a", "car", "engine", "hound", "on", "the", "roof",
)  # fmt: skip


def save_bert(folder: Path, seed: int = 0, **changes: object) -> Path:
    """A folder with config, weights (pooler included, as published ones have) and tokenizer."""
    torch.manual_seed(seed)
    shape = {
        "vocab_size": len(WORDS), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 64, "max_position_embeddings": 40, "initializer_range": 0.3,
    }  # fmt: skip
    BertModel(BertConfig(**{**shape, **changes})).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 40})
    )
    return folder


@pytest.fixture(scope="session")
def bert(tmp_path_factory) -> Path:
    return save_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="session")
def other_bert(tmp_path_factory) -> Path:
    return save_bert(tmp_path_factory.mktemp("other"), seed=1)
