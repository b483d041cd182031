"""The options that ``run`` and ``plan`` share, and how they become a selection."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cell import MODES
from bench.cli.flags import AsJson, LeftOut, PluginFiles
from bench.cli.values import choice, device, names, numbers, seconds, stacked, with_options
from bench.config.selection import Selection
from bench.config.settings import DEFAULT_OUT, Settings
from bench.config.suites import read_suite
from bench.errors import SelectionError

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", help="Folder with data sets by name, one data set, or a table my.csv[?KEY=VALUE]."
    ),
]
SuiteName = Annotated[
    str | None, typer.Option("--suite", metavar="NAME|FILE.toml", help="Several data sets, one number a model.")
]
Adopt = Annotated[bool, typer.Option("--adopt", help="Write into the folder of --out though it holds other files.")]
WeightsPrefix = Annotated[
    str, typer.Option("--weights-prefix", metavar="OLD=NEW", help="Rename tensors of that file; net.= takes net. off.")
]
MetricName = Annotated[
    str | None, typer.Option("--metric", metavar="NAME", help="Sort, rank and compare by it; default: the data set's.")
]
Formats = Annotated[
    str | None, typer.Option("--format", metavar="NAME,...", help="Files of the leaderboard; `bench list reporters`.")
]


def _option(
    kind: Any, flag: str, text: str, metavar: str | None = None, *, default: Any = None, **more: Any
) -> tuple[Any, Any]:
    """Type and default of one option."""
    return Annotated[kind, typer.Option(flag, metavar=metavar, help=text, **more)], default


_WORD, _COUNT = str | None, int | None
OPTIONS: Mapping[str, tuple[Any, Any]] = {
    "models": _option(
        str,
        "--models",
        "default, all, documented, a family, model names, or files: hf:FOLDER.",
        "NAME,...",
        default="default",
    ),
    "dataset": _option(str, "--dataset", "Data sets; `bench list datasets`.", "NAME,...", default="demo"),
    "suite": (SuiteName, None),
    "data": (Data, None),
    "protocol": _option(_WORD, "--protocol", "Instead of the data set's own default.", "NAME"),
    "folds": _option(_WORD, "--folds", "Test folds; default: all.", "1,2,..."),
    "seeds": _option(str, "--seeds", "One evaluate cell per fold and seed.", "0,1,...", default="0"),
    "mode": _option(
        _WORD, "--mode", "scratch, finetune, probe, knn, logistic, ... (heads); several by commas.", "MODE"
    ),
    "weights": _option(_WORD, "--weights", "Start: masked pre-training in the cell, or a file.", "masked|FILE"),
    "weights_prefix": (WeightsPrefix, ""),
    "inputs": _option(_WORD, "--inputs", "Also audio.shuffled+image, image.derived, image.missing.", "audio+image"),
    "frontend": _option(_WORD, "--frontend", "Instead of the models' own; others are incompatible.", "NAME"),
    "feeding": _option(_WORD, "--feeding", "Features per batch, or read from a store.", "fly|precomputed"),
    "recipe": _option(_WORD, "--recipe", "smoke, quick, full or a file; default: quick.", "NAME|FILE.toml"),
    "overrides": _option(
        list[str] | None,
        "--set",
        "Change a setting of training, or an option of the models; may be given again.",
        "recipe.KEY=VALUE|model.KEY=VALUE",
    ),
    "device": _option(str, "--device", "Where models run.", "auto|cpu|cuda", default="auto"),
    "precision": _option(str, "--precision", "Of the models, not the front ends.", "fp32|bf16", default="fp32"),
    "compiled": _option(
        bool, "--compile", "Run networks through torch.compile; short for --set recipe.compile=true.", default=False
    ),
    "out": _option(Path, "--out", "Run folder; an existing one is resumed.", "DIR", default=DEFAULT_OUT),
    "adopt": (Adopt, False),
    "timeout": _option(_WORD, "--timeout", "Limit of one cell: 90s, 30m, 2h; default: at least 30m.", "30m"),
    "limit": _option(_COUNT, "--limit", "At most N clips per part; not publishable.", min=1, max=1 << 31),
    "jobs": _option(_COUNT, "--jobs", "Evaluate cells side by side; default: one per core.", min=1, max=4096),
    "stack": _option(
        str,
        "--stack",
        "Train seeds of a model as one network where faster on a GPU, never, or N cells of all folds at a time.",
        "auto|off|N",
        default="auto",
    ),
    "launcher": _option(
        str,
        "--launcher",
        "Who runs the cells; `bench list launchers`.",
        "NAME[:KEY=VALUE,...]",
        show_default=False,
        default="",
    ),
    "observer": _option(
        list[str] | None,
        "--observer",
        "Write the run to a tool that tracks experiments; may be given again; `bench list observers`.",
        "NAME[:KEY=VALUE,...]",
    ),
    "profile": _option(bool, "--profile/--no-profile", "Measure speed and memory too.", default=True),
    "processes": _option(
        int,
        "--processes",
        "Fresh processes per model for its speed, in turns; 8 give an interval.",
        min=1,
        max=1000,
        default=1,
    ),
    "counters": _option(
        _WORD,
        "--counters",
        "Count operators, allocations and, by perf or in minutes by callgrind, instructions of a step too.",
        "perf|callgrind",
    ),
    "nproc": _option(
        int, "--nproc", "Processes that train one network together, on CUDA a GPU each.", "N", default=1, min=1, max=64
    ),
    "evaluate": _option(bool, "--evaluate/--no-evaluate", "Train and score.", default=True),
    "keep_checkpoints": _option(
        bool,
        "--keep-checkpoints/--no-keep-checkpoints",
        "Store weights and embeddings beside the records.",
        default=True,
    ),
    "rehash": _option(
        bool, "--rehash", "Read every data file again instead of trusting size, times and inode.", default=False
    ),
    "as_json": (AsJson, False),
    "plugin": (PluginFiles, None),
    "no_plugin": (LeftOut, None),
}
"""The options of ``bench run``: type and default by parameter."""


REQUIRED = inspect.Parameter.empty


def with_run_options(
    *, without: Collection[str] = (), model: tuple[str, Any, Any] | None = None, **defaults: Any
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a verb the options of ``bench run`` beside its own.

    It is called as ``body(selection, settings, as_json=..., **own)``.

    Args:
        without: Names of options that the verb does not take; they are as ``bench run`` has them.
        model: Name, annotation and default of what names the model in place of ``--models``; no default = an argument.
        defaults: Other defaults, by name.
    """
    shared = {
        name: inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=defaults.get(name, default)
        )
        for name, (kind, default) in OPTIONS.items()
        if name not in without
    }

    def decorate(body: Callable[..., int]) -> Callable[..., int]:
        taken = list(inspect.signature(body, eval_str=True).parameters.values())[2:]
        own = [p for p in taken if p.name not in shared]
        if model is not None:
            name, kind, default = model
            place = inspect.Parameter.POSITIONAL_OR_KEYWORD if default is REQUIRED else inspect.Parameter.KEYWORD_ONLY
            own.insert(0, inspect.Parameter(name, place, annotation=kind, default=default))

        def main(**given: Any) -> int:
            if model is not None:
                name = given.pop(model[0])
                given["models"] = (name,) if name and ":" in name else name  # a path may hold commas
            selection, settings = gather(given)
            return body(selection, settings, **{p.name: given[p.name] for p in taken})

        first = [p for p in own if p.kind is p.POSITIONAL_OR_KEYWORD]
        main.__doc__ = body.__doc__
        main.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [*first, *shared.values(), *(p for p in own if p not in first)]
        )
        main.__annotations__ = {p.name: p.annotation for p in (*shared.values(), *own)} | {"return": int}
        return main

    return decorate


