"""What a reference to an encoder means: which files it is read from, and what they say without being loaded.

Nothing here imports torch or a model library: this runs wherever cells are planned.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
import re
from pathlib import Path
from typing import Any, Literal

from bench import CheckpointError, Reference

Pool = Literal["own", "mean", "max", "first"]
Dtype = Literal["float32", "bfloat16", "float16"]

_EXTRACTORS = ("preprocessor_config.json", "processor_config.json")
_TOKENIZERS = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt", "vocab.txt",
)  # fmt: skip
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""Where transformers looks for weights, in its order."""


def hf(
    target: str | Path, *, layer: int | Literal["all"] | None = None, pool: Pool | None = None, dtype: Dtype = "float32"
) -> Reference:
    """A folder that ``save_pretrained`` wrote, or an id of the Hugging Face Hub that is in the local cache.

    Raises:
        CheckpointError: It is neither, or lacks its configuration, feature extractor, rate or weights.
    """
    folder = Path(target) if Path(target).is_dir() else _cached(str(target))
    config = _json(folder, "config.json", "which a transformers model has")
    extractor = next((name for name in _EXTRACTORS if (folder / name).is_file()), _EXTRACTORS[0])
    said = _json(folder, extractor, "which says how a feature extractor treats sound")
    rate = said.get("feature_extractor", said).get("sampling_rate")
    if not isinstance(rate, int) or rate < 1:
        raise CheckpointError(
            f"{folder / extractor} says no sampling_rate, so that nobody knows what the model was trained on; "
            'an audio model has "sampling_rate": 16000 or the like there'
        )
    weights = next((name for name in _WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        raise CheckpointError(f"{folder} has no weights; looked for {', '.join(_WEIGHTS)}")
    files = [folder / name for name in ("config.json", extractor, weights)]
    if weights.endswith(".index.json"):
        files += [folder / shard for shard in sorted(set(_json(folder, weights, "").get("weight_map", {}).values()))]
    clap = config.get("model_type") == "clap"
    files += [path for name in _TOKENIZERS if clap and (path := folder / name).is_file()]
    given = {"layer": layer, "pool": pool, "dtype": dtype}
    return Reference(
        title=folder.name if Path(target).is_dir() else str(target).rpartition("/")[2],
        files=tuple(files),
        fields={
            "options": {"folder": str(folder), **given},
            "sample_rate": rate,
            "embeds_text": clap,
            "source": f"{config.get('model_type', 'unknown')} of transformers",
        },
    )


def timm(target: str, *, weights: Path | None = None) -> Reference:
    """A network of timm by name, at random or with the weights of a local file.

    Raises:
        CheckpointError: timm has no such network, or there is no such file.
    """
    home = importlib.util.find_spec("timm")
    places = home.submodule_search_locations if home else None
    sources = sorted(Path(places[0], "models").glob("*.py")) if places else []
    found = (re.findall(r"^def (\w+)\(\s*pretrained\b", path.read_text("utf-8"), re.MULTILINE) for path in sources)
    names = {name for some in found for name in some}
    name = target.partition(".")[0]
    if name not in names:
        close = difflib.get_close_matches(name, sorted(names), n=3)
        advice = f"did you mean {' or '.join(close)}?" if close else "timm.list_models() shows all"
        raise CheckpointError(f"timm has no network {name!r}; {advice}")
    if weights is not None and not weights.is_file():
        raise CheckpointError(f"no weights at {weights.absolute()}; give timm:{name}?weights=FILE a file that is there")
    axes = {"axes": {"mode": "finetune"}} if weights else {}
    options = {"name": name, "weights": str(weights) if weights else None}
    return Reference(title=name, files=(weights,) if weights else (), fields={"options": options, **axes})


def onnx(
    target: Path, *, output: str | None = None, rate: int | None = None, window: int | None = None,
    hop: int | None = None,
) -> Reference:  # fmt: skip
    """An ONNX file, with the files beside it that hold its larger tensors."""
    return _file("onnx", target, rate=rate, output=output, window=window, hop=hop)


def tflite(
    target: Path, *, output: str | None = None, rate: int | None = None, window: int | None = None,
    hop: int | None = None,
) -> Reference:  # fmt: skip
    """A TFLite file."""
    return _file("tflite", target, rate=rate, output=output, window=window, hop=hop)


def _file(kind: str, target: Path, *, rate: int | None, **options: Any) -> Reference:
    if not target.is_file():
        raise CheckpointError(f"no file at {target.absolute()}; write {kind}:FILE")
    for name, value in (("rate", rate), *((name, options[name]) for name in ("window", "hop"))):
        if value is not None and value < 1:
            raise CheckpointError(f"{kind}:{target.name}: {name}={value} must be at least 1")
    files = (target, *sorted(path for path in target.parent.glob(f"{target.name}*data") if path.is_file()))
    fields = {"options": {"kind": kind, "file": str(target), **options}, "sample_rate": rate}
    return Reference(title=target.stem, files=files, fields=fields)


def _cached(name: str) -> Path:
    """The folder of an id in the cache of the Hugging Face Hub; the network is never asked."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError) as error:
        raise CheckpointError(
            f"{name!r} is no folder here ({Path(name).absolute()}), and the cache {HF_HUB_CACHE} holds no model of "
            f"that id; `hf download {name}` fetches one of the Hugging Face Hub"
        ) from error


def _json(folder: Path, name: str, what: str) -> dict[str, Any]:
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder} has no {name}, {what}") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder / name} cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{folder / name} holds a {type(found).__name__}, not an object")
    return found
