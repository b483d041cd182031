"""A fitted cell as one file: written, read back by what will read it, and compared with the stored logits."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from torch import Tensor, nn

from bench import __version__
from bench.errors import BenchError, DataError, PluginError, SelectionError
from bench.execution.classifiers import Linear
from bench.execution.inputs import prepare
from bench.execution.kept import Kept
from bench.job import Job
from bench.plugins.registry import Registry
from bench.results.store import Store

CLIPS = 64
"""Test clips that are compared."""
LIMIT = 1e-3
"""Largest difference of a logit, of the largest logit or of 1."""

Floats = npt.NDArray[np.float32]
Inputs = Mapping[str, Tensor]
Answer = Callable[[Inputs], Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was compared: ``clips`` of the cell's test clips, the largest ``difference``, and the ``limit`` of it."""

    clips: int
    difference: float
    limit: float


class Network(nn.Module):
    """Waveform ``(batch, samples)`` to logits ``(batch, classes)``: front end, normalisation, network, linear head."""

    def __init__(self, kept: Kept) -> None:
        super().__init__()
        self.pipeline, self.probed = kept.pipeline.eval(), isinstance(kept.classifier, Linear)
        if isinstance(kept.classifier, Linear):
            head = kept.classifier
            weight = head.weight / head.scale
            self.register_buffer("weight", torch.from_numpy(weight).float())
            self.register_buffer("bias", torch.from_numpy(head.bias - weight @ head.mean).float())

    def forward(self, audio: Tensor) -> Tensor:
        """``(batch, samples) -> (batch, classes)``."""
        inputs = self.pipeline.prepare({"audio": audio})
        if not self.probed:
            return self.pipeline.logits(inputs)
        method: Any = self.pipeline.model.embed
        found = method(**inputs)
        values = torch.cat([found[name] for name in sorted(found)], 1) if isinstance(found, Mapping) else found
        return nn.functional.linear(values.float(), self.get_buffer("weight"), self.get_buffer("bias"))


