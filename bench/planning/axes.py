"""The run axes of one model on one data set: mode, weights, inputs, front end, feeding, and why some do not fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.cell import ATTENTION, FROZEN, GIVEN, HEADS, WAVEFORM, ZERO_SHOT, format_inputs, parse_inputs
from bench.clips import Clips
from bench.config.selection import Selection
from bench.errors import SelectionError
from bench.plugins.registry import Registry
from bench.plugins.specs import ModelSpec
from bench.recipe import Recipe
from bench.results.provenance import extra_versions, file_word, weights_label, weights_sha256
from bench.textfiles import at_home

Ways = dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """The axes of one model on one data set; ``problem`` says why they do not fit, empty if they do."""

    mode: str
    weights: str
    inputs: str
    frontend: str
    feeding: str
    problem: str = ""


def read_weights(given: str | Path | None, prefix: str = "") -> tuple[str | None, str]:
    """What ``--weights`` asks training to start from, as :attr:`bench.cell.Cell.weights` says it, and its checksum.

    ``None`` = the model's own choice; the checksum is empty where there is no file.
    """
    if given in (None, "masked", "random"):
        return (None if given is None else str(given)), ""
    path = at_home(str(given))
    if not (path.is_file() or path.is_dir()):
        raise SelectionError(f"--weights {str(given)!r} is neither 'masked' nor a file; looked for {path.resolve()}")
    name, _, digits = weights_label(path).rpartition("~")
    return f"{name}+{file_word(prefix)}~{digits}" if prefix else f"{name}~{digits}", weights_sha256(path)


def target_of(named: ModelSpec, registry: Registry) -> ModelSpec:
    """The model itself, where an alias was selected."""
    return registry.models[named.alias_of].spec if named.alias_of else named


def choose_axes(
    selection: Selection, registry: Registry, named: ModelSpec, clips: Clips, weights: str | None = None
) -> Axes:
    """The axes of a model: what the user asks for, else what the alias fixes, else the model's default."""
    target = target_of(named, registry)
    fixed = {**target.axes, **named.axes}
    mode = selection.mode or fixed.get("mode") or ("finetune" if target.needs_weights else "scratch")
    start = weights or fixed.get("weights", "random")
    inputs, problems = resolve_inputs(target, clips, selection.inputs or fixed.get("inputs"))
    published = clips.features is not None
    own = GIVEN if published and "audio" in inputs else None
    frontend = selection.frontend or own or fixed.get("frontend") or target.frontend or WAVEFORM
    feeding = selection.feeding or ("precomputed" if frontend == GIVEN else fixed.get("feeding")) or "fly"
    default = target.frontend or WAVEFORM
    allowed = {default, *target.frontends, named.axes.get("frontend", default)}
    problems += [
        *_frontend_problems(frontend, allowed, clips, heard="audio" in inputs),
        *_feeding_problems(frontend, feeding, registry),
        *_training_problems(mode, start, target, fixed.get("weights", "")),
        *_task_problems(target, clips),
        *_extra_problems(registry, target),
    ]
    return Axes(
        mode=mode,
        weights=start,
        inputs=format_inputs(inputs),
        frontend=frontend,
        feeding=feeding,
        problem="; ".join(problems),
    )


