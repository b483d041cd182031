"""What a plugin declares of a model, and of models that the user refers to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.allowed import Count, Name, Positive
from bench.cell import FROZEN
from bench.clips import Modality, TaskType

Axis = Literal["mode", "weights", "frontend", "feeding", "inputs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model, declared without importing it. Only ``name`` and ``factory`` are required.

    Attributes:
        name: ``"family"`` or ``"family.variant"``.
        factory: ``"package.module:build"`` (or ``":build"``). ``build(task, **options)`` returns a
            ``torch.nn.Module`` mapping inputs to logits ``(batch, num_classes)``, or an estimator with
            scikit-learn's ``fit(x, y)`` and ``predict_proba`` or ``decision_function``. A module is called
            ``model(audio)`` when it declares one modality, ``model(audio=..., image=..., ...)`` when it declares
            several, with those that the cell gives. A factory that takes ``weights`` is handed the file of
            ``--weights FILE``; a module with ``embed(**inputs)`` -> ``(batch, dim)`` (or a mapping of such) can be
            probed and drawn. An edit of this module, or of one that it imports of its own folder or distribution,
            makes stored results void; an edit of a data file that it reads does not.
        options: Keyword arguments of the factory.
        modalities: What it needs.
        optional_modalities: What it can use and do without.
        derived: Needed modalities that may be made from the clip's audio where the data set gives none
            (``image``: a 28 x 28 log-mel thumbnail); such rows say ``derived``.
        frontend: Name of the front end whose features ``(batch, freq, time)`` it takes as ``audio``;
            ``None`` = the waveform ``(batch, samples)``.
        frontends: Other front ends it accepts through ``--frontend``.
        frontend_options: Keyword arguments of the front end's factory (mel bins, hop, ...).
        recipes: Per recipe name (``"*"`` = all) the settings that this model deserves to differ in;
            ``"full@finetune"`` and ``"*@finetune"`` are meant for that mode only. ``tuned_on`` among them says on what
            they were chosen: ``({"dataset": "esc10", "folds": (1, 2)},)``, with ``date`` and ``settings`` if known.
        sets: The named selections it belongs to: ``default``, ``documented``.
        alias_of: Name of the model that this one is a fixed choice of run axes of.
        axes: The axes (``mode``, ``weights``, ``frontend``, ``feeding``, ``inputs``) that an alias fixes; a model of
            its own may fix ``mode``, ``weights`` and ``inputs``.
        pretrain: ``"package.module:build"`` of a module that can also be pre-trained without labels: called as the
            factory is, it returns the same classifier with ``pretrain_loss(**inputs) -> scalar`` (masked or
            contrastive, on features as the classifier gets them), and where it has parts that only pre-training needs,
            ``end_pretraining()`` that drops them. Required for ``weights="masked"``.
        needs_weights: It never starts at random; its mode is ``finetune`` unless another is asked for, and without
            ``--weights`` it is incompatible.
        tokenizer: ``"package.module:build"``; ``build(**options) -> tokenize`` with ``tokenize(texts, length) ->
            (tokens (texts, length) int64, mask (texts, length) bool)``; ``None`` = the host's hashed words.
            It is handed those of the factory's options that it takes, ``weights`` included.
        reference: ``"package.module:resolve"`` of a family whose models the user refers to by a file or a name:
            ``--models NAME:TARGET?option=value&...``. ``resolve(target, *, option=...) -> bench.Reference`` says which
            files that means and in what its spec differs from this one; it is called wherever the model is, and imports
            no torch. Its keyword-only parameters are the options, converted to what they are annotated as; a target or
            option that may be a ``Path`` arrives absolute where it exists.
        syntax: What ``bench list`` shows behind the name of such a family: ``FILE?output=NAME``.
        sample_rate: Rate in Hz at which it takes the waveform, whatever the data set's own is; ``None`` = that one.
        lengths: Whether it is called with ``audio_samples`` too, ``(batch,)`` int64: how many samples of each waveform
            are the clip's own; what follows is filling. It then wants the setting ``fill="zeros"``: of a clip that is
            repeated to the end all samples count as its own.
        frozen: Its weights cannot be trained: only heads on its embeddings are (``probe``, ``knn``, ...).
        embeds_text: Whether its module has ``embed_text(texts)`` -> ``(texts, dim)`` beside ``embed``, for mode
            ``zero_shot``: logits are the inner products of these with vectors of clips of length 1, so that the length
            of all of them is the factor on the cosine.
        embeds_frames: Whether its module has ``frames(**inputs)`` beside ``embed``, for mode ``attention``: of a clip
            ``(steps, dim)`` or ``(steps, layers, dim)``, without steps that stand for its filling.
        estimator: Whether the factory returns an estimator; it is fitted from scratch and knows no other mode. In a
            multi-label task its ``y`` are indicators ``(clips, classes)``.
        task_types: The kinds of task it can learn; with data of another kind it is incompatible.
        parameters: Declared parameter count at 50 classes, 5 s, 16 kHz (trainable and frozen).
        inductive: ``False`` if a clip's logits depend on its batch mates: never ranked, no single-clip latency.
        license: SPDX identifier of the model code.
        source: Paper, repository and section it follows.
        trained_on: Data its weights have seen, by names of data sets (``AudioSet``) or ids of recordings
            (``freesound:100032``); empty for training from scratch. Each record says how many of its test clips are
            among them.
        trained_recordings: ``"package.module:function"`` that gives such ids where they are many.
        extra: Extra of the distribution it needs beyond the core (``"text"``).
        description: One line for ``bench list``.
    """

    name: Name
    factory: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    modalities: tuple[Modality, ...] = ("audio",)
    optional_modalities: tuple[Modality, ...] = ()
    derived: tuple[Modality, ...] = ()
    frontend: Name | None = None
    frontends: tuple[Name, ...] = ()
    frontend_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    recipes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)
    sets: tuple[Name, ...] = ()
    alias_of: Name | None = None
    axes: Mapping[Axis, str] = field(default_factory=dict, hash=False)
    pretrain: str | None = None
    needs_weights: bool = False
    tokenizer: str | None = None
    reference: str | None = None
    syntax: str = ""
    sample_rate: Positive | None = None
    lengths: bool = False
    frozen: bool = False
    embeds_text: bool = False
    embeds_frames: bool = False
    estimator: bool = False
    task_types: tuple[TaskType, ...] = ("single_label", "multi_label")
    parameters: Count | None = None
    inductive: bool = True
    license: str = ""
    source: str = ""
    trained_on: tuple[str, ...] = ()
    trained_recordings: str | None = None
    extra: str | None = None
    description: str = ""

    @property
    def family(self) -> str:
        """The part of the name before the first dot, or before what a model by reference refers to."""
        return self.name.partition("@")[0].partition(".")[0]

    @property
    def usage(self) -> str:
        """What ``--models`` takes: the name, and behind that of a family by reference what is referred to."""
        return f"{self.name}:{self.syntax or 'TARGET'}" if self.reference else self.name

    @property
    def by_name(self) -> bool:
        """Whether it is called with keywords."""
        return len(self.modalities) + len(self.optional_modalities) + self.lengths > 1

    def brings_all(self, mode: str, weights: str) -> bool:
        """Whether building it gives all of its network in a cell: nothing is trained, its package or file holds it."""
        return mode in FROZEN and weights == self.axes.get("weights", "random" if self.trained_on else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What a target of a family of models by reference stands for.

    Attributes:
        title: Its short name in cells and boards.
        files: All that the model is read from, in a fixed order: their contents are its identity, and the ``weights``
            of its cells. Empty where it starts at random.
        fields: Fields of :class:`ModelSpec` in which it differs from its family: ``options`` of the factory,
            ``sample_rate``, ``license``, ...
    """

    title: str
    files: tuple[Path, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)
