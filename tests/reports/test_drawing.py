"""Pictures written by hand: round ticks, names that fit, text that is escaped."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from matplotlib.ft2font import FT2Font, LoadFlags

from bench import builtin
from bench.analysis.board import build_board
from bench.metrics.scoring import catalog
from bench.plugins.discovery import load_modules
from bench.reports import curves, drawing, plots
from bench.results.store import Store

METRICS = catalog(load_modules(builtin).registry)


NUMBERS = st.floats(min_value=-1e4, max_value=1e4)


@given(NUMBERS, NUMBERS, st.integers(min_value=1, max_value=10))
def test_ticks_are_few_even_and_inside(low, high, most):
    assume(high - low > 1e-6 * max(abs(low), abs(high), 1))
    shown = drawing.ticks(low, high, most)
    assert len(shown) <= most + 1
    room = 1e-6 * (high - low)
    assert all(low - room <= value <= high + room for value in shown)
    if len(shown) > 2:
        assert np.diff(shown) == pytest.approx(shown[1] - shown[0], rel=1e-5)


@given(st.text(max_size=80), st.floats(min_value=40, max_value=400))
def test_a_shortened_name_fits_and_keeps_both_ends(name, room):
    made = drawing.shortened(name, room)
    assert drawing.width_of(made) <= room or made == name
    assert made[0:1] == name[0:1]
    assert made[-1:] == name[-1:]


def test_a_range_is_never_empty():
    assert drawing.spread([1.0, 1.0])[0] < 1 < drawing.spread([1.0, 1.0])[1]
    assert drawing.spread([0.0])[0] < 0 < drawing.spread([0.0])[1]


def test_places_within_a_panel():
    panel = drawing.Panel(left=10, top=20, width=100, height=50, x=(0, 1), y=(0, 2))
    assert panel.at(0, 0) == (10, 70)
    assert panel.at(1, 2) == (110, 20)


def section_of(store):
    (section,) = build_board(store.records()[0], metrics=METRICS, predictions=store.predictions).sections
    return section


def test_pictures_are_well_formed_and_names_escaped(samples, tmp_path):
    store = Store(tmp_path)
    record = samples.evaluated(store, samples.cell("a"), 0.8, dataset__label_names=["<dog>", "rain & wind", "c", "d"])
    odd = record.model_copy(update={"cell": samples.cell("odd<&>name")})
    section = build_board([record, odd], metrics=METRICS, predictions=lambda one: store.predictions(record)).sections[0]
    for picture in (plots.score_plot, plots.recall_plot, curves.curve_plot):
        root = ElementTree.fromstring(picture(section, "p"))
        assert "odd<&>name" in [node.text for node in root.iter("text")]
        assert root.get("role") == "img"
        assert root.get("aria-label")


def test_lost_losses_draw_nothing(samples, tmp_path):
    store = Store(tmp_path)
    samples.evaluated(store, samples.cell("a"), 0.8, arrays={"curve_train_loss": np.full(3, np.nan)})
    assert curves.curve_plot(section_of(store), "p") == ""


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=60))
def test_no_text_is_wider_than_its_room(content):
    """In DejaVu Sans, which a browser without other fonts takes, and which is wider than Arial and Roboto."""
    font = FT2Font(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf")
    font.set_size(12, 72)
    real = sum(font.load_char(ord(one), flags=LoadFlags.NO_HINTING).linearHoriAdvance / 65536 for one in content)
    assert real <= drawing.width_of(content) <= 1.6 * real


@given(st.text(alphabet="abcm.,_@+~/- ", max_size=120), st.floats(min_value=60, max_value=300))
def test_a_wrapped_name_fits_and_loses_nothing_but_blanks(content, room):
    lines = drawing.wrapped(content, room)
    assert "".join("".join(lines).split()) == "".join(content.split())
    assert max(map(drawing.width_of, lines)) <= room


@pytest.mark.parametrize("name", ["a", "my_lab.audio_spectrogram_transformer_b16", "m" * 40, "W" * 64])
def test_labels_of_rows_stand_inside_the_picture(samples, tmp_path, name):
    store = Store(tmp_path)
    record = samples.evaluated(store, samples.cell("b"), 0.8, dataset__label_names=["dog", "rain", "c", "d"])
    long = record.model_copy(update={"cell": samples.cell(name)})
    section = build_board([record, long], metrics=METRICS, predictions=lambda _: store.predictions(record)).sections[0]
    for picture in (plots.score_plot, plots.recall_plot):
        texts = [n for n in ElementTree.fromstring(picture(section, "p")).iter("text") if not n.get("transform")]
        starts = [float(n.get("x")) - drawing.width_of(n.text) for n in texts if n.get("text-anchor") == "end"]
        assert len(starts) >= 2
        assert min(starts) >= 0


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20), st.floats(0.1, 4))
def test_labels_stand_apart_and_none_below_the_panel(heights, room):
    heights = sorted(heights, reverse=True)
    placed = plots.spread_labels(heights, room, 0.0)
    gaps = [upper - lower for upper, lower in itertools.pairwise(placed)]
    assert min(gaps, default=room) >= room - 1e-9
    assert min(placed) >= 0
    assert placed[0] <= max(100, room * len(placed))


def test_names_of_points_at_nearly_equal_costs_do_not_overlap(samples, tmp_path):
    store = Store(tmp_path)
    for number in range(plots.MAX_NAMED):
        model = f"some_laboratory.an_encoder_with_a_long_name_{number:02}"
        samples.evaluated(store, samples.cell(model), 0.8 + 0.005 * (number % 3))
        samples.profiled(store, samples.cell(model, 0, kind="profile"), 100 + 0.1 * number)
    root = ElementTree.fromstring(plots.cost_plot(section_of(store), "p"))
    right = float(root.get("viewBox").split()[2])
    named = []
    for node in root.iter("text"):
        if "font-size: 7px" in node.get("style"):
            x, y, width = float(node.get("x")), float(node.get("y")), drawing.width_of(node.text) * plots.NAME_PT / 12
            named.append((x - width * ("end" in node.get("style")), y, width))
    assert len(named) == 3 * plots.MAX_NAMED
    assert all(x >= 0 and x + width <= right for x, _, width in named)
    for place, (x, y, width) in enumerate(named):
        for other, level, length in named[:place]:
            assert abs(y - level) >= plots.NAME_PT or x + width <= other or other + length <= x


@given(st.lists(st.tuples(st.floats(-2000, 2000), st.floats(-2000, 2000)), max_size=5))
def test_points_of_a_line_are_written_as_every_other_number(points):
    written = " ".join(f"{drawing._n(x)},{drawing._n(y)}" for x, y in points)
    assert f'points="{written}"' in drawing.line(points, drawing.FG)
