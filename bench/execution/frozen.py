"""A head on a network that stays as it is: on the vectors of clips, on their frames, or made of texts alone."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench.cell import ATTENTION, ZERO_SHOT
from bench.data.batches import Batches
from bench.execution import embeddings
from bench.execution.bank import Bank, keeps, open_bank
from bench.execution.build import materialise
from bench.execution.classifiers import FIT
from bench.execution.frames import Frames, open_frames
from bench.execution.heads import Head, Training
from bench.execution.pipeline import Pipeline
from bench.execution.results import Fitted, Predictions, check_finite
from bench.execution.trust import checksum
from bench.execution.windows import Windows
from bench.execution.zero_shot import prompted

if TYPE_CHECKING:
    from bench.execution.network import Run

Indices = npt.NDArray[np.int64]


def bank_of(pipeline: Pipeline, run: Run) -> Bank | None:
    """The vectors of all clips where other cells can use them too; from here on no weight of the network moves."""
    pipeline.requires_grad_(requires_grad=False).eval()  # nor does any buffer
    if not keeps(run.job, run.data):
        return None
    return open_bank(*_opening(pipeline, run))


def _opening(pipeline: Pipeline, run: Run) -> tuple[Any, ...]:
    """What banks are opened with."""
    once = functools.partial(materialise, pipeline, run.data, run.split.train)
    return run.inference(pipeline), run.job, run.data, run.entry, once


def embed(pipeline: Pipeline, run: Run, bank: Bank | None, batches: Batches) -> embeddings.Embeddings:
    """Embeddings of the clips of ``batches``, out of the bank where there is one."""
    if bank is not None:
        return bank.of(batches.indices)
    return embeddings.embed(run.inference(pipeline), batches, Windows.of(run.job.recipe, run.data.task, run.data.long))


def fit_frozen(pipeline: Pipeline, run: Run, bank: Bank | None) -> Fitted:
    """A head on what the network makes of the training clips; times count what making it took, whenever that was."""
    cell, recipe, data, train = run.job.cell, run.job.recipe, run.data, run.split.train
    frames = open_frames(*_opening(pipeline, run)) if cell.mode == ATTENTION else None
    seen: embeddings.Embeddings | Frames | None = None
    if frames is not None:
        seen = frames(train)
    elif cell.mode != ZERO_SHOT:
        seen = embed(pipeline, run, bank, data.whole.batches(train, recipe.eval_batch))
    known, start = seen if isinstance(seen, embeddings.Embeddings) else None, time.perf_counter()
    if seen is None:
        head: Head = prompted(pipeline.model, recipe.prompts[cell.seed], data.task.label_names)
    else:
        head = FIT[cell.mode](_training(run, known.joined() if known else seen))
    embed_s, clips = (0.0, 0) if seen is None else (seen.seconds, len(train))
    seconds = embed_s + time.perf_counter() - start

    def vectors(index: Indices) -> tuple[embeddings.Embeddings, npt.NDArray[np.float32]]:
        found = embed(pipeline, run, bank, data.whole.test_batches(index, recipe.eval_batch))
        return found, embeddings.like(found, known or found)

    def score(index: Indices) -> Predictions:
        found, x = vectors(index) if frames is None else [frames(index)] * 2
        begin = time.perf_counter()
        logits = head.logits(x)
        check_finite(logits)
        took = found.seconds + time.perf_counter() - begin
        return Predictions(logits=logits, index=index, seconds=took)

    rate = clips / seconds if clips else None
    timing = {"train_s": seconds, "train_clips_per_s": rate, "epochs": None, "steps": None}
    cached, encoder = _cached(bank, seen, len(data.clips)), checksum(pipeline.model)
    notes = {"mode": cell.mode, "embed_s": embed_s, "cache": cached, "encoder": encoder, **head.describe()}
    return Fitted(
        predict=score, respond=lambda index: vectors(index)[1], timing=timing, pipeline=pipeline,
        batch_mates=seen.batch_mates if isinstance(seen, Frames) else None,
        tensors={f"{cell.mode}.{name}": x for name, x in head.tensors().items()}, notes={"frozen": notes},
    )  # fmt: skip


def _training(run: Run, x: Any) -> Training:
    clips, train = run.data.clips, run.split.train
    groups = None if clips.groups is None else [clips.groups[i] for i in train]
    return Training(
        x=x, targets=clips.targets[train], classes=run.data.task.num_classes, groups=groups,
        seed=run.job.cell.seed, recipe=run.job.recipe,
    )  # fmt: skip


def _cached(bank: Bank | None, seen: embeddings.Embeddings | Frames | None, clips: int) -> dict[str, Any] | None:
    """What other cells read too: of a head on frames these, fresh where the vectors beside them are."""
    if bank is None:
        return None
    if not isinstance(seen, Frames):
        return {"key": bank.key[:16], "fresh": bank.fresh, "clips": clips}
    return {"key": seen.key[:16], "fresh": seen.fresh or bank.fresh, "clips": clips, "dtype": str(seen.rows.dtype)}
