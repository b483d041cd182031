"""Weights & Biases: offline runs in a folder, which ``wandb sync`` may send later."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from bench.observers.runs import Outcome, Plain, RunInProject


class Wandb(RunInProject[Any]):
    """``wandb sync FOLDER/wandb/offline-run-*`` sends it; nothing else does."""

    package = "wandb"

    def begin(self, name: str, parameters: Mapping[str, Plain]) -> Any:
        """A run beside those that are open; neither machine nor printed lines nor code are watched."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read when it is imported
        import wandb

        self._folder.mkdir(parents=True, exist_ok=True)  # else wandb takes a temporary folder
        quiet = wandb.Settings(silent=True, console="off", disable_git=True, save_code=False, x_disable_stats=True)
        run = wandb.init(
            mode="offline", dir=str(self._folder), project=self._project, name=name, config=dict(parameters),
            reinit="create_new", settings=quiet,
        )  # fmt: skip
        run.define_metric("epoch/*", step_metric="epoch")
        return run

    def log(self, run: Any, epoch: int, scores: Mapping[str, float]) -> None:
        """A row of the history."""
        run.log({"epoch": epoch, **scores})

    def end(self, run: Any, outcome: Outcome) -> None:
        """The results, the status and the reason in the summary, the units beside the hyperparameters."""
        run.config.update({"units": outcome.units})
        run.summary.update({**outcome.values, "status": outcome.status, "why": outcome.why})
        run.finish(exit_code=int(outcome.status != "ok"))
