"""For plugin authors and for the host's own tests: conformance checks, a pytest plugin, fake plugins.

``bench check NAME`` runs the checks from the command line. From Python::

    from bench.plugins.discovery import discover
    from bench.testing import check_model

    results = check_model("hello.linear", discover())
    assert not [result for result in results if result.status == "failed"]

and under pytest, over all that your plugin gives, see :mod:`bench.testing.pytest_plugin`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.testing.conformance import (
        check_dataset,
        check_frontend,
        check_launcher,
        check_measurement,
        check_metric,
        check_model,
        check_observer,
        check_protocol,
        check_reporter,
    )
    from bench.testing.results import CheckResult

__all__ = [
    "CheckResult", "check_dataset", "check_frontend", "check_launcher", "check_measurement", "check_metric",
    "check_model", "check_observer", "check_protocol", "check_reporter",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in __all__:  # torch is imported when a check is first asked for
        return getattr(importlib.import_module("bench.testing.conformance"), name)
    raise AttributeError(f"module 'bench.testing' has no attribute {name!r}")
