"""The run axes of one model on one data set: mode, weights, inputs, front end, feeding, and why some do not fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.cell import GIVEN, MODES, WAVEFORM, format_inputs, parse_inputs
from bench.errors import SelectionError
from bench.plugins.registry import Registry
from bench.plugins.specs import ModelSpec
from bench.results.provenance import extra_versions, weights_label, weights_sha256

Ways = dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What training starts from.

    Attributes:
        label: As :attr:`bench.cell.Cell.weights` says it: ``random``, ``masked`` or ``NAME~hash``.
        sha256: Of the file, empty where there is none.
        path: The file, ``None`` where there is none.
    """

    label: str = "random"
    sha256: str = ""
    path: Path | None = None

    @classmethod
    def read(cls, text: str) -> Start:
        """``masked``, ``random``, or a file or folder, which is hashed here.

        Raises:
            SelectionError: There is no such file.
        """
        if text in ("masked", "random"):
            return cls(label=text)
        path = Path(text).expanduser()
        if not path.exists():
            raise SelectionError(f"--weights {text!r} is neither 'masked' nor a file; looked for {path.resolve()}")
        return cls(label=weights_label(path), sha256=weights_sha256(path), path=path.resolve())


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user asks of every model; ``None`` = the alias's own choice, else the model's default.

    Attributes:
        mode: One of :data:`MODES`.
        start: What training starts from.
        inputs: In the grammar of :attr:`bench.cell.Cell.inputs`.
        frontend: Name of a front end.
        feeding: ``fly`` or ``precomputed``.
    """

    mode: str | None = None
    start: Start | None = None
    inputs: str | None = None
    frontend: str | None = None
    feeding: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a data set gives.

    Attributes:
        name: Of the data set.
        modalities: What every clip has.
        features: ``audio`` are published features; there is no waveform.
    """

    name: str
    modalities: tuple[str, ...]
    features: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """The axes of one model on one data set; ``problem`` says why they do not fit, empty if they do."""

    mode: str
    weights: str
    inputs: str
    frontend: str
    feeding: str
    problem: str = ""


def choose_axes(wishes: Wishes, registry: Registry, named: ModelSpec, target: ModelSpec, offer: Offer) -> Axes:
    """The axes of a model: what the user asks for, else what the alias fixes, else the model's default.

    Args:
        wishes: Of the user.
        registry: For the front ends.
        named: The model or alias that was selected.
        target: The model itself.
        offer: What the data set gives.
    """
    fixed = {**target.axes, **named.axes}
    mode = wishes.mode or fixed.get("mode") or ("finetune" if target.needs_weights else "scratch")
    weights = wishes.start.label if wishes.start else fixed.get("weights", "random")
    inputs, problems = resolve_inputs(target, offer, wishes.inputs or fixed.get("inputs"))
    heard = "audio" in inputs
    own = GIVEN if offer.features and heard else None
    frontend = wishes.frontend or own or fixed.get("frontend") or target.frontend or WAVEFORM
    feeding = wishes.feeding or ("precomputed" if frontend == GIVEN else fixed.get("feeding")) or "fly"
    problems += [
        *_frontend_problems(frontend, feeding, registry, (named, target), offer, heard=heard),
        *_training_problems(mode, weights, target),
        *_extra_problems(registry, target),
    ]
    return Axes(
        mode=mode,
        weights=weights,
        inputs=format_inputs(inputs),
        frontend=frontend,
        feeding=feeding,
        problem="; ".join(problems),
    )


def resolve_inputs(spec: ModelSpec, offer: Offer, wish: str | None) -> tuple[Ways, list[str]]:
    """What a model gets of a data set, in the order in which it declares its modalities, and what stands against it.

    Args:
        spec: Its modalities and which of them may be derived.
        offer: What the data set gives.
        wish: ``audio.shuffled+image``; ``None`` = everything that is given or can be derived.

    Raises:
        SelectionError: ``wish`` is not in the grammar.
    """
    declared = dict.fromkeys((*spec.modalities, *spec.optional_modalities))
    asked = None if wish is None else parse_inputs(wish)
    inputs: Ways = {}
    problems = []
    for name in declared:
        if asked is not None and name not in asked:
            if name in spec.modalities:
                problems.append(f"needs {name}, which inputs {wish!r} leave out")
            continue
        ways = () if asked is None else asked[name]
        if name not in offer.modalities and "derived" not in ways and name in spec.derived:
            ways = ("derived", *ways)
        problem = _source_problem(name, ways, spec, offer)
        if not problem:
            inputs[name] = ways
        elif asked is not None or name in spec.modalities:
            problems.append(problem)
    if asked is not None:
        takes = ", ".join(declared)
        problems += [f"does not take {name}; it takes {takes}" for name in asked if name not in declared]
    if not inputs and not problems:
        problems.append(f"needs one of {', '.join(declared)}; {offer.name} gives {', '.join(offer.modalities)}")
    problems += _missing_problems(inputs, spec)
    if problems and asked is not None:
        return dict(asked), problems  # named as asked, so that it is not taken for a cell that fits
    return inputs or dict.fromkeys(declared, ()), problems


