"""What the user asked for, and whether its names exist, before any data is touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from bench.cell import MODES, WAVEFORM, parse_inputs
from bench.config.recipes import parse_overrides, resolve
from bench.config.suites import Suite, check_suite
from bench.errors import NoCellError, SelectionError, UnknownNameError
from bench.plugins.registry import Entry, Registry
from bench.plugins.specs import Feeding, ModelSpec

DEFAULT_RECIPE = "quick"
WORDS = {
    "mode": MODES,
    "feeding": get_args(Feeding),
    "device": ("cpu", "cuda"),
    "precision": ("fp32", "bf16"),
    "counters": ("perf", "callgrind"),
}
"""The fields of a selection that take one of a few words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What the user asked for, before anything is looked up.

    Attributes:
        models: ``default``, ``all``, ``documented``, family names, model names or references (``hf:FOLDER``).
        datasets: Names of data sets.
        data: ``--data``.
        protocol: ``None`` = that of the suite, else each data set's own default.
        suite: What ``datasets`` belong to, ``None`` = nothing.
        folds: ``None`` = all.
        seeds: Seeds of the evaluate cells.
        mode: One of :data:`bench.cell.MODES` instead of what an alias fixes, or several joined by commas.
        weights: What training starts from: ``masked`` or a file; ``None`` = what an alias fixes, else random.
        weights_prefix: ``OLD=NEW``: the tensors of that file whose names begin with OLD, under NEW instead (``net.=``).
        inputs: In the grammar of :attr:`bench.cell.Cell.inputs`; ``None`` = all that is given or can be derived.
        frontend: Front end instead of the models' own.
        feeding: ``fly`` or ``precomputed`` instead of the models' own.
        recipe: Name or file; ``None`` = the data set's own, else ``quick``.
        overrides: ``recipe.key=value`` items.
        device: ``cpu`` or ``cuda``.
        precision: ``fp32`` or ``bf16``.
        limit: Largest number of clips per split part.
        profile: Whether to plan profile cells.
        processes: Profile cells per model, each in a fresh process, 1 or more; 8 give its speed an interval.
        evaluate: Whether to plan evaluate cells.
        counters: What profile cells count besides: ``perf`` or ``callgrind`` (who counts instructions), ``None`` =
            nothing.
        nproc: Processes that train a network together, each on its part of every batch; on CUDA a GPU each.
    """

    models: tuple[str, ...] = ("default",)
    datasets: tuple[str, ...] = ("demo",)
    data: Path | None = None
    protocol: str | None = None
    suite: Suite | None = None
    folds: tuple[int, ...] | None = None
    seeds: tuple[int, ...] = (0,)
    mode: str | None = None
    weights: str | Path | None = None
    weights_prefix: str = ""
    inputs: str | None = None
    frontend: str | None = None
    feeding: str | None = None
    recipe: str | None = None
    overrides: tuple[str, ...] = ()
    device: str = "cpu"
    precision: str = "fp32"
    limit: int | None = None
    profile: bool = True
    processes: int = 1
    evaluate: bool = True
    counters: str | None = None
    nproc: int = 1

    @property
    def by_mode(self) -> tuple[Selection, ...]:
        """One selection for each of its modes."""
        return tuple(replace(self, mode=mode) for mode in (self.mode.split(",") if self.mode else (None,)))

    def protocol_of(self, dataset: str) -> str | None:
        """The protocol asked for on one data set, ``None`` = its own default."""
        member = self.suite.datasets.get(dataset) if self.suite else None
        return self.protocol or (member.protocol if member else None)


def publishes(selection: Selection, registry: Registry) -> bool:
    """Whether some of what is selected may be published, by its recipes; what a model's own recipes say is not asked.

    Raises:
        RecipeError: A recipe or a setting that does not exist.
    """
    overrides = parse_overrides(selection.overrides)
    entries = [registry.datasets.entries.get(name) for name in selection.datasets]  # none of what does not exist
    recipes = [
        (selection.recipe or (entry and entry.spec.recipe) or DEFAULT_RECIPE, entry.spec.settings if entry else {})
        for entry in entries
    ]
    return any(resolve(name, None, overrides, clips=clips).publishable for name, clips in recipes)


def check_names(selection: Selection, registry: Registry) -> None:
    """Refuse unknown names before any data is touched."""
    if selection.processes < 1:
        raise SelectionError(f"processes is {selection.processes}; speed is measured in at least 1")
    select_models(selection.models, registry)
    if selection.suite:
        check_suite(selection.suite, registry)
    for name in selection.datasets:
        spec = registry.datasets[name].spec
        registry.protocols[selection.protocol_of(name) or spec.protocols[0]]
        resolve(
            selection.recipe or spec.recipe or DEFAULT_RECIPE,
            None,
            parse_overrides(selection.overrides),
            clips=spec.settings,
        )
    if selection.data is not None and not any(registry.datasets[name].spec.needs_files for name in selection.datasets):
        raise SelectionError(
            f"--data {str(selection.data)!r} would not be read: {', '.join(selection.datasets)} is generated; name the "
            "data set that is there with --dataset (`manifest` for a table of your own)"
        )
    if selection.frontend not in (None, WAVEFORM):
        registry.frontends[str(selection.frontend)]
    _check_axes(selection, registry)
    if not selection.seeds:
        raise SelectionError("no seed given; --seeds 0 is the default")


def _check_axes(selection: Selection, registry: Registry) -> None:
    for name, words in WORDS.items():
        given = getattr(selection, name)
        asked = given.split(",") if name == "mode" and given else (given,)
        if (word := next((one for one in asked if one not in (None, *words)), None)) is not None:
            raise SelectionError(f"--{name} {word!r} is not one of {', '.join(words)}")
    if selection.inputs is not None:
        parse_inputs(selection.inputs)
    prefix = selection.weights_prefix
    if prefix and (selection.weights in (None, "masked", "random") or "=" not in prefix):
        raise SelectionError(f"--weights-prefix {prefix!r}: it stands beside --weights FILE as OLD=NEW, e.g. net.=")
    if selection.mode != "finetune" or selection.weights not in (None, "random"):
        return
    if not any("weights" in entry.spec.axes for entry in select_models(selection.models, registry)):
        raise SelectionError(
            "--mode finetune needs weights to start from: add --weights masked (pre-train on the training clips first) "
            "or --weights FILE"
        )


def spelled(names: Sequence[str], registry: Registry) -> list[str]:
    """``FAMILY?depth=2``, ``all?depth=2`` as ``MODEL?depth=2`` for each of its models; other names as they are."""
    found: list[str] = []
    for name in names:
        place, mark, options = name.partition("?")
        apart = mark and ":" not in place and name not in registry.models
        found += [f"{e.spec.name}?{options}" for e in select_models([place], registry)] if apart else [name]
    return found


def select_models(names: Sequence[str], registry: Registry) -> list[Entry[ModelSpec]]:
    """The models that a selection names, sorted, each once."""
    entries = {name: entry for name, entry in registry.models.entries.items() if not entry.reference}
    chosen: dict[str, Entry[ModelSpec]] = {}
    sets = {name for entry in entries.values() for name in entry.spec.sets}
    families = {entry.spec.family for entry in entries.values()}
    for name in spelled(names, registry):
        if name == "all":
            found = dict(entries)
        elif name in registry.models:
            found = {registry.models[name].spec.name: registry.models[name]}
        elif name in sets or name in ("default", "documented"):
            found = {key: entry for key, entry in entries.items() if name in entry.spec.sets}
        elif name in families:
            found = {key: entry for key, entry in entries.items() if entry.spec.family == name}
        else:
            referred = [spec.usage for spec in registry.references.specs()]
            raise UnknownNameError("model", name, [*entries, *sets, *families, *referred, "all"])
        chosen |= found
    if not chosen:
        raise NoCellError(f"no installed model belongs to {', '.join(names)}; `bench list models` shows all")
    return [chosen[name] for name in sorted(chosen)]
