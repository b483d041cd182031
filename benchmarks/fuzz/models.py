"""Readers of what models bring: messages of their workers, weights, references."""

from __future__ import annotations

import io
import json
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

from bench.data.contents import file_digests
from bench.execution.weights import load_weights, read_tensors
from bench.job import Job
from bench.planning.costs import Cost
from bench.plugins.interfaces import Answered, Finished
from bench.plugins.references import referring
from bench.recipe import Recipe
from bench.results.records import parse_record
from bench.results.store import npz_bytes
from bench.running.messages import Inbox, MessageError
from bench.running.prices import answered
from bench.running.scoring import completed
from fuzz.blocks import Reader
from fuzz.damage import damaged_bytes, damaged_json, damaged_words
from fuzz.data import clips
from fuzz.results import ARRAYS, records, registry


@cache
def _job() -> Job:
    cell = parse_record(records()[0], "x").cell
    return Job(cell=cell, recipe=Recipe(), fingerprint="f")


def _said(event: str, files: Mapping[str, bytes] | None = None, **values: Any) -> bytes:
    files = files or {}
    told = {name: (len(content), zlib.crc32(content)) for name, content in files.items()}
    return json.dumps({"event": event, "values": values, "files": told}).encode() + b"\n" + b"".join(files.values())


@cache
def _messages() -> list[bytes]:
    arrays = {**{k: v for k, v in ARRAYS.items() if k not in ("targets", "groups")}, "ids": np.array(["a", "b", "c"])}
    files = {"predictions.npz": npz_bytes(arrays), "checkpoint.safetensors": b"x" * 20}
    text = json.loads(records()[0])
    text["provenance"]["dataset"] |= {"manifest_sha256": "m", "contents_sha256": "", "majority_label": "x"}
    text["provenance"]["embeddings"] = {}
    epoch = _said("epoch", epoch=1, epochs=3, stage="train", scores={"loss": 0.5})
    return [
        _said("started") + epoch + _said("record", files, text=json.dumps(text)) + _said("idle"),
        _said("answer", step_s=0.1, infer_clip_s=0.2, fit_clip_s=None, source="measured") + _said("idle"),
        _said("observer", plugin="p", hook="bench_epoch_end", error="x") + epoch,
        epoch,
    ]


def _damaged_messages(rng: Random, content: bytes) -> bytes:
    if rng.random() < 0.4:
        return damaged_bytes(rng, content)
    lines = content.split(b"\n")
    places = [number for number, line in enumerate(lines) if line.startswith(b"{")]
    number = rng.choice(places)
    if b'"record"' in lines[number] and rng.random() < 0.7:
        values = json.loads(lines[number])
        values["values"]["text"] = damaged_json(rng, values["values"]["text"].encode()).decode(errors="surrogateescape")
        lines[number] = json.dumps(values).encode()
    else:
        lines[number] = damaged_json(rng, lines[number])
    return b"\n".join(lines)


def _message(content: bytes, _: Path, __: bytes) -> object:
    inbox, rng, found = Inbox(), Random(len(content)), []
    while content:
        size = rng.choice([1, 7, 100, 65536])
        for message in inbox.feed(content[:size]):
            if message.event == "idle":
                continue
            job = _job() if message.event != "answer" else replace(_job(), action="price")
            event = message.of(job)
            if isinstance(event, Finished):
                event = completed(registry(), clips(), event)
                parse_record(event.record.to_json(), "stored")
            found.append(answered(Cost, event.values) if isinstance(event, Answered) else event)
        content = content[size:]
    return found


def _network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


@cache
def _weights() -> list[Any]:
    torch.manual_seed(0)
    state, made = _network().state_dict(), []
    made.append(("x.safetensors", safetensors.torch.save(state)))
    half = {f"model.{name}": x.half() for name, x in state.items()} | {"frontend.w": torch.zeros(2)}
    made.append(("x.safetensors", safetensors.torch.save(half, {"format": "pt"})))
    for value, zipped in ((state, True), ({"state_dict": state, "epoch": 3}, True), (state, False)):
        out = io.BytesIO()
        torch.save(value, out, _use_new_zipfile_serialization=zipped)
        made.append(("x.pt", out.getvalue()))
    names = dict.fromkeys(state, "model-00001-of-00001.safetensors")
    made.append(("model.safetensors.index.json", json.dumps({"metadata": {}, "weight_map": names}).encode()))
    return made


def _damaged_weights(rng: Random, sample: Any) -> Any:
    name, content = sample
    if name.endswith(".json"):
        return name, damaged_json(rng, content)
    if name.endswith(".safetensors") and rng.random() < 0.7:  # the header, at its right length
        size = int.from_bytes(content[:8], "little")
        header = damaged_json(rng, content[8 : 8 + size])
        return name, len(header).to_bytes(8, "little") + header + content[8 + size :]
    return name, damaged_bytes(rng, content)


def _weight(damaged: Any, folder: Path, _: Any) -> object:
    name, content = damaged
    (folder / name).write_bytes(content)
    if name.endswith(".json"):
        (folder / "model-00001-of-00001.safetensors").write_bytes(_weights()[0][1])
    place = folder if name.endswith(".json") else folder / name
    read_tensors(place)
    return load_weights(_network(), place, "2")


@cache
def _encoder() -> dict[str, bytes]:
    """A small encoder of transformers, by file name."""
    import transformers

    folder = Path(tempfile.mkdtemp(prefix="bench-fuzz-encoder-"))
    config = transformers.Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=17, conv_dim=(8, 8),
        conv_kernel=(10, 3), conv_stride=(5, 4), num_feat_extract_layers=2, num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    transformers.Wav2Vec2Model(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    names = {"weight_map": {"a": "model.safetensors"}}
    return files | {"pytorch_model.bin.index.json": json.dumps(names).encode()}


def _reference_samples() -> list[Any]:
    files = [("hf:HERE?layer=1&pool=mean", name) for name in _encoder() if name.endswith(".json")]
    words = (
        "hf:HERE?layer=1&pool=mean", "hf:facebook/x?dtype=float16", "timm:resnet10t?weights=HERE/model.safetensors",
        "timm:resnet10t", "onnx:HERE/config.json?output=a&rate=16000&window=8000&hop=4000",
        "tflite:HERE/config.json?rate=8000",
    )  # fmt: skip
    return [*files, *((word, "") for word in words)]


def _damaged_reference(rng: Random, sample: Any) -> Any:
    word, name = sample
    if not name:
        return damaged_words(rng, word.encode()).decode(errors="surrogatepass"), b""
    return word, name, damaged_json(rng, _encoder()[name])


def _reference(damaged: Any, folder: Path, _: Any) -> object:
    word, name, *content = damaged
    for file, whole in _encoder().items():
        (folder / file).write_bytes(content[0] if file == name and content else whole)
    if name == "pytorch_model.bin.index.json":
        (folder / "model.safetensors").unlink()
    found = referring(registry(), [word.replace("HERE", str(folder))], file_digests)
    return sorted(found.models.entries)


def readers() -> Sequence[Reader]:
    """One for each kind of message, file or reference."""
    return (
        Reader(
            name="worker messages", samples=_messages, damage=_damaged_messages, read=_message, share=1.5,
            errors=(MessageError,),
        ),
        Reader(name="weights: safetensors, torch", samples=_weights, damage=_damaged_weights, read=_weight),
        Reader(
            name="references: hf, timm, onnx, tflite", samples=_reference_samples, damage=_damaged_reference,
            read=_reference, share=0.4, sound=False,
        ),
    )  # fmt: skip
