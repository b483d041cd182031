"""The files of a leaderboard: which formats, and how they are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.forks import MANY, forked_map
from bench.errors import BenchError, PluginError, SelectionError
from bench.plugins.factories import load_factory
from bench.plugins.registry import Entry, Registry
from bench.plugins.specs import ReporterSpec
from bench.results.folder import write_atomic

if TYPE_CHECKING:
    from bench.analysis.model import Board


def parse_formats(words: str | None, registry: Registry, verb: str) -> list[str]:
    """The names in a comma-separated list of formats, each once; ``None`` = those that a verb writes by itself."""
    if words is None:
        return [name for name, entry in registry.reporters.entries.items() if verb in entry.spec.verbs]
    names = list(dict.fromkeys(word.strip() for word in words.split(",") if word.strip()))
    if not names:
        raise SelectionError(f"--format {words!r} names no format; known: {', '.join(registry.reporters)}")
    for name in names:
        registry.reporters[name]
    return names


def write_board(board: Board, registry: Registry, names: Sequence[str], folder: Path) -> list[Path]:
    """Write ``leaderboard`` with each format's suffix, and with its name where two have the same suffix.

    Returns:
        The files, in the order of ``names``.
    """
    files = []
    suffixes = Counter(registry.reporters[name].spec.suffix for name in names)
    each = forked_map if board.records > MANY else map
    for name, content in zip(
        names, each(lambda name: _rendered(board, name, registry.reporters[name]), names), strict=True
    ):
        suffix = registry.reporters[name].spec.suffix
        files.append(folder / (f"leaderboard{suffix}" if suffixes[suffix] == 1 else f"leaderboard.{name}{suffix}"))
        write_atomic(files[-1], content)
    return files


def _rendered(board: Board, name: str, entry: Entry[ReporterSpec]) -> bytes:
    render = load_factory(entry.factory)
    try:
        content = render(board)
    except BenchError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"format {name!r} of {entry.provenance} raised {type(error).__name__}: {error}; "
            "mend it, or choose others with --format"
        ) from error
    if isinstance(content, (str, bytes)):
        return content.encode() if isinstance(content, str) else content
    kind = type(content).__name__
    raise PluginError(f"format {name!r} of {entry.provenance} gave a {kind}; it must give str or bytes")
