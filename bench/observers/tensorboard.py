"""TensorBoard: event files in a folder for each cell, without torch and without TensorFlow."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from bench.observers.runs import Outcome, Plain, RunPerCell


class TensorBoard(RunPerCell[Any]):
    """``tensorboard --logdir FOLDER`` shows it: scalars, and the table of hyperparameters against results."""

    package = "tensorboard"

    def begin(self, name: str, parameters: Mapping[str, Plain]) -> Any:
        """A writer of its own; what an earlier one wrote of the same cell is no longer shown."""
        from google.protobuf.struct_pb2 import Value
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        run = EventFileWriter(str(self._folder / name))
        _write(run, session_log={"status": "START"})
        kinds = {bool: "bool_value", str: "string_value"}
        values = {key: Value(**{kinds.get(type(value), "number_value"): value}) for key, value in parameters.items()}
        _write(run, summary={"value": [_session("start", hparams=values)]})
        return run

    def log(self, run: Any, epoch: int, scores: Mapping[str, float]) -> None:
        """Scalars at the step of the epoch."""
        _write(run, epoch, summary={"value": [{"tag": name, "simple_value": value} for name, value in scores.items()]})
        run.flush()

    def end(self, run: Any, outcome: Outcome) -> None:
        """The results as scalars, described by their units, and the status as text."""
        from tensorboard.plugins.text.metadata import create_summary_metadata
        from tensorboard.util.tensor_util import make_tensor_proto

        found: list[dict[str, Any]] = []
        for name, (value, unit) in outcome.results.items():
            found.append({"tag": name, "simple_value": value, "metadata": {"summary_description": unit}})
        said = make_tensor_proto([outcome.said])
        text = {"tag": "status", "tensor": said, "metadata": create_summary_metadata("status", "")}
        end = _session("end", status=f"STATUS_{'SUCCESS' if outcome.status == 'ok' else 'FAILURE'}")
        _write(run, summary={"value": [*found, text, end]})
        run.close()


def _write(run: Any, step: int = 0, **event: Any) -> None:
    from tensorboard.compat.proto.event_pb2 import Event

    run.add_event(Event(wall_time=time.time(), step=step, **event))


def _session(part: str, **info: Any) -> dict[str, Any]:
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    data = plugin_data_pb2.HParamsPluginData(**{f"session_{part}_info": {f"{part}_time_secs": time.time(), **info}})
    tag = getattr(metadata, f"SESSION_{part.upper()}_INFO_TAG")
    return {"tag": tag, "tensor": metadata.NULL_TENSOR, "metadata": metadata.create_summary_metadata(data)}
