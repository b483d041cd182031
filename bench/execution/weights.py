"""Weight files into any module: nothing is left at its random start without being named, nothing is unpickled.

A factory that takes ``weights`` loads its file itself; this is for all the others.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from bench.cell import FROZEN
from bench.errors import CheckpointError, some
from bench.results.provenance import weights_sha256

FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")
INDEX = ".index.json"
"""Behind one of these names: which shard holds what."""

OWN, BESIDE = "model.", ("frontend.", "normaliser.", *(f"{mode}." for mode in FROZEN))
"""Prefixes in this project's checkpoints: of the model's tensors, and of what stands around it."""


def load_weights(model: nn.Module, path: Path, output: str | None, prefix: str = "") -> dict[str, Any]:
    """Load a file (or a folder with one under transformers' names) into a module without lazy layers, in place.

    The file's names are the model's own, or those of a checkpoint of this project; the normalisation of such a
    checkpoint is not taken over, since a cell measures its own on its training clips. Only the ``output`` layer (see
    :func:`output_layer`) may have another number of classes, or be missing, and stays fresh then.

    With a ``prefix`` ``OLD=NEW`` only the tensors whose names begin with OLD are taken, under NEW instead.

    Returns:
        For the record: how many tensors were ``loaded``; the names of those of the output layer that stay ``fresh``
        because the file has another number of classes; those in the file that belong to no model and are ``ignored``.

    Raises:
        CheckpointError: Nothing is there, it cannot be read, or a tensor is missing, left over or of another shape.
    """
    own: dict[str, Tensor] = model.state_dict()
    tensors, ignored = _unwrapped(_renamed(_read(_locate(path)), prefix, path), own)
    head = {name for name in own if output is not None and name.rpartition(".")[0] == output}
    fresh = tuple(sorted(name for name in head if name not in tensors or _other_classes(tensors[name], own[name])))
    if fresh and any(name in tensors and name not in fresh for name in head if own[name].ndim):
        fresh = tuple(sorted(head))  # half a layer of other classes fits nothing
    origin = path.absolute()
    if missing := sorted(set(own) - set(tensors) - set(fresh)):
        raise CheckpointError(
            f"{origin} lacks {some(missing, 4)} of {type(model).__name__}; give the weights of this model in the size "
            f"chosen, or another model with --models{_other_names(tensors, own)}"
        )
    if left := sorted(set(tensors) - set(own)):
        raise CheckpointError(
            f"{origin} holds {some(left, 4)}, which {type(model).__name__} does not have; choose the model and size it "
            f"was made for, or remove these tensors from the file{_other_names(tensors, own)}"
        )
    for name in sorted(set(own) - set(fresh)):
        if tensors[name].shape != own[name].shape:
            raise CheckpointError(
                f"{origin}: {name} has shape {tuple(tensors[name].shape)}, the model needs {tuple(own[name].shape)}; "
                "choose the size, clip length and front end it was made for"
            )
    taken = {name: tensor for name, tensor in tensors.items() if name not in fresh}
    model.load_state_dict({**own, **taken}, strict=True)
    return {"loaded": len(taken), "fresh": list(fresh), "ignored": list(ignored)}


def output_layer(model: nn.Module, call: Callable[[], object], classes: int) -> str | None:
    """Name of the layer that makes the logits: the last one that ``call()`` runs of those with a row per class."""
    seen: list[str] = []
    hooks = []
    for name, module in model.named_modules():
        if any(p.ndim and p.shape[0] == classes for p in module.parameters(recurse=False)):
            hooks.append(module.register_forward_hook(lambda *_, name=name: seen.append(name)))
    try:
        call()
    finally:
        for hook in hooks:
            hook.remove()
    return seen[-1] if seen else None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file or folder on the CPU under plain names; code in it is never run.

    A folder may hold its tensors in shards with an index. What ``torch.compile``, data parallelism and averaging put
    before each name is taken off.

    Raises:
        CheckpointError: Nothing is there, or it holds no mapping of names to tensors, or several.
    """
    return _plain(_read(_locate(path)))


def _read(file: Path) -> dict[str, Tensor]:
    if not file.name.endswith(INDEX):
        return _tensors(file)
    named = _loaded(file, lambda: set(json.loads(file.read_text(encoding="utf-8"))["weight_map"].values()))
    shards = _loaded(file, lambda: [file.parent / name for name in sorted(named)])
    return {name: tensor for shard in shards for name, tensor in _tensors(shard).items()}


def _tensors(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        return dict(_loaded(file, lambda: safetensors.torch.load_file(file)))
    state = _loaded(file, lambda: torch.load(file, map_location="cpu", weights_only=True))
    if not _is_state(state) and isinstance(state, Mapping):
        state = _chosen(state, file)
    if not _is_state(state):
        raise CheckpointError(f"{file.absolute()} holds a {type(state).__name__}, not a mapping of names to tensors")
    return {str(name): tensor for name, tensor in state.items()}


def _loaded(file: Path, load: Callable[[], Any]) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):  # what they warn of is refused, or means nothing to the user
            return load()
    except Exception as error:  # a library that reads damaged bytes may raise anything
        first = str(error).strip().splitlines()[:1]
        raise CheckpointError(
            f"{file.absolute()} cannot be read as weights ({type(error).__name__}: {' '.join(first)}); give a "
            "safetensors file, or a torch file that holds tensors only"
        ) from error


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(x, Tensor) for x in value.values())


