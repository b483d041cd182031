"""The offline files of Weights & Biases, read record by record, hold what the observer was told."""

from __future__ import annotations

import json
import struct

import pytest

NAME = "wandb"
pytestmark = pytest.mark.filterwarnings("ignore")  # those of what wandb imports are not ours


def records(path):
    """What a file holds: blocks of 32 KiB as LevelDB logs them, behind a header of seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, parts = path.read_bytes(), 7, b""
    assert content[:4] == b":W&B"
    while place + 7 <= len(content):
        if (room := -place % 32768) and room < 7:
            place += room
        _, size, kind = struct.unpack_from("<IHB", content, place)
        parts += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # a whole record, or its last part
            yield Record.FromString(parts)
            parts = b""


def values(items):
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


@pytest.fixture(scope="module")
def runs(told):
    """Of each run by name: config, history, summary and exit code."""
    import wandb

    wandb.teardown()  # its process has written all
    found = {}
    for path in told.glob("wandb/offline-run-*/*.wandb"):
        name, config, history, summary, code = "", {}, [], {}, None
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                name, update = record.run.display_name, record.run.config.update
            elif kind == "config":
                update = record.config.update
            config |= values(update) if kind in ("run", "config") else {}
            history += [values(record.history.item)] if kind == "history" else []
            summary |= values(record.summary.update) if kind == "summary" else {}
            code = record.exit.exit_code if kind == "exit" else code
        found[name] = config, history, summary, code
    assert len(found) == 4
    return found


def test_epochs_results_units_and_hyperparameters(runs, story) -> None:
    config, history, summary, code = runs[story.ok.cell.id]
    for epoch, (row, scores) in enumerate(zip(history, story.epochs, strict=True), 1):
        assert row["epoch"] == epoch
        assert {name: row[f"epoch/{name}"] for name in scores} == scores
    assert (summary["final/accuracy"], summary["status"], code) == (story.ok.score("accuracy"), "ok", 0)
    assert config["units"]["final/accuracy"] == "fraction"
    assert (config["model"], config["recipe.lr"]) == (story.ok.cell.model, story.recipe["lr"])
    profiled = runs[story.profile.cell.id][2]
    assert {"final/infer_clips_per_s", "final/latency_s", "final/host_peak_mib"} <= profiled.keys()


def test_a_cell_without_a_result_says_why(runs, story) -> None:
    for record in (story.failed, story.lost):
        _, _, summary, code = runs[record.cell.id]
        assert (summary["status"], summary["why"], code) == (record.status, record.error.message, 1)
