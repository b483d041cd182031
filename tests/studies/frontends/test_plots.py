"""Pictures of the front-end study: the same bytes again, one colour scale, numbers written on bars, files that load."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import matplotlib.image
import numpy as np
import pytest

from bench.studies.frontends.plots import bar_panels, bars, spectrograms
from bench.studies.frontends.render import delivery_header, delivery_rows

SVG = "{http://www.w3.org/2000/svg}"


def pictures():
    rng = np.random.default_rng(0)
    return [
        SimpleNamespace(
            frontend=name, clip=clip, silent=0.25, seconds=2.0, hertz=np.linspace(60.0, 4000.0, 8),
            values=rng.normal(loc=gain, size=(8, 20)).astype(np.float32),
        )
        for clip in ("c1", "c2") for name, gain in (("nnaudio", 0.0), ("kaldi", 9.0))
    ]  # fmt: skip


def rate(value):
    return {"clips_per_s": value, "interval": [value / 2, value * 2]}


@pytest.fixture
def study():
    row = {"infer": 123456.0, "train": 50.5, "host_train_mib": 400.0}
    kept = {"name": "kept", "kept": "float32", "place": "warm", "rates": {"16": rate(5.0), "32": rate(9.0)},
            "disk_bytes": 100.0, "device_bytes": 200, "host_mib": 1.26, "reasons": {}}  # fmt: skip
    gone = {**kept, "name": "gone", "place": "cold", "rates": {"16": None, "32": None}, "disk_bytes": None,
            "host_mib": None, "reasons": {"rates": "no call", "host_mib": "no call"}}  # fmt: skip
    return {
        "rows": {"nnaudio fly": row, "nnaudio precomputed": row | {"train": None}},
        "features": {"storage": {"source": None, "int16": 160, "float32": 256, "float16": 128}},
        "delivery": {"batches": [16, 32], "rows": [gone, kept]},
    }


def test_the_same_input_gives_the_same_bytes(study) -> None:
    assert spectrograms(pictures()) == spectrograms(pictures())
    assert bars(study) == bars(study)


@pytest.mark.parametrize("kind", ["spectrograms", "bars"])
def test_files_load_and_the_inline_form_has_its_own_ids(kind, study) -> None:
    drawing = spectrograms(pictures()) if kind == "spectrograms" else bars(study)
    root = ET.fromstring(drawing["svg"])
    assert root.tag == f"{SVG}svg"
    height, width, _ = matplotlib.image.imread(io.BytesIO(drawing["png"])).shape
    assert width > 400
    assert height > 200
    assert drawing["inline"].startswith("<svg")
    assert 'role="img"' in drawing["inline"]
    prefix = "spectrograms" if kind == "spectrograms" else "feedings"
    assert f'id="{prefix}-' in drawing["inline"]
    assert "Date" not in drawing["svg"].decode()


def test_panels_name_front_end_clip_hertz_and_seconds() -> None:
    text = "".join(ET.fromstring(spectrograms(pictures())["svg"]).itertext())
    for word in ("nnaudio", "kaldi", "c1", "25% silent", "Hz", "1000", "power, dB"):
        assert word in text
    assert text.count("nnaudio") == 1, "the front end stands over its column only"


def test_one_scale_serves_all_panels(monkeypatch) -> None:
    from matplotlib.axes import Axes

    seen = []
    draw = Axes.imshow
    monkeypatch.setattr(
        Axes, "imshow", lambda self, *a, **k: (seen.append((k["vmin"], k["vmax"])), draw(self, *a, **k))[1]
    )
    drawn = pictures()
    spectrograms(drawn)
    ends = min(float(one.values.min()) for one in drawn), max(float(one.values.max()) for one in drawn)
    assert len(seen) == 4
    assert len(set(seen)) == 1
    assert seen[0] == pytest.approx([10 / np.log(10) * end for end in ends])


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(ValueError, match="no picture"):
        spectrograms([])


def test_bars_carry_numbers_and_the_baseline_is_marked(study) -> None:
    text = "".join(ET.fromstring(bars(study)["svg"]).itertext())
    for word in ("123,456", "50.5", "not measured", "nnaudio precomputed (baseline)", "float32 (baseline)",
                 "kept (baseline)"):  # fmt: skip
        assert word in text
    assert "mathdefault" not in text


def test_panels_hold_what_was_measured(study) -> None:
    panels = {panel["title"]: panel["bars"] for panel in bar_panels(study)}
    assert panels["training, clips/s"] == [("nnaudio on the fly", 50.5, False), ("nnaudio precomputed", None, True)]
    assert panels["bytes per clip on disk"][2] == ("float32", 256, True)
    assert panels["data until the forward, clips/s at batch 32 (logarithmic)"] == [
        ("gone", None, False), ("kept", 9.0, True),
    ]  # fmt: skip


def test_delivery_table_shows_intervals_and_reasons(study) -> None:
    assert delivery_header(study)[:3] == ("data come from", "clips/s at batch 16", "clips/s at batch 32")
    gone, kept = delivery_rows(study)
    assert kept == ["kept", "5 (2.5 to 10)", "9 (4.5 to 18)", "100", "200", "1.3", ""]
    assert gone == ["gone", "-", "-", "-", "200", "-", "no call"]