def _chosen(state: Mapping[Any, Any], file: Path) -> Any:
    """The only weights in a training checkpoint, or what is there instead; raw beside averaged ones are refused."""
    found: dict[tuple[str, ...], Any] = {(str(key),): value for key, value in state.items() if _is_state(value)}
    for key in ("state_dict", "model"):
        inside = state.get(key)
        if isinstance(inside, Mapping) and not _is_state(inside):
            found |= {(key, name): value for name, value in inside.items() if _is_state(value)}
    largest = max(found.values(), key=len, default=state)
    names = {key: set(_plain(value)) for key, value in found.items()}
    wanted = set(_plain(largest)) if found else set()
    rivals = sorted(key for key, held in names.items() if 2 * len(held & wanted) > len(wanted))
    if len(rivals) > 1:
        last = "".join(f"[{name!r}]" for name in rivals[-1])
        raise CheckpointError(
            f"{file.absolute()} holds several sets of weights ({', '.join('.'.join(key) for key in rivals)}), raw and "
            f"averaged perhaps; choose one: python -c \"import torch; torch.save(torch.load('{file.name}', "
            f"weights_only=True){last}, 'chosen.pt')\", then --weights chosen.pt"
        )
    return largest


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without what wrappers put before the names: ``_orig_mod.`` anywhere, ``module.`` where all have it."""
    named = {name.replace("_orig_mod.", ""): x for name, x in tensors.items() if name != "n_averaged"}
    while named and all(name.startswith("module.") for name in named):
        named = {name.removeprefix("module."): tensor for name, tensor in named.items()}
    return named


def _renamed(tensors: dict[str, Tensor], prefix: str, path: Path) -> dict[str, Tensor]:
    if not prefix:
        return tensors
    old, _, new = prefix.partition("=")
    found = {new + name.removeprefix(old): x for name, x in _plain(tensors).items() if name.startswith(old)}
    if not found:
        raise CheckpointError(
            f"no tensor of {path.absolute()} begins with {old!r} (it holds {some(sorted(tensors), 4)})"
        )
    return found


def _locate(path: Path) -> Path:
    if path.is_dir():
        for name in (*FOLDER_FILES, *(f"{name}{INDEX}" for name in FOLDER_FILES)):
            if (path / name).is_file():
                return path / name
        raise CheckpointError(
            f"no weights in the folder {path.absolute()}: looked for {' and '.join(FOLDER_FILES)}, whole or in shards "
            f"with their {INDEX}"
        )
    if not path.is_file():
        raise CheckpointError(
            f"no weights at {path.absolute()}; give --weights an existing file or folder, or `masked`"
        )
    shards = re.search(r"-of-0*(\d+)\.", path.name)
    if path.name.endswith(INDEX) or (shards and shards[1] != "1"):
        raise CheckpointError(
            f"{path.absolute()} is one part of several; give the folder of all: --weights {path.parent}"
        )
    return path


def _unwrapped(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors under the model's names, and the names of those that stood around it in a checkpoint of ours."""
    if set(own) <= set(tensors):
        return dict(tensors), ()
    tensors = _plain(tensors)
    if set(own) <= set(tensors) or not all(name.startswith((OWN, *BESIDE)) for name in tensors):
        return tensors, ()
    inside = {name.removeprefix(OWN): tensor for name, tensor in tensors.items() if name.startswith(OWN)}
    return _plain(inside), tuple(sorted(name for name in tensors if not name.startswith(OWN)))


def _other_names(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """What to type where the file's names are the model's behind a prefix."""
    found = (name.removesuffix(mine) for mine in own for name in tensors if name.endswith(f".{mine}"))
    prefix = next(found, "")
    return f"; names behind {prefix!r} are read with --weights-prefix {prefix}=" if prefix else ""


def _other_classes(found: Tensor, wanted: Tensor) -> bool:
    """Whether two tensors differ in their first dimension only."""
    alike = found.ndim == wanted.ndim and found.shape[1:] == wanted.shape[1:]
    return alike and found.ndim > 0 and found.shape[0] != wanted.shape[0]


def checked_sha256(weights: Path, label: str) -> str:
    """The checksum of a file, which must be that of the ``label`` it was planned with."""
    found = weights_sha256(weights)
    if not label.endswith(f"~{found[:6]}"):
        raise CheckpointError(
            f"{weights} has changed since the cells were planned: {label!r} is now ~{found[:6]}; run the same "
            "command again"
        )
    return found
