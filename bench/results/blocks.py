"""What must stand where in the blocks of a record, as far as anybody reads them; all else in them is free."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import GenericAlias
from typing import Annotated, Any, Literal, Optional

from pydantic import ConfigDict, Field, TypeAdapter
from typing_extensions import NotRequired, TypedDict

_typed_dict: Any = TypedDict  # whose fields are made here; no instance of a model is made only to look at a value
_Texts = list[str]
_FileName = Annotated[str, Field(pattern=r"^[^/\x00]{1,255}$")]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _block(needed: dict[str, Any] | None = None, /, **known: Any) -> Any:
    """An object; each of ``known`` may be missing or null, ``needed`` may not."""
    fields = {name: NotRequired[Optional[kind]] for name, kind in known.items()}  # noqa: UP045  no union of strings
    block: Any = _typed_dict("Block", {**fields, **(needed or {})})
    block.__pydantic_config__ = ConfigDict(strict=True, extra="ignore")
    return block


@functools.cache
def blocks() -> Callable[[Any], Any]:
    """The check of a record's raw values; it raises ``ValueError``."""
    counted, texts = _block(uncounted=dict[str, int]), dict[str, str]
    rate = _block(clips_per_s=float, batch=float, spread=float, block_clips_per_s=list[float])
    added = _block(value=float, unit=str, title=str, higher_is_better=bool)
    timing = _block(
        wall_s=float, train_s=float, epochs=int, infer=rate, train=rate, reasons=dict[str, Any],
        latency=_block(median_ms=float, unsteady=bool, reasons=dict[str, Any]),
        energy=_block(source=str, reasons=dict[str, Any]), flops=_block(total=float, frontend=counted, model=counted),
        measurements=GenericAlias(dict, (str, added)),
    )  # fmt: skip
    environment = _block(
        libraries=dict[str, str | None], cpu=_block(model=str, logical_cores=int), gpu=_block(name=str),
        torch=_block(threads=int), hardware_fingerprint=str, os=str, python=str, contended=bool,
    )  # fmt: skip
    dataset = _block(
        name=str, title=str, label_names=_Texts, test=int, train=int, manifest_sha256=str, contents_sha256=str,
        primary_metric=str, majority_accuracy=float, chance_accuracy=float, notes=_Texts, groups=str, faithful=bool,
        license=str,
    )  # fmt: skip
    leak = _block(clips=int, test_clips=int, groups=_Texts, documented=bool, unknown=str)
    protocol = _block(name=str, hash=str, scheme=str, ranked=bool, leak=leak, select_on=str, validation=str)
    model = _block(
        family=str, plugin=str, distribution=str, version=str, parameters=int, frontend_parameters=int, inputs=texts,
        inductive=bool, trained_on=_Texts, source=str, license=str,
    )  # fmt: skip
    task = _block(task_type=Literal["single_label", "multi_label"], sample_rate=int, text_length=int, image_shape=list[int])
    figures = _block(purity=float, adjusted_rand=float, clusters=int)
    provenance = _block(
        fingerprint=str, dataset=dataset, protocol=protocol, model=model, publishable=bool, not_publishable=_Texts, task=task,
        contamination=_block(rate=float, clips=int, of=int, reason=str, declared=_Texts),
        chance=dict[str, float], metrics=dict[str, Any], typed=list[Annotated[_Texts, Field(min_length=2, max_length=2)]],
        start=dict[str, str | int | None], embeddings=GenericAlias(dict, (str, figures)), weights=_block(sha256=str), limit=int,
    )  # fmt: skip
    tuned = _block({"dataset": str}, folds=list[int])
    artifact = _block({"file": _FileName, "sha256": _Sha256}, bytes=int)
    record = _block(
        timing=timing, memory=_block(reasons=dict[str, Any]), recipe=_block(tuned_on=GenericAlias(list, (tuned,))),
        environment=environment, provenance=provenance, artifacts=GenericAlias(dict, (str, artifact)),
    )  # fmt: skip
    return TypeAdapter(record).validator.validate_python
