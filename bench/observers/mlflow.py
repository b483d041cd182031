"""MLflow: one experiment in an SQLite file, a run for each cell."""

from __future__ import annotations

import functools
import os
import re
import time
from collections.abc import Mapping
from typing import Any

from bench.observers.runs import Outcome, Plain, RunInProject

_REFUSED = re.compile(r"[^\w/. :-]")
"""What no name may hold."""


class MLflow(RunInProject[str]):
    """``mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db`` shows it."""

    package = "mlflow"

    @functools.cached_property
    def _store(self) -> tuple[Any, str]:
        """The client of the file, which is made when the first cell begins, and the id of the experiment."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # else it calls home
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # it tells of each table that it makes
        from mlflow import MlflowClient

        self._folder.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(tracking_uri=f"sqlite:///{self._folder}/mlflow.db")
        found = client.get_experiment_by_name(self._project)
        place = (self._folder / "artifacts").as_uri()
        return client, found.experiment_id if found else client.create_experiment(self._project, place)

    def begin(self, name: str, parameters: Mapping[str, Plain]) -> str:
        """A run, of which the id is kept."""
        run: str = self._store[0].create_run(self._store[1], run_name=name).info.run_id
        self._write(run, params={key: str(value) for key, value in parameters.items()})
        return run

    def log(self, run: str, epoch: int, scores: Mapping[str, float]) -> None:
        """Metrics at the step of the epoch."""
        self._write(run, epoch, metrics=scores)

    def end(self, run: str, outcome: Outcome) -> None:
        """The results as metrics; as tags their units, the status and the reason."""
        tags = {f"unit.{name}": unit for name, unit in outcome.units.items()}
        self._write(run, metrics=outcome.values, tags={**tags, "status": outcome.status, "why": outcome.why})
        self._store[0].set_terminated(run, {"ok": "FINISHED", "cancelled": "KILLED"}.get(outcome.status, "FAILED"))

    def _write(self, run: str, step: int = 0, **given: Mapping[str, Any]) -> None:
        from mlflow import entities

        of_metric = functools.partial(entities.Metric, timestamp=int(1000 * time.time()), step=step)
        make = {"metrics": of_metric, "params": entities.Param, "tags": entities.RunTag}
        for kind, values in given.items():
            made = [make[kind](_REFUSED.sub("_", name), value) for name, value in values.items()]
            self._store[0].log_batch(run, **{kind: made})
