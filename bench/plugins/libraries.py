"""Libraries that cannot be imported as they stand in some environments."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any


def import_transformers() -> Any:
    """transformers, where torchaudio does not load as well.

    torchaudio refuses to load beside a torch of another CUDA, and transformers imports it wherever it is installed,
    with any model: no model could be imported. So one that does not load counts as not installed in this process.
    """
    if importlib.util.find_spec("torchaudio"):
        try:
            importlib.import_module("torchaudio")
        except Exception:  # noqa: BLE001  an extension that does not fit raises whatever it likes; `bench doctor` tells
            sys.modules["torchaudio"] = None  # type: ignore[assignment]  # what Python reads as: there is none
    return importlib.import_module("transformers")