def export(registry: Registry, store: Store, kept: Kept, path: Path, data: Path | None = None) -> Exported:
    """Write ``path`` in the format of its suffix; nothing is left there whose logits are others.

    Raises:
        SelectionError: The suffix is unknown, or the cell cannot stand in such a file.
        BenchError: The logits are not those that the cell stored.
    """
    if path.suffix not in WRITE:
        raise SelectionError(f"--to {path}: unknown format {path.suffix!r}; write {', '.join(WRITE)}")
    cell, head = kept.record.cell, kept.classifier
    if kept.task.clip_samples != cell.clip_samples and kept.recipe.long_clips == "window":
        how = "run it with --set recipe.long_clips=crop"
        raise SelectionError(f"{cell.id} averages over windows, which no single call does; {how}")
    whole = cell.inputs == "audio" and not kept.lengths and (head is None or isinstance(head, Linear))
    if path.suffix != ".safetensors" and not whole:
        raise SelectionError(f"{cell.id} takes more than a waveform, or its head is not linear; export .safetensors")
    inputs, wanted = _asked(registry, store, kept, data)
    draft = path.with_name(f".tmp-{path.name}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about itself; what counts is compared below
            found = _written(kept, path, draft, inputs)
        difference = float(np.abs(found - wanted).max())
        limit = LIMIT * max(1.0, float(np.abs(wanted).max()))
        if not difference <= limit:
            far = f"its logits differ by {difference:.2g} from those stored (limit {limit:.2g})"
            raise BenchError(f"{path} is not kept: {far}; the code of {cell.model} may be another now")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return Exported(clips=len(wanted), difference=difference, limit=limit)


def _written(kept: Kept, path: Path, draft: Path, inputs: Inputs) -> Floats:
    """The logits that the file gives."""
    try:
        return WRITE[path.suffix](kept, draft, inputs)(inputs)
    except BenchError:
        raise
    except Exception as error:  # whatever torch and its exporters raise about a network
        first: BaseException = error
        while first.__cause__ is not None:
            first = first.__cause__
        said = next((line for line in str(first).splitlines() if line.strip()), "").strip()[:200]
        why = f"{path.suffix}: {type(first).__name__}: {said}"
        raise PluginError(f"{kept.record.cell.model} cannot be written as {why}; export .safetensors") from error


def _asked(registry: Registry, store: Store, kept: Kept, data: Path | None) -> tuple[Inputs, Floats]:
    """The inputs of some test clips of the cell, and the logits that it stored of them."""
    cell, arrays = replace(kept.record.cell, feeding="fly"), store.predictions(kept.record)
    job = Job(cell=cell, recipe=kept.recipe, fingerprint=kept.record.fingerprint, data=data and data.resolve())
    held = prepare(registry, job)
    ids = arrays["ids"].tolist()
    chosen = np.unique(np.linspace(0, len(ids) - 1, min(CLIPS, len(ids))).astype(np.int64))
    places = {name: row for row, name in enumerate(held.clips.ids)}
    if missing := [ids[i] for i in chosen if ids[i] not in places]:
        raise DataError(f"{held.clips.title} here has no clip {missing[0]!r} of {cell.id}; give its data with --data")
    rows = np.asarray([places[ids[i]] for i in chosen], dtype=np.int64)
    (batch,) = held.test_batches(rows, len(rows)).epoch(0)
    return batch.inputs, arrays["logits"][chosen]


def described(kept: Kept) -> dict[str, Any]:
    """What whoever loads the file must know, as JSON values."""
    cell, task, recipe = kept.record.cell, kept.task, kept.recipe
    return {
        "bench": __version__, "cell": cell.to_json(), "class_names": list(task.label_names),
        "task_type": task.task_type, "sample_rate": task.sample_rate, "clip_samples": task.clip_samples,
        "frontend": cell.frontend, "frontend_settings": str(getattr(kept.pipeline.frontend, "settings", "")),
        "normalise": recipe.normalise, "trim_db": recipe.trim_db, "fill": recipe.fill,
        "license": (kept.record.provenance.get("model") or {}).get("license", ""),
    }  # fmt: skip


def _safetensors(kept: Kept, path: Path, _: Inputs) -> Answer:
    safetensors.torch.save_file(dict(kept.tensors), path, metadata={"bench": json.dumps(described(kept))})
    read = safetensors.torch.load_file(path)
    kept.pipeline.load_state_dict({name: read[name] for name in kept.pipeline.state_dict()}, strict=True)
    return kept.logits


def _program(kept: Kept, inputs: Inputs) -> torch.export.ExportedProgram:
    """The network for any batch; for one clip where its code fixes the size of the batch."""
    network, audio = Network(kept), inputs["audio"]
    with torch.no_grad():
        try:
            return torch.export.export(network, (audio[:2],), dynamic_shapes={"audio": {0: torch.export.Dim.DYNAMIC}})
        except Exception:  # noqa: BLE001  the code of a network may do anything with its batch
            return torch.export.export(network, (audio[:1],))


def _answer(program: torch.export.ExportedProgram, call: Callable[[Tensor], Floats]) -> Answer:
    """``call`` on as many clips as the program takes."""
    shape = next(node for node in program.graph.nodes if node.name == "audio").meta["val"].shape

    def answer(inputs: Inputs) -> Floats:
        audio = inputs["audio"]
        size = 1 if shape[0] == 1 else len(audio)
        return np.concatenate([call(audio[i : i + size]) for i in range(0, len(audio), size)])

    return answer


def _pt2(kept: Kept, path: Path, inputs: Inputs) -> Answer:
    program = _program(kept, inputs)
    with path.open("wb") as file:
        torch.export.save(program, file, extra_files={"bench.json": json.dumps(described(kept))})
    with path.open("rb") as written:
        network = torch.export.load(written).module()

    def call(audio: Tensor) -> Floats:
        with torch.no_grad():
            found: Floats = network(audio).numpy()
        return found

    return _answer(program, call)


def _onnx(kept: Kept, path: Path, inputs: Inputs) -> Answer:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  torch asks for it
    except ImportError as error:
        raise SelectionError(f"--to .onnx needs {error.name}: pip install 'bench-audio[onnx]'") from error
    program = _program(kept, inputs)
    made: Any = torch.onnx.export(program, input_names=["audio"], output_names=["logits"], dynamo=True, verbose=False)
    made.model.metadata_props["bench"] = json.dumps(described(kept))
    made.save(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return _answer(program, lambda audio: np.asarray(session.run(["logits"], {"audio": audio.numpy()})[0]))


Write = Callable[[Kept, Path, Inputs], Answer]
WRITE: Mapping[str, Write] = {".safetensors": _safetensors, ".pt2": _pt2, ".onnx": _onnx}
"""What writes a file and reads it back, by suffix."""
