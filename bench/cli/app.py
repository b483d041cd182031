"""Assembles the command line, importing only the verb that was asked for."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

import typer

from bench import __version__
from bench.cli.common import INTERRUPTED

VERBS: Mapping[str, str] = MappingProxyType(
    {
        "run": "Train and measure models on data sets and write a leaderboard.",
        "plan": "Show the cells, costs and incompatible pairs of a run without running it.",
        "list": "Show what the plugins give: models, data sets, front ends and more.",
        "sweep": "Train at several values of a setting and say how much it matters.",
        "profile": "Measure one model over batch sizes: speed, memory, stages, FLOPs, and traces.",
        "translate": "Score the same embeddings as mteb, X-ARES, AST's script, HEAR and the clean protocol do.",
        "frontends": "Compare features computed on the fly with stored ones, claim by claim.",
        "doctor": "Find what would spoil measurements on this machine, with the command for each.",
        "merge": "Bring the records of several run folders into one.",
        "report": "Make leaderboards from stored records.",
        "compare": "Say which of two models is better on the same clips.",
        "claim": "Compare a claimed ranking of models with the records.",
        "export": "Write a stored cell's network with its front end: .safetensors, .pt2 or .onnx.",
        "predict": "Say what is in audio files, by the network of a stored cell.",
        "reproduce": "Run the cell of a stored record again and compare the numbers.",
        "baseline": "Pin what a run measured for the gate, or list or show what is pinned.",
        "gate": "Compare a run with another one or a pinned baseline, or two revisions measured in turns.",
        "bisect": "Find the commit that made a quantity worse.",
        "history": "Keep what runs measured, commit by commit, and say where it changed.",
        "new": "Write a plugin to begin with: a model, a data set, a metric, ...",
        "check": "Check that models, data sets, metrics and all else keep their contracts.",
    }
)
"""Every verb with its line in ``bench --help``; verb ``x`` is ``main`` of ``bench/cli/x.py``."""

_ABOUT = "Benchmark audio classification models: clean protocols, honest timings."
_EPILOG = (
    "First run: `bench run --dataset demo`. "
    "Exit status: 0 good, 1 a cell failed, 2 you must act, 3 regression, 4 no result."
)


def build(argv: Sequence[str]) -> typer.Typer:
    """The program for one command line; of the verbs, only the one that ``argv`` names is imported."""
    app = typer.Typer(
        name="bench",
        help=_ABOUT,
        epilog=_EPILOG,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    asked = next((word for word in argv if not word.startswith("-")), None)
    for verb, line in VERBS.items():
        if verb == asked:
            main = importlib.import_module(f"bench.cli.{verb}").main
            app.command(verb, short_help=line)(_exiting(main))
        else:
            app.command(verb, short_help=line)(_not_asked)
    return app


def execute(argv: Sequence[str]) -> int:
    """Run one command line and give its exit status."""
    command = typer.main.get_command(build(argv))
    try:
        command.main(args=list(argv), prog_name="bench")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0


def _show_version(asked: bool) -> None:  # noqa: FBT001  Typer calls it with the option's value
    if asked:
        typer.echo(f"bench {__version__}")
        raise typer.Exit


def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def _not_asked() -> None:
    """Stand for a verb that this command line does not name."""


def _exiting(main: Callable[..., int]) -> Callable[..., None]:
    """``main`` as Typer calls it: what it returns becomes the exit status."""

    @functools.wraps(main)
    def command(**options: Any) -> None:
        try:
            status = main(**options)
        except KeyboardInterrupt:
            status = INTERRUPTED
        if status:
            raise typer.Exit(status)

    return command
