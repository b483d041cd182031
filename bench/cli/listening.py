"""Where the files of discordant clips are, so that a person can listen to them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from bench.analysis.comparison import Verdict
from bench.plugins.registry import Registry


def with_paths(verdict: Verdict, registry: Registry, data: Path) -> tuple[Verdict, list[str]]:
    """The verdict with the file of each discordant clip.

    Args:
        verdict: As :func:`bench.analysis.comparison.compare` gives it.
        registry: Knows how the data set is read.
        data: The folder with the data set, or one that holds it by name; nothing is downloaded.

    Returns:
        The verdict, and what must be said: files that do not exist as such, or clips of another copy.

    Raises:
        UnknownNameError: No plugin gives the data set.
        DataError: The data are not there.
    """
    from bench.data.locate import open_clips

    entry = registry.datasets[verdict.dataset_name]
    clips = open_clips(entry.spec, data, load=entry.factory, offline=True)
    if clips.audio is None or callable(clips.audio):
        return verdict, [f"{verdict.dataset}: its clips are no files of their own; listen by id"]
    files = dict(zip(clips.ids, clips.audio, strict=True))
    found = tuple(
        dataclasses.replace(one, path=str(files[one.clip])) if one.clip in files else one for one in verdict.discordant
    )
    said = []
    if clips.manifest_sha256 != verdict.manifest_sha256:
        said.append(f"{verdict.dataset}: the data in {data} are another copy than the one measured")
    if missing := sum(one.path is None for one in found):
        said.append(f"{verdict.dataset}: {missing} of {len(found)} discordant clips are not in {data}")
    return dataclasses.replace(verdict, discordant=found), said
