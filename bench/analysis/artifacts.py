"""What the pictures of a row need: curves, confusion, embeddings, reconstructions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSection:
    """A further section of the page, made by a study.

    Attributes:
        anchor: Its id in the page.
        title: Of the section.
        context: Sentences under the title.
        header: Titles of its table.
        rows: Of its table, as text.
        pictures: ``(title, caption, inline SVG or HTML)``.
    """

    anchor: str
    title: str
    context: tuple[str, ...]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    pictures: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Training of one cell: per epoch, ``None`` where not measured.

    Attributes:
        fold: Of the cell.
        seed: Of the cell.
        loss: Mean training loss.
        validation: Validation accuracy.
        seconds: Since training began, at the end of the epoch; empty where not stored.
    """

    fold: int
    seed: int
    loss: tuple[float | None, ...]
    validation: tuple[float | None, ...]
    seconds: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """Embeddings of the test clips of one cell, and how well clusters of them match the classes in all cells.

    Attributes:
        name: Which of the model's embeddings; empty where it has one.
        fold: Of the cell that is drawn.
        seed: Of the cell that is drawn.
        points: ``(x, y)`` of each clip (t-SNE).
        targets: Class index of each clip.
        clusters: k of k-means: the number of classes.
        purity: Of each cell's clusters, 0 to 1.
        adjusted_rand: Of each cell's clusters, 1 = the classes, 0 = chance.
    """

    name: str
    fold: int
    seed: int
    points: tuple[tuple[float, float], ...]
    targets: tuple[int, ...]
    clusters: int
    purity: tuple[float, ...]
    adjusted_rand: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconstruction:
    """What masked pre-training guessed of one clip: pictures of 8 bit ``(height, width)`` or ``(height, width, 3)``.

    Attributes:
        modality: ``audio`` or ``image``.
        clip: Its id.
        given: The whole.
        masked: What the model saw; hidden places are grey.
        guess: Hidden places as guessed.
    """

    modality: str
    clip: str
    given: bytes
    masked: bytes
    guess: bytes
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretraining:
    """Loss of the pre-training of one cell, at some of its steps."""

    fold: int
    seed: int
    steps: tuple[int, ...]
    loss: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What plots need; over the same cells as the accuracy.

    Attributes:
        confusion: ``(classes, classes)`` counts, target by prediction, summed over seeds; empty if unknown.
        recall: Per-class recall; ``None`` for a class without clips.
        curves: One per cell with a stored curve.
        embeddings: One per embedding that the model gives; drawn for the first cell.
        pretraining: One per cell that was pre-trained.
        reconstructions: Of the first cell that was pre-trained.
    """

    confusion: tuple[tuple[int, ...], ...] = ()
    recall: tuple[float | None, ...] = ()
    curves: tuple[Curve, ...] = ()
    embeddings: tuple[Embedding, ...] = ()
    pretraining: tuple[Pretraining, ...] = ()
    reconstructions: tuple[Reconstruction, ...] = ()
