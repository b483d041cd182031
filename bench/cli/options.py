"""The options that ``run`` and ``plan`` share, and how they become a selection."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cell import MODES
from bench.cli.flags import AsJson, LeftOut, PluginFiles
from bench.config.selection import Selection
from bench.config.settings import DEFAULT_OUT, Settings
from bench.errors import SelectionError

Models = Annotated[
    str, typer.Option("--models", metavar="NAME,...", help="default, all, documented, a family or model names.")
]
Datasets = Annotated[str, typer.Option("--dataset", metavar="NAME,...", help="Data sets; `bench list datasets`.")]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Folder with data sets by name, one data set, or a table my.csv[?KEY=VALUE].",
    ),
]
ProtocolName = Annotated[
    str | None, typer.Option("--protocol", metavar="NAME", help="Instead of the data set's own default.")
]
Folds = Annotated[str | None, typer.Option("--folds", metavar="1,2,...", help="Test folds; default: all.")]
Seeds = Annotated[str, typer.Option("--seeds", metavar="0,1,...", help="One evaluate cell per fold and seed.")]
ModeName = Annotated[
    str | None, typer.Option("--mode", metavar="MODE", help="scratch, finetune, probe or knn; default: scratch.")
]
WeightsName = Annotated[
    str | None,
    typer.Option("--weights", metavar="masked|FILE", help="Start: masked pre-training in the cell, or a file."),
]
InputsName = Annotated[
    str | None,
    typer.Option("--inputs", metavar="audio+image", help="Also audio.shuffled+image, image.derived, image.missing."),
]
FrontendName = Annotated[
    str | None, typer.Option("--frontend", metavar="NAME", help="Instead of the models' own; others are incompatible.")
]
FeedingName = Annotated[
    str | None, typer.Option("--feeding", metavar="fly|precomputed", help="Features per batch, or read from a store.")
]
RecipeName = Annotated[
    str | None,
    typer.Option("--recipe", metavar="NAME|FILE.toml", help="smoke, quick, full or a file; default: quick."),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="recipe.KEY=VALUE", help="Change one setting; may be given again.")
]
Device = Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where models run.")]
Precision = Annotated[str, typer.Option("--precision", metavar="fp32|bf16", help="Of the models, not the front ends.")]
Compile = Annotated[
    bool, typer.Option("--compile", help="Run networks through torch.compile; short for --set recipe.compile=true.")
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Run folder; an existing one is resumed.")]
Timeout = Annotated[
    str | None, typer.Option("--timeout", metavar="30m", help="Limit of one cell: 90s, 30m, 2h; default: at least 30m.")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="At most N clips per part; not publishable.")]
JobsCount = Annotated[
    int | None, typer.Option("--jobs", min=1, help="Evaluate cells side by side; default: one per core.")
]
LauncherName = Annotated[
    str,
    typer.Option(
        "--launcher", metavar="NAME[:KEY=VALUE,...]", show_default=False,
        help="Who runs the cells; `bench list launchers`.",
    ),
]  # fmt: skip
MetricName = Annotated[
    str | None, typer.Option("--metric", metavar="NAME", help="Sort, rank and compare by it; default: the data set's.")
]
Formats = Annotated[
    str | None,
    typer.Option("--format", metavar="NAME,...", help="Files of the leaderboard; `bench list reporters`."),
]
Profile = Annotated[bool, typer.Option("--profile/--no-profile", help="Measure speed and memory too.")]
Processes = Annotated[
    int,
    typer.Option("--processes", min=1, help="Fresh processes per model for its speed, in turns; 8 give an interval."),
]
Evaluate = Annotated[bool, typer.Option("--evaluate/--no-evaluate", help="Train and score.")]
Checkpoints = Annotated[
    bool,
    typer.Option("--keep-checkpoints/--no-keep-checkpoints", help="Store weights and embeddings beside the records."),
]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h)?")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


def names(text: str, option: str) -> tuple[str, ...]:
    """``"a,b"`` as a tuple.

    Raises:
        SelectionError: Nothing is named.
    """
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise SelectionError(f"{option} {text!r} names nothing")
    return found


def numbers(text: str, option: str) -> tuple[int, ...]:
    """``"0,1,2"`` or ``"0-2"`` as a sorted tuple without repetitions.

    >>> numbers("3,0-1", "--seeds")
    (0, 1, 3)
    """
    found: set[int] = set()
    for part in names(text, option):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise SelectionError(f"{option} {part!r} is no number or range; e.g. {option} 0,1,2 or {option} 0-4")
        found |= set(range(int(first), int(last or first) + 1))
    return tuple(sorted(found))


def seconds(text: str) -> float:
    """``"90s"``, ``"30m"``, ``"2h"`` in seconds.

    >>> seconds("30m")
    1800.0
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None or float(match[1]) <= 0:
        raise SelectionError(f"--timeout {text!r} is no duration; e.g. --timeout 90s, 30m or 2h")
    return float(match[1]) * _UNITS[match[2]]