def _models(given: str | tuple[str, ...]) -> tuple[str, ...]:
    return given if isinstance(given, tuple) else names(given, "--models")


def gather(given: dict[str, Any]) -> tuple[Selection, Settings]:
    """The values of a verb's options as what to run and how."""
    given = {name: default for name, (_, default) in OPTIONS.items()} | given
    folds, mode, feeding, timeout = (given[name] for name in ("folds", "mode", "feeding", "timeout"))
    same = (
        "data", "protocol", "weights", "weights_prefix", "inputs", "frontend", "recipe", "limit", "profile",
        "processes", "counters", "nproc", "evaluate",
    )  # fmt: skip
    options = [item for item in given["overrides"] or () if item.startswith("model.")]
    recipe = [item for item in given["overrides"] or () if item not in options]
    suite = read_suite(given["suite"]) if given["suite"] else None
    if suite and (given["protocol"] or given["dataset"] != OPTIONS["dataset"][1]):
        raise SelectionError("--suite says which data sets and protocols; leave out --dataset and --protocol")
    selection = Selection(
        suite=suite,
        models=tuple(with_options(name, options) for name in _models(given["models"])),
        datasets=tuple(suite.datasets) if suite else names(given["dataset"], "--dataset"),
        folds=None if folds is None else numbers(folds, "--folds"),
        seeds=numbers(given["seeds"], "--seeds"),
        mode=None if mode is None else ",".join(choice(one, "--mode", MODES) for one in names(mode, "--mode")),
        feeding=None if feeding is None else choice(feeding, "--feeding", ("fly", "precomputed")),
        overrides=(*recipe, *(("recipe.compile=true",) if given["compiled"] else ())),
        device=device(given["device"]),
        precision=choice(given["precision"], "--precision", ("fp32", "bf16")),
        **{name: given[name] for name in same},
    )
    settings = Settings(
        timeout_s=None if timeout is None else seconds(timeout),
        stack=stacked(given["stack"]),
        plugins=tuple(given["plugin"] or ()),
        without=tuple(given["no_plugin"] or ()),
        observers=tuple(given["observer"] or ()),
        **{name: given[name] for name in ("out", "jobs", "launcher", "keep_checkpoints", "rehash", "adopt")},
    )
    return selection, settings
