"""A file that ONNX Runtime or LiteRT runs on the CPU, as a frozen encoder of waveforms.

It takes ``(samples,)``, ``(batch, samples)``, ``(batch, 1, samples)`` or ``(batch, samples, 1)`` in float32. Where it
takes a fixed number of samples a clip is cut into windows of that many, ``hop`` apart; the last one is filled with
zeros, and left out where less than half of it is sound. A clip's vector is the mean over its windows, and over steps
where the file gives a vector for each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bench import CheckpointError, DataError, TaskInfo

Floats = npt.NDArray[np.float32]
_ROWS = 32
"""Windows that go through a file together where it takes any number."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Runtime:
    """A loaded file: ``run`` takes an array of ``shape``, in which ``None`` stands for any size."""

    file: str
    shape: tuple[int | None, ...]
    run: Callable[[Floats], Any]

    def __deepcopy__(self, memo: dict[int, Any]) -> Runtime:
        return self  # nothing of it changes, and no runtime copies its session


class RuntimeEncoder(nn.Module):
    """A frozen file before a linear classifier; arguments as of :func:`build`."""

    opaque = True

    def __init__(self, runtime: Runtime, task: TaskInfo, *, window: int | None, hop: int | None) -> None:
        super().__init__()
        self.runtime = runtime
        self.axis, self.rows, samples = _layout(runtime)
        if samples and window not in (None, samples):
            raise CheckpointError(f"{runtime.file} takes {samples} samples, not window={window}; leave that out")
        self.window = samples or window
        self.hop = hop or self.window or 0
        if hop and not self.window:
            raise CheckpointError(f"{runtime.file} takes clips of any length: hop={hop} needs window=SAMPLES too")
        width = self.embed(torch.zeros(1, task.clip_samples, device="cpu")).shape[1]
        self.head = nn.Linear(width, task.num_classes)

    def forward(self, audio: Tensor, audio_samples: Tensor | None = None) -> Tensor:
        """``(batch, samples) -> (batch, classes)``."""
        logits: Tensor = self.head(self.embed(audio, audio_samples))
        return logits

    @torch.no_grad()
    def embed(self, audio: Tensor, audio_samples: Tensor | None = None) -> Tensor:
        """``(batch, samples) -> (batch, dim)``."""
        own = [audio.shape[1]] * len(audio) if audio_samples is None else audio_samples.tolist()
        waves = audio.detach().float().cpu().numpy()  # (batch, samples)
        cut = [self._windows(wave[: count or len(wave)]) for wave, count in zip(waves, own, strict=True)]
        groups: dict[int, list[int]] = defaultdict(list)  # windows of one length go together
        for clip, windows in enumerate(cut):
            groups[windows.shape[1]].append(clip)
        vectors: dict[int, Floats] = {}
        for clips in groups.values():
            found = self._run(np.concatenate([cut[clip] for clip in clips]))  # (windows, dim)
            ends = np.cumsum([len(cut[clip]) for clip in clips])[:-1]
            vectors |= {clip: part.mean(0) for clip, part in zip(clips, np.split(found, ends), strict=True)}
        return torch.from_numpy(np.stack([vectors[clip] for clip in range(len(cut))])).to(audio.device)

    def _windows(self, wave: Floats) -> Floats:
        """A clip ``(samples,)`` as ``(windows, window)``."""
        size = self.window
        if not size:
            return wave[None]
        starts = range(0, max(1, len(wave) - size // 2), self.hop)
        padded = np.pad(wave, (0, size))
        return np.stack([padded[start : start + size] for start in starts])

    def _run(self, waves: Floats) -> Floats:
        """``(windows, samples) -> (windows, dim)``, in as many calls as the file needs."""
        size = self.rows or _ROWS
        parts = []
        for start in range(0, len(waves), size):
            rows = waves[start : start + size]
            short = size - len(rows) if self.rows else 0  # a file of a fixed batch gets silence for the rest
            parts.append(self._call(np.pad(rows, ((0, short), (0, 0))))[: len(rows)])
        return np.concatenate(parts)

    def _call(self, rows: Floats) -> Floats:
        given = (
            rows[0] if self.axis == 0 else np.expand_dims(rows, 1 if self.axis == 2 else 2) if self.axis > 1 else rows
        )
        try:
            found = np.asarray(self.runtime.run(np.ascontiguousarray(given)), dtype=np.float32)
        except (RuntimeError, ValueError) as error:
            first = " ".join(str(error).strip().splitlines()[:1])
            raise DataError(f"{self.runtime.file} takes no {rows.shape[1]} samples: {first}") from error
        if self.axis == 0:  # one clip, no batch: a vector, or one for each step
            found = found.reshape(1, -1, found.shape[-1]) if found.ndim in (1, 2) else found
        if found.ndim == 3:
            found = found.mean(1)  # (rows, dim)
        if found.ndim != 2 or len(found) != len(rows):
            raise CheckpointError(
                f"{self.runtime.file} gives {found.shape} for {len(rows)} clips; a vector for each is needed, or one "
                "for each of its steps: choose another with ?output=NAME"
            )
        return found


def _layout(runtime: Runtime) -> tuple[int, int | None, int | None]:
    """Where the samples stand among the axes of the input, its fixed rows and its fixed samples."""
    match runtime.shape:
        case (samples,):
            return 0, 1, samples
        case (rows, samples) if samples != 1:
            return 1, rows, samples
        case (rows, 1, samples):
            return 2, rows, samples
        case (rows, samples, 1):
            return 3, rows, samples
    shown = ", ".join("any" if size is None else str(size) for size in runtime.shape)
    raise CheckpointError(
        f"{runtime.file} takes an input of shape ({shown}); a waveform is (batch, samples), (batch, 1, samples), "
        "(batch, samples, 1) or (samples)"
    )


def build(
    task: TaskInfo, *, kind: str, file: str, output: str | None = None, window: int | None = None,
    hop: int | None = None,
) -> RuntimeEncoder:  # fmt: skip
    """The encoder in a file.

    Args:
        task: The data set's.
        kind: ``onnx`` or ``tflite``.
        file: Its path.
        output: Name or number of what it gives that is taken; ``None`` = the only one.
        window: Samples of a window where the file takes any number; ``None`` = whole clips.
        hop: Samples between windows; ``None`` = as long as they are.

    Raises:
        CheckpointError: It cannot be read, takes no waveform, or gives no vector.
    """
    load = {"onnx": _onnx, "tflite": _tflite}[kind]
    return RuntimeEncoder(load(file, output), task, window=window, hop=hop)


def _onnx(file: str, output: str | None) -> Runtime:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise CheckpointError(f"{file} needs ONNX Runtime: pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        first = " ".join(str(error).strip().splitlines()[:1])
        raise CheckpointError(f"{file} cannot be read by ONNX Runtime: {first}") from error
    given = _only(file, [(one.name, one.type, one.shape) for one in session.get_inputs()], "tensor(float)")
    names = [one.name for one in session.get_outputs()]
    name = _named(file, names, output)
    shape = tuple(size if isinstance(size, int) else None for size in given[2])
    return Runtime(file=file, shape=shape, run=lambda x: session.run([name], {given[0]: x})[0])


def _tflite(file: str, output: str | None) -> Runtime:
    try:
        from ai_edge_litert import interpreter as litert
    except ModuleNotFoundError as error:
        raise CheckpointError(f"{file} needs LiteRT: pip install ai-edge-litert") from error

    def opened(**how: Any) -> Any:
        try:
            made = litert.Interpreter(file, num_threads=torch.get_num_threads(), **how)
            made.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            first = " ".join(str(error).strip().splitlines()[:1])
            raise CheckpointError(f"{file} cannot be read by LiteRT: {first}") from error
        return made

    made = opened()
    given = _only(file, [(d["name"], d["dtype"], d) for d in made.get_input_details()], np.float32)[2]
    outputs = {one["name"]: one["index"] for one in made.get_output_details()}
    inner = {one["name"]: one["index"] for one in made.get_tensor_details() if one["name"]}
    if output in inner and output not in outputs:  # on the way, where delegates keep nothing
        plain = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        made, outputs = opened(experimental_op_resolver_type=plain), inner
        kept = opened(experimental_op_resolver_type=plain, experimental_preserve_all_tensors=True)
        noise = np.random.default_rng(0).standard_normal(given["shape"]).astype(np.float32)
        if not np.array_equal(*(_invoked(one, given["index"], noise, inner[output]) for one in (made, kept))):
            made = kept  # another tensor takes its place before the end; keeping all of them is slow
    index = outputs[_named(file, list(outputs), output)]
    shape = tuple(None if size < 0 else int(size) for size in given["shape_signature"])
    return Runtime(file=file, shape=shape, run=lambda x: _invoked(made, given["index"], x, index))


def _invoked(interpreter: Any, given: int, x: Floats, wanted: int) -> Any:
    """A tensor of a TFLite file after ``x`` went through it."""
    if tuple(interpreter.get_input_details()[0]["shape"]) != x.shape:
        interpreter.resize_tensor_input(given, x.shape)
        interpreter.allocate_tensors()
    interpreter.set_tensor(given, x)
    interpreter.invoke()
    return interpreter.get_tensor(wanted)


def _only(file: str, inputs: Sequence[tuple[str, Any, Any]], kind: Any) -> tuple[str, Any, Any]:
    if len(inputs) == 1 and inputs[0][1] == kind:
        return inputs[0]
    shown = ", ".join(f"{name} ({getattr(found, '__name__', found)})" for name, found, _ in inputs)
    raise CheckpointError(f"{file} takes {shown}; one input of float32, the waveform, is what it can be given")


def _named(file: str, names: Sequence[str], output: str | None) -> str:
    if output is None and len(names) == 1:
        return names[0]
    if output in names:
        return str(output)
    if output is not None and output.isdigit() and int(output) < len(names):
        return names[int(output)]
    said = "several outputs" if output is None else f"no output {output!r}"
    raise CheckpointError(f"{file} has {said}; choose one with ?output=NAME or its number: {', '.join(names)}")