def choice(text: str, option: str, allowed: tuple[str, ...]) -> str:
    """``text`` if it is allowed.

    Raises:
        SelectionError: It is not.
    """
    if text not in allowed:
        raise SelectionError(f"{option} {text!r} is not one of {', '.join(allowed)}")
    return text


def device(text: str) -> str:
    """``auto`` becomes ``cuda`` where a driver shows a GPU, else ``cpu``; no torch is imported for it.

    Raises:
        SelectionError: ``cuda`` where there is none.
    """
    choice(text, "--device", ("auto", "cpu", "cuda"))
    if text == "cpu":
        return text
    from bench.measurement.nvml import NvmlMissingError, gpu_handle

    try:
        with gpu_handle():
            return "cuda"
    except NvmlMissingError as error:
        if text == "cuda":
            raise SelectionError(f"--device cuda: no GPU here ({error}); use --device cpu") from error
        return "cpu"


def settings_of(overrides: list[str] | None, *, compiled: bool) -> tuple[str, ...]:
    """The ``--set`` items of a command, ``--compile`` among them."""
    return (*(overrides or ()), *(("recipe.compile=true",) if compiled else ()))


def with_run_options(
    *, without: Collection[str] = (), **defaults: Any
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a verb the options of ``bench run`` beside its own.

    It is called as ``body(selection, settings, as_json=..., **own)``.

    Args:
        without: Names of options that the verb does not take; they are as ``bench run`` has them.
        defaults: Other defaults, by name.
    """
    known = inspect.signature(_template, eval_str=True).parameters
    shared = {n: p.replace(default=defaults.get(n, p.default)) for n, p in known.items() if n not in without}

    def decorate(body: Callable[..., int]) -> Callable[..., int]:
        taken = list(inspect.signature(body, eval_str=True).parameters.values())[2:]
        own = [p for p in taken if p.name not in shared]

        def main(**given: Any) -> int:
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


def _template(  # noqa: PLR0913  one parameter per option
    *,
    models: Models = "default",
    dataset: Datasets = "demo",
    data: Data = None,
    protocol: ProtocolName = None,
    folds: Folds = None,
    seeds: Seeds = "0",
    mode: ModeName = None,
    weights: WeightsName = None,
    inputs: InputsName = None,
    frontend: FrontendName = None,
    feeding: FeedingName = None,
    recipe: RecipeName = None,
    overrides: Overrides = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    compiled: Compile = False,
    out: Out = DEFAULT_OUT,
    timeout: Timeout = None,
    limit: Limit = None,
    jobs: JobsCount = None,
    launcher: LauncherName = "",
    profile: Profile = True,
    processes: Processes = 1,
    evaluate: Evaluate = True,
    keep_checkpoints: Checkpoints = True,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
    no_plugin: LeftOut = None,
) -> int:
    """Carry the names, defaults and help of the options; never called."""
    raise NotImplementedError


def gather(given: dict[str, Any]) -> tuple[Selection, Settings]:
    """The values of a verb's options as what to run and how.

    Args:
        given: The verb's parameters by name (its ``locals()``); what it lacks is as ``bench run`` has it.

    Raises:
        SelectionError: An option's text cannot be read.
    """
    given = {name: p.default for name, p in inspect.signature(_template).parameters.items()} | given
    folds, feeding, timeout = given["folds"], given["feeding"], given["timeout"]
    selection = Selection(
        models=names(given["models"], "--models"),
        datasets=names(given["dataset"], "--dataset"),
        data=given["data"],
        protocol=given["protocol"],
        folds=None if folds is None else numbers(folds, "--folds"),
        seeds=numbers(given["seeds"], "--seeds"),
        mode=None if given["mode"] is None else choice(given["mode"], "--mode", MODES),
        weights=given["weights"],
        inputs=given["inputs"],
        frontend=given["frontend"],
        feeding=None if feeding is None else choice(feeding, "--feeding", ("fly", "precomputed")),
        recipe=given["recipe"],
        overrides=settings_of(given["overrides"], compiled=given["compiled"]),
        device=device(given["device"]),
        precision=choice(given["precision"], "--precision", ("fp32", "bf16")),
        limit=given["limit"],
        profile=given["profile"],
        processes=given["processes"],
        evaluate=given["evaluate"],
    )
    settings = Settings(
        out=given["out"],
        timeout_s=None if timeout is None else seconds(timeout),
        jobs=given["jobs"],
        plugins=tuple(given["plugin"] or ()),
        without=tuple(given["no_plugin"] or ()),
        launcher=given["launcher"],
        keep_checkpoints=given["keep_checkpoints"],
    )
    return selection, settings
