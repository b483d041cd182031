"""Pictures of what a network has learnt: maps of its embeddings, the guesses of masked pre-training.

Maps and guesses are small PNG images inside the page: a few hundred points as SVG would weigh ten times as much.
"""

from __future__ import annotations

import base64
import io
import statistics
from collections.abc import Sequence

import numpy as np

from bench.analysis import phrases
from bench.analysis.artifacts import Embedding, Reconstruction
from bench.analysis.model import Section
from bench.escaping import html as escape
from bench.reports import formatting

MAX_MAPS = 24
MAX_PRETRAINED = 2
SIDE = 150
"""Pixels of a map's side."""


def embedding_maps(section: Section, _prefix: str) -> str:
    """A map of the test clips for each row that gives embeddings. Empty without them."""
    shown = [(formatting.name(section, row), one) for row in section.rows for one in row.detail.embeddings][:MAX_MAPS]
    if not shown:
        return ""
    figures = [
        f'<figure><img alt="{escape(_alt(name, one))}" width="{SIDE}" height="{SIDE}" src="{_map_image(one)}">'
        f"<figcaption>{escape(_caption(name, one))}</figcaption></figure>"
        for name, one in shown
    ]
    return f'<div class="images">{"".join(figures)}</div>'


def _alt(row: str, one: Embedding) -> str:
    return f"t-SNE of the {one.name or 'joint'} embeddings of {row}, test clips coloured by class"


def _caption(row: str, one: Embedding) -> str:
    name = f"{row}, {one.name}" if one.name else row
    if not one.purity:
        return f"{name} (fold {one.fold}, seed {one.seed})"
    return (
        f"{name}: k-means (k = {one.clusters}) purity {_mean(one.purity)}, adjusted Rand {_mean(one.adjusted_rand)} "
        f"({phrases.plural(len(one.purity), 'cell')}; drawn: fold {one.fold}, seed {one.seed})"
    )


def _mean(values: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.2f}{spread}"


def _map_image(one: Embedding) -> str:
    """Discs on a clear ground; colours of up to 10 classes from a categorical scale, of more around the circle."""
    points = np.array(one.points)
    span = np.abs(points).max() or 1.0
    places = np.rint((0.5 + 0.47 * points / span) * (SIDE - 1)).astype(int)
    pixels = np.zeros((SIDE, SIDE), dtype=np.uint8)
    classes = max(one.targets, default=0) + 1
    offsets = [(dx, dy) for dx in (-2, -1, 0, 1, 2) for dy in (-2, -1, 0, 1, 2) if dx * dx + dy * dy <= 5]
    for (x, y), target in zip(places.tolist(), one.targets, strict=True):
        for dx, dy in offsets:
            pixels[min(max(SIDE - 1 - y + dy, 0), SIDE - 1), min(max(x + dx, 0), SIDE - 1)] = 1 + target % 255
    return _png(pixels, _class_colours(classes))


def _class_colours(classes: int) -> list[int]:
    import matplotlib as mpl

    scale = mpl.colormaps["tab10"] if classes <= 10 else mpl.colormaps["hsv"].resampled(classes + 1)
    colours = [0, 0, 0]
    for index in range(min(classes, 255)):
        colours += [round(255 * part) for part in scale(index)[:3]]
    return colours


def reconstruction_pictures(section: Section, _prefix: str) -> str:
    """Whole, what the network saw, what it guessed: of the best pre-trained rows. Empty without pre-training."""
    rows = [row for row in section.rows if row.detail.reconstructions][:MAX_PRETRAINED]
    figures = [_triple(formatting.name(section, row), one) for row in rows for one in row.detail.reconstructions]
    return f'<div class="images">{"".join(figures)}</div>' if figures else ""


def _triple(row: str, one: Reconstruction) -> str:
    images = "".join(
        f'<img alt="{escape(f"{one.modality} of clip {one.clip}, {what}")}" src="{_picture(content, one)}">'
        for what, content in (("whole", one.given), ("as seen", one.masked), ("as guessed", one.guess))
    )
    words_ = f"{row}, {one.modality} of {one.clip}: whole, as seen, as guessed"
    return f'<figure class="triple {one.modality}">{images}<figcaption>{escape(words_)}</figcaption></figure>'


def _picture(content: bytes, one: Reconstruction) -> str:
    values = np.frombuffer(content, dtype=np.uint8).reshape(one.shape)
    if values.ndim == 3:
        from PIL import Image

        return _encoded(Image.fromarray(values))
    grey = [part for level in range(256) for part in (level, level, level)]
    return _png(values[::-1] if one.modality == "audio" else values, grey)  # low frequencies at the bottom


def _png(pixels: np.ndarray, colours: list[int]) -> str:
    """Palette image whose colour 0 is clear."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels), mode="P")
    image.putpalette(colours)
    return _encoded(image, transparency=0)


def _encoded(image: object, **options: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True, **options)  # type: ignore[attr-defined]
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
