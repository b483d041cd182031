"""Weight files as other programs leave them: wrapped, averaged, in shards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from bench.errors import CheckpointError
from bench.execution.weights import load_weights, read_tensors


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


class Wrapper(nn.Module):
    """Its own names begin with ``module.``."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


def same(a: nn.Module, b: nn.Module) -> bool:
    theirs = b.state_dict()
    return all(torch.equal(x, theirs[name]) for name, x in a.state_dict().items())


def saved(content, path: Path) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "module.module."]
)
@pytest.mark.parametrize("beside", [{}, {"epoch": 3, "optimizer": {"state": {0: {"step": torch.zeros(1)}}}}])
def test_what_wrappers_put_before_names_is_taken_off(tmp_path: Path, prefix: str, beside: dict) -> None:
    source, target = network(1), network(2)
    state = {f"{prefix}{name}": tensor for name, tensor in source.state_dict().items()}
    found = load_weights(target, saved({"state_dict": state, **beside} if beside else state, tmp_path / "a.pt"), None)
    assert same(target, source)
    assert found["ignored"] == []


def test_a_compiled_part_and_averaged_weights(tmp_path: Path) -> None:
    source = network(1)
    state = {name.replace("2.", "2._orig_mod."): tensor for name, tensor in source.state_dict().items()}
    averaged = AveragedModel(source).state_dict()
    for number, content in enumerate((state, averaged)):
        target = network(2)
        load_weights(target, saved(content, tmp_path / f"{number}.pt"), None)
        assert same(target, source)


@pytest.mark.parametrize(
    "prefix", ["model.", "model.module.", "module.model.", "model._orig_mod.", "model.module.module."]
)
def test_a_checkpoint_that_holds_the_model_as_its_part_is_read_whatever_wrapped_it(tmp_path: Path, prefix: str) -> None:
    source, target = network(1), network(2)
    state = {f"{prefix}{name}": tensor for name, tensor in source.state_dict().items()}
    load_weights(target, saved({"state_dict": state, "epoch": 3}, tmp_path / "a.pt"), None)
    assert same(target, source)


def test_a_model_whose_own_names_look_wrapped_keeps_them(tmp_path: Path) -> None:
    source, target = Wrapper(network(1)), Wrapper(network(2))
    load_weights(target, saved(source.state_dict(), tmp_path / "a.pt"), None)
    assert same(target, source)


@pytest.mark.parametrize(
    ("raw", "averaged"), [("model", "model_ema"), ("state_dict", "state_dict_ema"), ("net", "ema")]
)
def test_raw_beside_averaged_weights_are_never_chosen_silently(tmp_path: Path, raw: str, averaged: str) -> None:
    source, smooth, target = network(1), network(3), network(2)
    wrapped = {f"module.{name}": tensor for name, tensor in smooth.state_dict().items()}
    file = saved({raw: source.state_dict(), averaged: wrapped, "epoch": 3}, tmp_path / "both.pth")
    with pytest.raises(
        CheckpointError, match=f"holds several sets of weights .*{averaged}.*python -c .*chosen.pt"
    ) as e:
        load_weights(target, file, None)
    command = str(e.value).partition('python -c "')[2].partition('"')[0]
    exec(command.replace("'both.pth'", f"r'{file}'").replace("'chosen.pt'", f"r'{tmp_path / 'chosen.pt'}'"))
    load_weights(target, tmp_path / "chosen.pt", None)
    assert same(target, smooth) or same(target, source)


def test_small_tensors_beside_the_weights_are_no_second_set(tmp_path: Path) -> None:
    source, target = network(1), network(2)
    file = saved({"model": source.state_dict(), "scaler": {"scale": torch.ones(1)}}, tmp_path / "a.pt")
    load_weights(target, file, None)
    assert same(target, source)


def sharded(folder: Path, kind: str = "safetensors") -> nn.Module:
    source = network(1)
    state, base = source.state_dict(), "model" if kind == "safetensors" else "pytorch_model"
    names = sorted(state)
    parts = {f"{base}-0000{i + 1}-of-00002.{kind}": names[i::2] for i in range(2)}
    for file, held in parts.items():
        content = {name: state[name] for name in held}
        save_file(content, folder / file) if kind == "safetensors" else torch.save(content, folder / file)
    places = {name: file for file, held in parts.items() for name in held}
    (folder / f"{base}.{kind}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return source


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_shards_are_read_through_their_index(tmp_path: Path, kind: str) -> None:
    source, target = sharded(tmp_path, kind), network(2)
    load_weights(target, tmp_path, None)
    assert same(target, source)
    assert set(read_tensors(tmp_path)) == set(source.state_dict())


def test_one_shard_and_a_missing_shard_are_named(tmp_path: Path) -> None:
    sharded(tmp_path)
    for file in ("model-00001-of-00002.safetensors", "model.safetensors.index.json"):
        with pytest.raises(CheckpointError, match=f"one part of several; give the folder of all: --weights {tmp_path}"):
            read_tensors(tmp_path / file)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002\.safetensors cannot be read"):
        read_tensors(tmp_path)


@pytest.mark.parametrize(
    "index",
    [
        "[]", "5", '{"weight_map": 5}', '{"weight_map": {"a": [1]}}', '{"weight_map": {"a": 5}}',
        '{"weight_map": {"a": null, "b": "x"}}', '{"weight_map": {"a": "model.safetensors.index.json"}}', "[" * 100_000,
    ],
)  # fmt: skip
def test_an_index_that_is_none_is_named(tmp_path: Path, index: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        read_tensors(tmp_path)


@settings(deadline=None, max_examples=60)
@given(place=st.integers(0, 2000), value=st.integers(0, 255), kind=st.sampled_from(["pt", "old.pt", "safetensors"]))
def test_damaged_weights_are_refused_or_read(place: int, value: int, kind: str, tmp_path_factory) -> None:
    path = tmp_path_factory.mktemp("weights") / f"x.{kind}"
    if kind == "safetensors":
        save_file(network().state_dict(), path)
    else:
        torch.save(network().state_dict(), path, _use_new_zipfile_serialization=kind == "pt")
    content = bytearray(path.read_bytes())
    content[place % len(content)] = value
    path.write_bytes(content)
    net = network(1)
    before = {name: x.clone() for name, x in net.state_dict().items()}
    refused = False
    try:
        load_weights(net, path, None)
    except CheckpointError:
        refused = True
    same = all(torch.equal(before[name], x) for name, x in net.state_dict().items())
    assert same or not refused, "refused, and half loaded"
    assert {name: x.shape for name, x in net.state_dict().items()} == {name: x.shape for name, x in before.items()}


@pytest.mark.parametrize(("prefix", "put"), [("net.=", "net."), ("=backbone.", ""), ("old.=new.", "old.")])
def test_names_under_another_prefix_are_taken_and_others_left(tmp_path: Path, prefix: str, put: str) -> None:
    source, target = network(1), network(2)
    old, _, new = prefix.partition("=")
    holder = nn.Module()
    if new:
        holder.add_module(new.removesuffix("."), target)
    else:
        holder = target
    state = {put + name: x for name, x in source.state_dict().items()}
    beside = {"loss.scale": torch.zeros(1)} if old else {}
    path = saved({f"module.{name}": x for name, x in {**state, **beside}.items()}, tmp_path / "theirs.pt")
    load_weights(holder, path, None, prefix)
    assert same(target, source)
    with pytest.raises(CheckpointError, match=r"no tensor of .*theirs\.pt begins with 'enc\.' \(it holds "):
        load_weights(holder, path, None, "enc.=")
