"""``bench doctor``: what spoils measurements here, and what to type about it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.common import OK, USER, print_json, print_table, print_text
from bench.cli.flags import AsJson, LeftOut, PluginFiles
from bench.config.settings import DEFAULT_OUT
from bench.studies.doctor.run import Checkup, examine, to_json


def main(
    *,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Run folder whose disk is looked at.")
    ] = DEFAULT_OUT,
    as_json: AsJson = False,
    plugin: PluginFiles = None,
    no_plugin: LeftOut = None,
) -> int:
    """Find what would spoil measurements on this machine, with the command for each.

    Exit status 2 where libraries, plugins or folders must be mended first, or the machine is too noisy or too busy
    to measure anything; less noise and neighbours are warnings.
    """
    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints must not break `--json`
        checkup = examine(out=out, files=plugin or (), without=no_plugin or ())
    if as_json:
        print_json(to_json(checkup))
    else:
        print_table(["what", "here"], _facts(checkup))
        print()
        for one in checkup.findings:
            print_text(f"{one.level}: {one.message}")
            print(f"    {one.command}")
        print(_verdict(checkup))
    return OK if checkup.fit else USER


def _facts(checkup: Checkup) -> Iterator[tuple[str, str]]:
    machine, noise = checkup.machine, checkup.noise
    cpu, reasons = machine["cpu"], {**machine["reasons"], **checkup.reasons}
    if noise is None:
        yield "noise score", f"unknown: {reasons['noise']}"
    else:
        yield "noise score", f"{noise['score']:.1%} (slowest / fastest {noise['slowest_ratio']:.2f})"
    yield (
        "CPU",
        f"{cpu['model'] or 'unknown'}, {cpu['logical_cores']} logical cores, {len(cpu['affinity'] or ())} allowed",
    )
    yield "governor", cpu["governor"] or f"unknown: {reasons['cpu.governor']}"
    yield "load average", " ".join(map(str, machine["load_average"]))
    threads = machine["thread_settings"]
    yield "threads", " ".join(f"{name}={value}" for name, value in threads.items()) or "not set"
    yield "memory", f"{machine['ram_mib'] / 1024:.1f} GiB"
    if checkup.gpus is None:
        yield "GPU", f"none: {reasons['gpus']}"
    for gpu in checkup.gpus or ():
        clocks = f"{gpu['sm_clock_mhz'] or '?'} of {gpu['sm_clock_max_mhz'] or '?'} MHz"
        yield f"GPU {gpu['index']}", f"{gpu['name']}, driver {gpu['driver']}, {clocks}, {gpu['temperature_c'] or '?'} C"
    for name, version in checkup.triple.versions.items():
        yield name, version or "not installed"
    if checkup.plugins is None:
        yield "plugins", reasons["plugins"]
    else:
        yield "plugins", ", ".join(f"{count} {kind}" for kind, count in checkup.plugins.items())
    for name, free in checkup.disk.items():
        yield f"free for {name}", f"{free / 1024:.1f} GiB"


def _verdict(checkup: Checkup) -> str:
    if not checkup.fit:
        return "not fit to measure: mend the problems first"
    warnings = len(checkup.findings)
    return f"fit to measure, with {warnings} warnings" if warnings else "fit to measure, and quiet"
