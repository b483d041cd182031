"""What is known of a task, and a loaded data set: what each clip is, without its samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench.allowed import Positive, Several
from bench.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Waveform = npt.NDArray[np.float32]
    AudioSource = Sequence[Path] | Callable[[int], tuple[Waveform, int]]
    ImageSource = Callable[[Sequence[int]], npt.NDArray[np.float32]]


TaskType = Literal["single_label", "multi_label"]
Modality = Literal["audio", "image", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInfo:
    """All that a model may know about a task before it has weights.

    Attributes:
        num_classes: Number of classes, at least 2.
        task_type: ``single_label`` (cross-entropy on class indices) or ``multi_label`` (BCE on indicators).
        modalities: What the data set gives, a subset of ``audio``, ``image``, ``text``.
        sample_rate: Of the waveform handed to the model or front end, in Hz.
        clip_samples: Samples of every clip after padding or truncation.
        feature_shape: ``(freq, time)`` of the front end's features; ``None`` where the model takes the waveform.
        image_shape: ``(channels, height, width)``; values are float32 in [0, 1]; ``None`` without images.
        text_length: Tokens a text is cut or padded to; ``None`` without text.
        label_names: Class names in the order of the class indices.
    """

    num_classes: Several
    task_type: TaskType = "single_label"
    modalities: tuple[Modality, ...] = ("audio",)
    sample_rate: Positive = 16_000
    clip_samples: Positive = 80_000
    feature_shape: tuple[Positive, Positive] | None = None
    image_shape: tuple[Positive, Positive, Positive] | None = None
    text_length: Positive | None = None
    label_names: tuple[str, ...] = ()

    @property
    def clip_seconds(self) -> float:
        """Length of a clip in seconds."""
        return self.clip_samples / self.sample_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Clips:
    """What ``DatasetSpec.load`` returns: one row per clip, audio still undecoded.

    Attributes:
        title: Name for tables; says where a copy differs from the original ("ESC-50 (16 kHz Ogg)").
        ids: Unique name of each clip, stable between machines.
        targets: ``(clips,)`` int64 class indices, or ``(clips, classes)`` float32 indicators.
        label_names: Class names in the order of the indices.
        audio: ``None`` where the publishers give ``features`` instead; else a path per clip, or
            ``audio(i) -> (waveform, sample_rate)`` with waveform float32 ``(samples,)`` or ``(channels, samples)`` in
            [-1, 1].
        sample_rate: Rate in Hz that the host converts every clip to.
        clip_samples: Length that the host pads or truncates every clip to, in samples at ``sample_rate``.
        manifest_sha256: Checksum over ids, targets, folds, groups and the audio files' identity.
        contents_sha256: Checksum over what the files hold; the host fills it in before it plans.
        folds: ``(clips,)`` int64 fold numbers in the authors' numbering, or ``None``.
        groups: Source recording, speaker or utterance of each clip, or ``None``. Groups that share a copy of a clip are
            one: the host merges them.
        recordings: Public id of the recording that each clip was cut from, ``freesound:100032`` or ``youtube:ID``, or
            ``None``: matched with what weights declare to have seen.
        folds_to_draw: Where nobody gave folds: how many the host shall draw, of whole groups.
        copies: ``(clips,)`` int64: the first clip that holds the same samples as each; the host fills it in.
        features: ``(clips, freq, time)`` float32 as published, in place of audio; models see them through the front
            end ``given``, which only those take that declare it. ``sample_rate`` and ``clip_samples`` then describe
            the original recordings.
        splits: ``"train"``, ``"val"``, ``"test"`` or ``"predict"`` of each clip, or ``None``. Clips to ``predict``
            have no known target (theirs is 0): they are never trained on nor scored, their predictions are written.
        images: ``images(indices) -> (len(indices), channels, height, width)`` float32 in [0, 1], or ``None``. Here as
            with ``audio``, a callable names the files that it reads in an attribute ``files``, so that a changed file
            is seen.
        image_shape: ``(channels, height, width)`` of those images.
        texts: A text per clip, or ``None``.
        notes: What a reader of a board must know about this copy of the data.
        listed_bad: Ids of clips that are known to be unreadable and may be skipped.
        faithful: ``False`` where this copy must not stand beside published results as equal.
    """

    title: str
    ids: tuple[str, ...]
    targets: npt.NDArray[np.int64] | npt.NDArray[np.float32]
    label_names: tuple[str, ...]
    audio: AudioSource | None
    sample_rate: int
    clip_samples: int
    manifest_sha256: str
    contents_sha256: str = ""
    folds: npt.NDArray[np.int64] | None = None
    groups: tuple[str, ...] | None = None
    recordings: tuple[str, ...] | None = None
    folds_to_draw: int = 0
    copies: npt.NDArray[np.int64] | None = None
    features: npt.NDArray[np.float32] | None = None
    splits: tuple[str, ...] | None = None
    images: ImageSource | None = None
    image_shape: tuple[int, int, int] | None = None
    texts: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    listed_bad: tuple[str, ...] = ()
    faithful: bool = True

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def modalities(self) -> tuple[str, ...]:
        """What every clip has, of ``audio`` (or published features of it), ``image`` and ``text``."""
        audio = self.audio is not None or self.features is not None
        has = {"audio": audio, "image": self.images is not None, "text": bool(self.texts)}
        return tuple(name for name, there in has.items() if there)

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """``(clips,)``: whether the target is known, so that a clip may be trained on or scored."""
        import numpy as np

        return np.asarray([split != "predict" for split in self.splits or [""] * len(self)], dtype=np.bool_)

    def at(self, rate: int | None) -> Clips:
        """The same clips, to be decoded at another rate in Hz; ``None`` = their own."""
        if rate in (None, self.sample_rate) or self.audio is None:
            return self
        samples = round(self.clip_samples * rate / self.sample_rate)
        return replace(self, sample_rate=rate, clip_samples=samples)

    @property
    def sounds(self) -> AudioSource:
        """The audio, for what cannot do without.

        Raises:
            DataError: The publishers give features instead.
        """
        if self.audio is None:
            raise DataError(f"{self.title} has no audio to decode; its publishers give features")
        return self.audio


def reworded(said: Any, word: Callable[[str], str]) -> Any:
    """JSON values with ``word`` of every string in place of it, keys of objects apart."""
    if isinstance(said, Mapping):
        return {key: reworded(value, word) for key, value in said.items()}
    if isinstance(said, list):
        return [reworded(value, word) for value in said]
    return word(said) if isinstance(said, str) else said


def veiled(name: str) -> str:
    """What the process that fits calls a clip whose target it must not know: 16 hex digits of its name."""
    import hashlib

    return hashlib.sha256(name.encode()).hexdigest()[:16]
