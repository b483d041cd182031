"""The front end of data whose publishers give features: a name in cells and records, with nothing to compute."""

from __future__ import annotations

from typing import Any, NoReturn

from bench.clips import TaskInfo
from bench.errors import PluginError


def build(task: TaskInfo, **options: Any) -> NoReturn:
    """Refuse: there is no waveform that such features could be computed from.

    Raises:
        PluginError: Always.
    """
    raise PluginError(
        f"front end 'given' computes nothing: it stands for features that a data set publishes, and "
        f"{task.clip_samples} samples at {task.sample_rate} Hz were to be turned into some; use another --frontend"
        + (f" (its options: {', '.join(sorted(options))})" if options else "")
    )
