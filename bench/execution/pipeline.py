"""Waveform in, logits out: front end, normalisation by training statistics, model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import PluginError
from bench.execution.results import LogitsShapeError


class Normaliser(nn.Module):
    """Subtracts a mean and divides by a deviation that were measured on the training clips of the cell.

    Buffers: ``mean`` ``(freq, 1)`` or ``(1, 1)``, ``scale`` ``(1, 1)``.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, freq: int = 1) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(freq, 1))
        self.register_buffer("scale", torch.ones(1, 1))

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor], kind: str) -> None:
        """Measure ``bin``, ``global`` or ``half`` statistics over features ``(batch, freq, time)``.

        Sums are float64, so that the result does not depend on the batch size beyond rounding.
        """
        wide = (features.double() for features in batches)
        sums: list[Any] = [(x.sum(dim=(0, 2)), (x * x).sum(dim=(0, 2)), x.shape[0] * x.shape[2]) for x in wide]
        if not sums:
            raise PluginError("no training clip to measure normalisation statistics on")
        total, square, count = (sum(column) for column in zip(*sums, strict=True))
        per_bin = total / count
        mean = per_bin if kind == "bin" else per_bin.mean().expand(1)
        if kind == "bin":
            variance = (square / count - per_bin**2).mean()
        else:
            variance = square.sum() / (count * len(total)) - mean[0] ** 2
        scale = variance.clamp_min(1e-10).sqrt() * (2.0 if kind == "half" else 1.0)
        self.mean = mean[:, None].float()
        self.scale = scale.reshape(1, 1).float()

    def forward(self, features: Tensor) -> Tensor:
        """``(batch, freq, time) -> (batch, freq, time)``."""
        return (features - self.mean) / self.scale


class Pipeline(nn.Module):
    """Front end, normaliser and model as one module; what is checkpointed and timed.

    Args:
        model: The plugin's module.
        frontend: Waveform to features; ``None`` where the model takes the waveform or features come stored.
        normaliser: ``None`` where the model takes the waveform.
        modalities: Inputs handed to the model.
        by_name: Whether the model is called with keywords; ``None`` = where it gets several modalities.
        num_classes: For the shape check of the logits.

    Attributes:
        bands: Whether the features' frequency axis counts bands (see :attr:`bench.plugins.specs.FrontendSpec.bands`).
        opaque: Whether another runtime than torch does the model's work, whose weights and operators nobody counts.
    """

    def __init__(
        self, model: nn.Module, *, frontend: nn.Module | None, normaliser: Normaliser | None,
        modalities: tuple[str, ...], num_classes: int, by_name: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.frontend, self.normaliser, self.model = frontend, normaliser, model
        self.modalities, self.num_classes = modalities, num_classes
        self.by_name = len(modalities) > 1 if by_name is None else by_name
        self.bands = True
        self.call = call_model
        self.opaque = bool(getattr(model, "opaque", False))
        self.frontend_trains = frontend is not None and any(p.requires_grad for p in frontend.parameters())

    def features(self, audio: Tensor, hide: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """What the model gets for ``audio``: normalised features ``(batch, freq, time)``, or the waveform.

        ``hide`` hides bands of a spectrogram; used by front ends whose features are no bands, ignored otherwise.
        """
        if self.frontend is not None:
            inside = () if hide is None or self.bands else (hide,)
            with torch.set_grad_enabled(torch.is_grad_enabled() and self.frontend_trains):
                audio = self.frontend(audio, *inside)
        return audio if self.normaliser is None else self.normaliser(audio)

    def logits(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """``{modality: tensor} -> (batch, num_classes)``, with ``audio`` already as features."""
        given = dict(inputs) if self.by_name else inputs[self.modalities[0]]
        logits: Any = self.call(self.model, given)
        batch = next(iter(inputs.values())).shape[0]
        if not isinstance(logits, Tensor) or tuple(logits.shape) != (batch, self.num_classes):
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise LogitsShapeError(f"the model returned {got}, expected logits ({batch}, {self.num_classes})")
        return logits

    @property
    def counts(self) -> dict[str, int | None]:
        """Parameters of the model and of the front end, as a record names them."""
        own = None if self.opaque else count_parameters(self.model)
        return {"parameters": own, "frontend_parameters": count_parameters(self.frontend)}

    def prepare(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What :meth:`logits` takes: ``audio`` through the front end, everything else as it is."""
        return {name: self.features(x) if name == "audio" else x for name, x in inputs.items()}

    def forward(self, inputs: Mapping[str, Tensor], *, prepared: bool = False) -> Tensor:
        """``{modality: tensor} -> (batch, num_classes)``, from the waveform on, or from what was ``prepared``."""
        return self.logits(inputs if prepared else self.prepare(inputs))


def call_model(model: nn.Module, given: Tensor | dict[str, Tensor]) -> Any:
    """The model on one tensor or on several by name."""
    return model(**given) if isinstance(given, dict) else model(given)


def compile_network(pipeline: Pipeline) -> None:
    """Let ``torch.compile`` run the network of a pipeline, and of its copies, from the next call on.

    To be called once lazy layers exist and the weights stand on their device. The call is what is compiled, not the
    module: ``nn.Module.compile`` leaves containers of torch's own uncompiled without a word. For the same reason too
    many recompilations are an error here, where torch would go on uncompiled.
    """
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    pipeline.call = torch.compile(call_model)


def compiled_graphs() -> int:
    """Graphs that ``torch.compile`` made in this process: one for each use of a network, more where it recompiled."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def count_parameters(module: nn.Module | None) -> int:
    """Number of parameters, shared ones once."""
    return 0 if module is None else sum(p.numel() for p in module.parameters())