def _source_problem(name: str, ways: tuple[str, ...], spec: ModelSpec, offer: Offer) -> str:
    if "derived" not in ways:
        return "" if name in offer.modalities else f"needs {name}; {offer.name} gives {', '.join(offer.modalities)}"
    if name not in spec.derived:
        return f"does not take a derived {name}"
    if offer.features or "audio" not in offer.modalities:
        return f"needs {name}; {offer.name} gives no waveform to derive it from"
    return ""


def _missing_problems(inputs: Mapping[str, tuple[str, ...]], spec: ModelSpec) -> Iterator[str]:
    missing = [name for name, ways in inputs.items() if "missing" in ways]
    for name in missing:
        if name in spec.modalities:
            able = ", ".join(spec.optional_modalities) or "nothing"
            yield f"cannot do without {name} in test; it can do without {able}"
    if missing and len(missing) == len(inputs):
        yield f"{' and '.join(missing)} missing leaves nothing to test on"


def _frontend_problems(
    frontend: str, feeding: str, registry: Registry, specs: tuple[ModelSpec, ModelSpec], offer: Offer, *, heard: bool
) -> Iterator[str]:
    named, target = specs
    fixed = [named.axes["frontend"]] if "frontend" in named.axes else []
    allowed = {target.frontend or WAVEFORM, *target.frontends, *fixed}
    if offer.features and heard and frontend != GIVEN:
        yield f"{offer.name} gives features as published: there is no waveform for front end {frontend!r}"
    elif not offer.features and frontend == GIVEN:
        yield f"front end {GIVEN!r} is for data with published features; {offer.name} gives waveforms"
    elif frontend not in allowed:
        yield f"does not take front end {frontend!r}; it takes {', '.join(sorted(allowed))}"
    if frontend == GIVEN and feeding == "fly":
        yield "published features are stored: nothing is computed per batch"
    elif feeding == "precomputed" and frontend == WAVEFORM:
        yield "takes the waveform: there is nothing to precompute"
    elif feeding == "precomputed" and frontend in registry.frontends and registry.frontends[frontend].spec.trainable:
        yield f"front end {frontend!r} is trained: its features cannot be precomputed"


def _extra_problems(registry: Registry, spec: ModelSpec) -> Iterator[str]:
    if spec.extra is None:
        return
    owner = registry.models[spec.name].provenance.distribution
    missing = [name for name, version in extra_versions(spec.extra, owner).items() if version is None]
    if missing:
        yield (
            f"needs the extra {spec.extra!r}, of which {', '.join(missing)} is not installed: "
            f"pip install '{owner}[{spec.extra}]', or pip install --no-deps {' '.join(missing)}"
        )


def _training_problems(mode: str, weights: str, spec: ModelSpec) -> Iterator[str]:
    if mode not in MODES:
        yield f"mode {mode!r} cannot be run; modes are {', '.join(MODES)}"
    elif spec.estimator and (mode, weights) != ("scratch", "random"):
        yield f"is an estimator, fitted from scratch: it has no {mode if mode != 'scratch' else 'start from weights'}"
    elif spec.needs_weights and weights == "random":
        yield "never starts at random; add --weights FILE"
    elif mode == "scratch" and weights != "random":
        yield f"mode scratch starts from random weights, not from {weights}; use --mode finetune, probe or knn"
    elif mode == "finetune" and weights == "random":
        yield "mode finetune needs weights to start from; add --weights masked or --weights FILE"
    elif "~" not in weights and weights not in ("random", "masked"):
        yield f"weights {weights!r} cannot be fixed by an alias; allowed are masked and random"
    elif weights == "masked" and spec.pretrain is None:
        yield "has no masked pre-training; use --weights FILE"
