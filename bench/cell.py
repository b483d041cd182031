"""Cell: the names and numbers that say which measurement is meant."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from operator import attrgetter
from typing import Any, Literal, get_args

from bench.errors import SelectionError

HEADS = ("probe", "knn", "logistic", "neighbours", "mlp", "prototypes")
ZERO_SHOT = "zero_shot"
ATTENTION = "attention"
FROZEN = (*HEADS, ATTENTION, ZERO_SHOT)
"""Modes that train no weight of the network: heads on its embeddings, one on its frames, one made of texts alone."""
MODES = ("scratch", "finetune", *FROZEN)
"""The modes that can be asked for."""
WAVEFORM = "waveform"
GIVEN = "given"
"""The front end of data whose publishers give features instead of audio."""
CellKind = Literal["evaluate", "profile"]
_KINDS = get_args(CellKind)
_WHOLE = frozenset({"fold", "seed", "batch", "clip_samples", "nproc"})
_NAME = re.compile(r"(?!\.{1,2}$)[^/\x00-\x1f\x7f]{1,200}")


_WANTED = {"kind": " or ".join(_KINDS)}
_PLAIN = frozenset({str, int})


@functools.lru_cache(maxsize=4096, typed=True)
def _fits(name: str, value: str | int) -> bool:
    """Whether a field of a cell can hold a value."""
    if name in _WHOLE:
        return isinstance(value, int) and 0 <= value < 1 << 63
    return isinstance(value, str) and (value in _KINDS if name == "kind" else _NAME.fullmatch(value) is not None)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Cell:
    """One measurement: printable, hashable, picklable, sortable.

    Attributes:
        kind: ``evaluate`` (train, then score) or ``profile`` (speed and memory).
        dataset: Name of the data set; where the user decides its files, with their title and six digits of what they
            hold: ``manifest@birds~ab12cd``.
        protocol: Name and version of the protocol, ``"4+1@1"``.
        fold: Test fold in the authors' numbering; 0 for a fixed split and for profile cells.
        model: Name of the model, aliases already expanded.
        mode: ``scratch``, ``finetune``, or a head on frozen embeddings: ``probe`` (logistic regression), ``logistic``
            (with C chosen inside the training clips), ``knn`` (weighted by cosine), ``neighbours`` (equal votes),
            ``mlp``, ``prototypes``, ``attention`` (which pools frames itself) or ``zero_shot`` (cosine with the vectors
            of texts; a seed is a prompt).
        weights: What training starts from: ``random``, ``masked`` (pre-trained in the cell, on its training clips) or
            ``NAME~hash`` of a file.
        inputs: Modalities used, joined by ``+``, each with how it comes where that is not simply given:
            ``audio``, ``audio+image.derived`` (made from the audio), ``audio.shuffled+image`` (the control: each clip
            hears another clip's audio, in training and in test), ``audio+image.missing`` (absent in test only).
        frontend: Name of the front end, ``waveform`` where the model takes the samples.
        feeding: ``fly`` (features computed per batch) or ``precomputed`` (read from the store).
        recipe: Name of the recipe; a ``~hash`` is appended where settings were overridden.
        seed: Seed of initialisation, order and augmentation.
        device: ``cpu`` or ``cuda``.
        precision: ``fp32`` or ``bf16``.
        batch: Training batch size in clips.
        clip_samples: Length of a clip in samples.
        nproc: Processes, each with its part of every batch; written where it is not 1.
    """

    kind: CellKind
    dataset: str
    protocol: str
    fold: int
    model: str
    mode: str = "scratch"
    weights: str = "random"
    inputs: str = "audio"
    frontend: str = "waveform"
    feeding: str = "fly"
    recipe: str = "quick"
    seed: int = 0
    device: str = "cpu"
    precision: str = "fp32"
    batch: int = 16
    clip_samples: int = 80_000
    nproc: int = 1

    @property
    def id(self) -> str:
        """A relative path that names every axis; also the test id and the log prefix."""
        where = f"fold{self.fold}-seed{self.seed}" if self.kind == "evaluate" else f"seed{self.seed}"
        mode = self.mode if self.weights == "random" else f"{self.mode}@{self.weights}"
        axes = (
            where, mode, self.inputs, self.frontend, self.feeding, self.recipe,
            self.device, self.precision, f"b{self.batch}", f"n{self.clip_samples}",
            *([f"p{self.nproc}"] if self.nproc > 1 else []),
        )  # fmt: skip
        return f"{self.dataset}/{self.protocol}/{self.model}/{self.kind}-{'-'.join(axes)}"

    @property
    def data_name(self) -> str:
        """What ``--dataset`` takes: the name of the data set without the identity of the user's files."""
        return registered(self.dataset)

    @property
    def short(self) -> str:
        """Enough of the id for a progress line."""
        what = f"fold {self.fold} seed {self.seed}" if self.kind == "evaluate" else "profile"
        start = "" if self.weights == "random" else f" from {self.weights}"
        how = "" if (self.mode, start) == ("scratch", "") else f", {self.mode}{start},"
        given = f" ({self.inputs})" if "." in self.inputs.replace(".derived", "") else ""
        return f"{self.model}{given}{how} on {self.dataset} {what}"

    def to_json(self) -> dict[str, Any]:
        """The cell as JSON values."""
        return {name: value for name, value in asdict(self).items() if name != "nproc" or value > 1}

    @classmethod
    def from_json(cls, values: Any) -> Cell:
        """The cell that :meth:`to_json` wrote.

        Raises:
            ValueError: It is no object, a key is missing or unknown, or a value cannot stand there.
        """
        if not isinstance(values, dict):
            raise ValueError(f"a cell is an object, not {values!r:.60}")  # noqa: TRY004  what a file holds is a value
        known = cls.__dataclass_fields__.keys()
        if (odd := values.keys() ^ known) and odd != {"nproc"}:
            unknown = values.keys() - known
            told = f"{'unknown' if unknown else 'missing'} keys in a cell"
            raise ValueError(f"{told}: {', '.join(sorted(unknown or odd - {'nproc'}))}")
        for name, value in values.items():
            if type(value) not in _PLAIN or not _fits(name, value):
                wanted = "a whole number" if name in _WHOLE else _WANTED.get(name, "a name that a file can bear")
                raise ValueError(f"{name} of a cell is {value!r:.60}; it is {wanted}")
        return cls(**values)


axes = attrgetter(*(axis.name for axis in fields(Cell)))
"""All axes of a cell, by which cells are ordered: sorting by them is ten times faster than by cells themselves."""


def registered(dataset: str) -> str:
    """The registry's name of what a cell calls its data set.

    >>> registered("manifest@birds~ab12cd")
    'manifest'
    """
    return dataset.partition("@")[0]


MODALITIES = ("audio", "image", "text")
"""What a cell's inputs may name."""
HOWS = ("derived", "shuffled", "missing")
"""How an input may come where it is not simply given, in the order in which they are written."""


def modality_of(key: str) -> str:
    """The modality that an array belongs to: ``text_mask`` goes with ``text``, ``audio_samples`` with ``audio``."""
    return key.partition("_")[0]


def parse_inputs(text: str) -> dict[str, tuple[str, ...]]:
    """:attr:`Cell.inputs` as a mapping from modality to how it comes, ``()`` where it is simply given.

    Raises:
        SelectionError: A modality or a way is unknown or stands twice, or two ways exclude each other.

    >>> parse_inputs("audio.shuffled+image")
    {'audio': ('shuffled',), 'image': ()}
    """
    found: dict[str, tuple[str, ...]] = {}
    for item in text.split("+"):
        name, *ways = item.split(".")
        if name not in MODALITIES:
            raise SelectionError(f"inputs {text!r}: {name!r} is no modality; they are {', '.join(MODALITIES)}")
        if name in found:
            raise SelectionError(f"inputs {text!r} name {name} twice")
        if unknown := [way for way in ways if way not in HOWS]:
            allowed = ", ".join(f"{name}.{how}" for how in HOWS)
            raise SelectionError(f"inputs {text!r}: {name} cannot be {unknown[0]!r}; allowed are {allowed}")
        if len(set(ways)) < len(ways) or {"shuffled", "missing"} <= set(ways):
            raise SelectionError(f"inputs {text!r}: {item!r} says too much; {name} is either shuffled or missing, once")
        found[name] = tuple(how for how in HOWS if how in ways)
    return found


def format_inputs(inputs: Mapping[str, tuple[str, ...]]) -> str:
    """The text that :func:`parse_inputs` reads.

    >>> format_inputs({"audio": (), "image": ("derived", "missing")})
    'audio+image.derived.missing'
    """
    return "+".join(".".join((name, *ways)) for name, ways in inputs.items())