def resolve_inputs(spec: ModelSpec, clips: Clips, wish: str | None) -> tuple[Ways, list[str]]:
    """What a model gets of a data set, in the order in which it declares its modalities, and what stands against it.

    Without a ``wish`` it gets everything that is given or can be derived.
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
        if name not in clips.modalities and "derived" not in ways and name in spec.derived:
            ways = ("derived", *ways)
        problem = _source_problem(name, ways, spec, clips)
        if not problem:
            inputs[name] = ways
        elif asked is not None or name in spec.modalities:
            problems.append(problem)
    if asked is not None:
        takes = ", ".join(declared)
        problems += [f"does not take {name}; it takes {takes}" for name in asked if name not in declared]
    if not inputs and not problems:
        problems.append(f"needs one of {', '.join(declared)}; {clips.title} gives {', '.join(clips.modalities)}")
    problems += _missing_problems(inputs, spec)
    if problems and asked is not None:
        return dict(asked), problems  # named as asked, so that it is not taken for a cell that fits
    return inputs or dict.fromkeys(declared, ()), problems


def _source_problem(name: str, ways: tuple[str, ...], spec: ModelSpec, clips: Clips) -> str:
    if "derived" not in ways:
        return "" if name in clips.modalities else f"needs {name}; {clips.title} gives {', '.join(clips.modalities)}"
    if name not in spec.derived:
        return f"does not take a derived {name}"
    if clips.audio is None:
        return f"needs {name}; {clips.title} gives no waveform to derive it from"
    return ""


def _missing_problems(inputs: Mapping[str, tuple[str, ...]], spec: ModelSpec) -> Iterator[str]:
    missing = [name for name, ways in inputs.items() if "missing" in ways]
    for name in missing:
        if name in spec.modalities:
            able = ", ".join(spec.optional_modalities) or "nothing"
            yield f"cannot do without {name} in test; it can do without {able}"
    if missing and len(missing) == len(inputs):
        yield f"{' and '.join(missing)} missing leaves nothing to test on"


def _frontend_problems(frontend: str, allowed: set[str], clips: Clips, *, heard: bool) -> Iterator[str]:
    published = clips.features is not None
    if published and heard and frontend != GIVEN:
        yield f"{clips.title} gives features as published: there is no waveform for front end {frontend!r}"
    elif not published and frontend == GIVEN:
        yield f"front end {GIVEN!r} is for data with published features; {clips.title} gives waveforms"
    elif frontend not in allowed:
        yield f"does not take front end {frontend!r}; it takes {', '.join(sorted(allowed))}"


def _feeding_problems(frontend: str, feeding: str, registry: Registry) -> Iterator[str]:
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


def _task_problems(spec: ModelSpec, clips: Clips) -> Iterator[str]:
    task_type = "multi_label" if clips.targets.ndim == 2 else "single_label"
    if task_type not in spec.task_types:
        yield f"is for {' and '.join(spec.task_types)} tasks; {clips.title} is {task_type}"


def division_problem(nproc: int, axes: Axes, spec: ModelSpec, recipe: Recipe) -> str:
    """Why the training of a cell cannot be divided among processes, empty where it can or need not be."""
    problems = {
        "is an estimator, fitted in one process": spec.estimator,
        f"mode {axes.mode} trains no network": axes.mode in FROZEN,
        "masked pre-training compares the clips of a whole batch": axes.weights == "masked",
        "recipe.compile and recipe.cuda_graphs are for one process": recipe.compile or recipe.cuda_graphs,
    }
    why = next((why for why, there in problems.items() if there), "")
    return f"{why}: nothing for --nproc {nproc} to divide; leave it out" if why and nproc > 1 else ""


def prompt_problem(mode: str, seed: int, recipe: Recipe) -> str:
    """Why there is no prompt for a seed, empty where there is or none is needed."""
    count = len(recipe.prompts)
    if mode != ZERO_SHOT or seed < count:
        return ""
    return f"a seed is a prompt of mode zero_shot, and recipe.prompts has {count}: use --seeds 0-{count - 1}"


def _training_problems(mode: str, weights: str, spec: ModelSpec, own: str) -> Iterator[str]:
    if "~" in own and weights != own:
        yield f"starts from {own}, which it refers to, not from {weights}; leave out --weights"
    elif mode == ZERO_SHOT and not spec.embeds_text:
        yield "embeds no text, so that there is no mode zero_shot; an audio-text encoder has it: hf:CLAP_FOLDER"
    elif spec.frozen and mode not in FROZEN:
        yield f"cannot be trained, so that there is no mode {mode}; use --mode {' or '.join(HEADS)}"
    elif spec.estimator and (mode, weights) != ("scratch", "random"):
        yield f"is an estimator, fitted from scratch: it has no {mode if mode != 'scratch' else 'start from weights'}"
    elif mode == ATTENTION and not spec.embeds_frames:
        yield f"gives one vector a clip and no frames, which mode attention pools; use --mode {' or '.join(HEADS)}"
    elif spec.needs_weights and weights == "random":
        yield "never starts at random; add --weights FILE"
    elif mode == "scratch" and weights != "random":
        others = " or ".join(("finetune", *HEADS))
        yield f"mode scratch starts from random weights, not from {weights}; use --mode {others}"
    elif mode == "finetune" and weights == "random":
        yield "mode finetune needs weights to start from; add --weights masked or --weights FILE"
    elif weights == "masked" and spec.pretrain is None:
        yield "has no masked pre-training; use --weights FILE"
