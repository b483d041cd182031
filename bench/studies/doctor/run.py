"""Is this machine fit to measure on? Facts, and findings that each end in a command."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import shlex
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.data.cache import cache_root
from bench.errors import BenchError
from bench.measurement.machine import describe_light, hardware_fingerprint
from bench.measurement.noise import Advice, busy_neighbours, diagnose, measure_noise
from bench.measurement.nvml import look_at_gpus
from bench.plugins.checks import KINDS
from bench.plugins.discovery import load

PAIR = ("torch", "torchvision")
NAMES = (*PAIR, "torchaudio")
DISTRIBUTION = "bench-audio"
VISION_AHEAD = 15
"""torchvision 0.(N + 15) is the release beside torch 2.N."""

_PAIR = re.compile(r"(torch|torchvision)\b(?!-)[^;]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Triple:
    """What was found of the three libraries; ``unusable`` says why a torchaudio that is installed does not load."""

    versions: Mapping[str, str | None]
    problems: tuple[str, ...]
    command: str
    unusable: str = ""


def check_triple(
    *,
    installed: Callable[[str], str] = importlib.metadata.version,
    load: Callable[[str], object] = importlib.import_module,
) -> Triple:
    """Compare the versions with each other, then import them: only that shows a build that does not fit."""
    versions: dict[str, str | None] = {}
    for name in NAMES:
        try:
            versions[name] = installed(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    problems = mismatches(versions)
    if not problems:
        problems = [problem for name in PAIR if (problem := _import_problem(name, load))]
    audio = versions["torchaudio"] is not None and not problems
    return Triple(
        versions=versions, problems=tuple(problems), command=_command(),
        unusable=_import_problem("torchaudio", load) if audio else "",
    )  # fmt: skip


def mismatches(versions: Mapping[str, str | None]) -> list[str]:
    """What is wrong with the versions of torch and torchvision, one sentence each.

    >>> mismatches({"torch": "2.11.0", "torchvision": "0.26.0"})
    []
    >>> mismatches({"torch": "2.11.0+cpu", "torchvision": "0.26.0+cu128"})
    ['the two are builds for different devices: torch +cpu, torchvision +cu128']
    """
    missing = [name for name in PAIR if versions.get(name) is None]
    if missing:
        return [f"{' and '.join(missing)} not installed"]
    torch, vision = (str(versions[name]) for name in PAIR)
    major, minor = _release(torch)
    problems = []
    beside = (0, minor + VISION_AHEAD)
    if major == 2 and _release(vision) != beside:
        problems.append(f"torchvision {vision} does not belong to torch {torch}; 0.{beside[1]} does")
    builds = {name: str(versions[name]).partition("+")[2] for name in PAIR}
    if len({build for build in builds.values() if build}) > 1:
        shown = ", ".join(f"{name} +{build}" for name, build in builds.items())
        problems.append(f"the two are builds for different devices: {shown}")
    return problems


def _release(version: str) -> tuple[int, int]:
    numbers = re.findall(r"\d+", version.partition("+")[0])
    return (int(numbers[0]), int(numbers[1])) if len(numbers) > 1 else (-1, -1)


def _import_problem(name: str, load: Callable[[str], object]) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            load(name)
    except Exception as error:  # noqa: BLE001  whatever a broken build raises is what has to be told
        lines = str(error).strip().splitlines()
        return f"{name} cannot be imported: {type(error).__name__}{': ' + lines[0] if lines else ''}"
    return ""


def _command() -> str:
    """A pair that this distribution asks for, as one command; torchvision names the torch that it belongs to."""
    try:
        wanted = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        wanted = []
    pair = [found[0].strip() for line in wanted if (found := _PAIR.fullmatch(line))]
    return shlex.join(["pip", "install", "--force-reinstall", *(pair or [DISTRIBUTION])])


SLOW_IMPORT_S = 1.0
"""A plugin that takes longer to import is named."""
LOW_DISK_MIB = 2048.0
"""Room for the decoded clips and features of a middling data set."""
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """What the doctor found.

    Attributes:
        machine: CPU, memory, libraries and load, see :func:`bench.measurement.machine.describe_light`.
        noise: ``score``, ``slowest_ratio`` and ``repetitions``, or ``None`` with a reason in ``reasons``.
        neighbours: Busy processes of others: ``pid``, ``name``, ``cores``; ``None`` where nobody could look.
        gpus: See :func:`bench.measurement.nvml.look_at_gpus`, or ``None`` with a reason in ``reasons``.
        triple: torch, torchvision and, where it is installed, torchaudio.
        plugins: How many specs of each kind the plugins give, ``None`` where they could not be loaded.
        disk: Free MiB by folder (``cache``, ``out``).
        findings: Problems first.
        reasons: Why something is ``None``, by name.
    """

    machine: dict[str, Any]
    noise: dict[str, float] | None
    neighbours: list[dict[str, Any]] | None
    gpus: list[dict[str, Any]] | None
    triple: Triple
    plugins: dict[str, int] | None
    disk: dict[str, float]
    findings: tuple[Advice, ...]
    reasons: dict[str, str]

    @property
    def fit(self) -> bool:
        """Whether anything can be measured at all: no finding is a problem."""
        return not any(finding.level == "problem" for finding in self.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Quiet:
    """What the timed part gave."""

    noise: dict[str, float] | None
    neighbours: list[dict[str, Any]] | None
    findings: list[Advice]


def examine(*, out: Path, files: Sequence[Path] = (), without: Sequence[str] = ()) -> Checkup:
    """Look at libraries, plugins, disks, the machine and its neighbours; about 3 s."""
    triple = check_triple()
    findings = [_problem("libraries", problem, triple.command) for problem in triple.problems]
    if triple.unusable:
        message = f"{triple.unusable}; bench leaves it aside, other programs that use transformers here cannot"
        findings.append(_warning("libraries", message, "pip uninstall -y torchaudio"))
    plugins, unwell = _plugins(files, without)
    disk, full = _disks({"cache": cache_root(), "out": out})
    machine = describe_light()
    looked = look_at_gpus()
    gpus = None if isinstance(looked, str) else looked
    quiet = _Quiet(noise=None, neighbours=None, findings=[]) if triple.problems else _noise()
    reasons = {"gpus": looked} if isinstance(looked, str) else {}
    if triple.problems:
        reasons |= dict.fromkeys(("noise", "neighbours"), "not measured: torch and torchvision come first")
    if plugins is None:
        reasons["plugins"] = "a plugin is broken; see the findings"
    findings += [*unwell, *full, *quiet.findings, *_cores(machine), *_gpu_findings(gpus or [])]
    return Checkup(
        machine=machine, noise=quiet.noise, neighbours=quiet.neighbours, gpus=gpus, triple=triple, plugins=plugins,
        disk=disk, findings=tuple(sorted(findings, key=lambda one: one.level)), reasons=reasons,
    )  # fmt: skip


def _problem(kind: str, message: str, command: str) -> Advice:
    return Advice(kind=kind, level="problem", message=message, command=command)


def _warning(kind: str, message: str, command: str) -> Advice:
    return Advice(kind=kind, message=message, command=command)


def to_json(checkup: Checkup) -> dict[str, Any]:
    """The checkup as JSON values."""
    machine = dict(checkup.machine)
    reasons = {**machine.pop("reasons", {}), **checkup.reasons}
    return {
        "fit": checkup.fit,
        "noise": checkup.noise,
        "neighbours": checkup.neighbours,
        "gpus": checkup.gpus,
        "triple": {"versions": dict(checkup.triple.versions), "fits": not checkup.triple.problems},
        "plugins": checkup.plugins,
        "free_mib": checkup.disk,
        "machine": {**machine, "hardware_fingerprint": hardware_fingerprint(machine)},
        "findings": [asdict(one) for one in checkup.findings],
        "reasons": reasons,
    }


def _plugins(files: Sequence[Path], without: Sequence[str]) -> tuple[dict[str, int] | None, list[Advice]]:
    try:
        host = load(files, without=without)
    except BenchError as error:
        command = shlex.join(["bench", "doctor", *(word for file in files for word in ("--plugin", str(file)))])
        return None, [_problem("plugins", str(error), command)]
    slow = [
        _warning(
            "plugins",
            f"plugin {name!r} took {seconds:.1f} s to import; heavy libraries belong inside its functions",
            "python -X importtime -m bench list models 2>&1 | sort -t '|' -k 2 -n | tail",
        )
        for name, seconds in host.import_seconds.items()
        if seconds > SLOW_IMPORT_S
    ]
    return {kind.field: len(getattr(host.registry, kind.field)) for kind in KINDS}, slow


def _disks(folders: dict[str, Path]) -> tuple[dict[str, float], list[Advice]]:
    free: dict[str, float] = {}
    findings = []
    options = {"cache": "export BENCH_CACHE=DIR", "out": "bench run --out DIR"}
    for name, folder in folders.items():
        place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        free[name] = shutil.disk_usage(place).free / 2**20
        if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
            findings.append(_problem("disk", f"the {name} folder {folder} cannot be written", options[name]))
        elif free[name] < LOW_DISK_MIB:
            message = f"the {name} folder {folder} has {free[name]:.0f} MiB left; choose another disk or free some"
            findings.append(_warning("disk", message, options[name]))
    return free, findings


def _noise() -> _Quiet:
    noise, neighbours = measure_noise(), busy_neighbours()
    findings = list(diagnose(noise=noise, neighbours=neighbours))
    measured = {"score": noise.score, "slowest_ratio": noise.slowest_ratio, "repetitions": len(noise.seconds)}
    return _Quiet(noise=measured, neighbours=[asdict(one) for one in neighbours], findings=findings)


def _cores(machine: dict[str, Any]) -> list[Advice]:
    findings = []
    allowed, cores = machine["cpu"]["affinity"], machine["cpu"]["logical_cores"]
    if allowed is not None and cores is not None and len(allowed) < cores:
        message = f"this process may use {len(allowed)} of {cores} cores; whoever compares must pin alike"
        findings.append(_warning("affinity", message, f"taskset -cp 0-{cores - 1} $$"))
    quota = cpu_quota()
    usable = len(allowed) if allowed is not None else (cores or 1)
    if quota is not None and quota < usable:
        message = f"the container may use {quota:.3g} of {usable} cores; more threads than that are stopped"
        findings.append(_warning("affinity", message, f"export OMP_NUM_THREADS={max(1, int(quota))}"))
    return findings


def cpu_quota(path: Path = CPU_QUOTA) -> float | None:
    """Cores' worth of CPU time that the control group allows; ``None`` = no limit, or none to be seen."""
    try:
        limit, period = path.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return None
    return None if limit == "max" else int(limit) / int(period)


def _gpu_findings(gpus: Sequence[dict[str, Any]]) -> list[Advice]:
    findings = []
    for gpu in gpus:
        which = f"GPU {gpu['index']} ({gpu['name']})"
        if gpu["throttled"]:
            message = f"{which} holds its clocks down: {', '.join(gpu['throttled'])}"
            command = f"nvidia-smi -i {gpu['index']} -q -d PERFORMANCE,TEMPERATURE,POWER,CLOCK"
            findings.append(_warning("gpu", message, command))
        if gpu["processes"]:
            named = ", ".join(f"{one['pid']} ({one['name']})" for one in gpu["processes"][:5])
            message = f"{which} is shared with {len(gpu['processes'])} processes: {named}"
            command = f"nvidia-smi -i {gpu['index']} --query-compute-apps=pid,name,used_memory --format=csv"
            findings.append(_warning("gpu", message, command))
    return findings
