"""Do torch, torchaudio and torchvision belong together, and can they be imported?"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

NAMES = ("torch", "torchaudio", "torchvision")
DISTRIBUTION = "bench-audio"
VISION_AHEAD = 15
"""torchvision 0.(N + 15) is the release beside torch 2.N."""

_PIN = re.compile(r"(torch|torchaudio|torchvision)\s*==\s*([\w.+]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Triple:
    """What was found of the three libraries.

    Attributes:
        versions: Installed versions, ``None`` where a library is missing.
        problems: One sentence each; empty = they belong together and can be imported.
        command: What brings them back together.
    """

    versions: Mapping[str, str | None]
    problems: tuple[str, ...]
    command: str


def check_triple(
    *,
    installed: Callable[[str], str] = importlib.metadata.version,
    load: Callable[[str], object] = importlib.import_module,
) -> Triple:
    """Compare the versions with each other, then import the three: only that shows a build that does not fit.

    Args:
        installed: Version of a distribution; raises ``PackageNotFoundError`` where there is none.
        load: Imports a module.
    """
    versions: dict[str, str | None] = {}
    for name in NAMES:
        try:
            versions[name] = installed(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    problems = mismatches(versions)
    if not problems:
        problems = [problem for name in NAMES if (problem := _import_problem(name, load))]
    return Triple(versions=versions, problems=tuple(problems), command=_command())


def mismatches(versions: Mapping[str, str | None]) -> list[str]:
    """What is wrong with the versions of the three, one sentence each.

    >>> mismatches({"torch": "2.11.0", "torchaudio": "2.11.0", "torchvision": "0.26.0"})
    []
    >>> mismatches({"torch": "2.11.0+cpu", "torchaudio": "2.11.0+cu128", "torchvision": "0.26.0+cpu"})
    ['the three are builds for different devices: torch +cpu, torchaudio +cu128, torchvision +cpu']
    """
    missing = [name for name in NAMES if versions.get(name) is None]
    if missing:
        return [f"{' and '.join(missing)} not installed"]
    torch, audio, vision = (str(versions[name]) for name in NAMES)
    major, minor = _release(torch)
    problems = []
    if _release(audio) != (major, minor):
        problems.append(f"torchaudio {audio} does not belong to torch {torch}; {major}.{minor} does")
    beside = (0, minor + VISION_AHEAD)
    if major == 2 and _release(vision) != beside:
        problems.append(f"torchvision {vision} does not belong to torch {torch}; 0.{beside[1]} does")
    builds = {name: str(versions[name]).partition("+")[2] for name in NAMES}
    if len({build for build in builds.values() if build}) > 1:
        shown = ", ".join(f"{name} +{build}" if build else f"{name} (no build)" for name, build in builds.items())
        problems.append(f"the three are builds for different devices: {shown}")
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
    """The triple that this distribution asks for, as one command."""
    try:
        wanted = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        wanted = []
    pins = {found[1]: found[2] for line in wanted if (found := _PIN.match(line))}
    if set(pins) != set(NAMES):
        return f"pip install --force-reinstall {DISTRIBUTION}"
    return "pip install " + " ".join(f"{name}=={pins[name]}" for name in NAMES)
