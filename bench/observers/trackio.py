"""Trackio: a project in an SQLite file of a folder."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping
from typing import Any

from bench.errors import SelectionError
from bench.observers.runs import Outcome, Plain, RunInProject


class Trackio(RunInProject[Any]):
    """``TRACKIO_DIR=FOLDER trackio show --project bench`` shows it."""

    package = "trackio"

    def begin(self, name: str, parameters: Mapping[str, Plain]) -> Any:
        """A run beside those that are open: ``trackio.init`` would end them, and watch processor and GPU."""
        os.environ["TRACKIO_DIR"] = str(self._folder)  # read when it is imported, for the life of the process
        import trackio

        if self._folder != trackio.TRACKIO_DIR:
            raise SelectionError(f"this process writes Trackio to {trackio.TRACKIO_DIR} already; name the same folder")

        class Run(trackio.Run):  # type: ignore[misc]  # of a package that need not be here
            def _get_username(self) -> None:
                """Else asked of huggingface.co wherever a token is stored."""

        return Run(url=None, project=self._project, client=None, name=name, config=dict(parameters))

    def log(self, run: Any, epoch: int, scores: Mapping[str, float]) -> None:
        """Metrics at the step of the epoch."""
        run.log({**scores}, step=epoch)

    def end(self, run: Any, outcome: Outcome) -> None:
        """The results, their units, the status and the reason, a step behind the last epoch."""
        units = {f"{name}.unit": unit for name, unit in outcome.units.items()}
        run.log({**outcome.values, **units, "status": outcome.status, "why": outcome.why})
        with contextlib.redirect_stdout(io.StringIO()):  # standard output is the caller's
            run.finish()
