"""The front-end study as a section of the page: read once from a run folder, drawn from its values."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from bench.reports.detail import FrontendStudy
from bench.reports.frontend_plots import bar_panels, bars
from bench.reports.frontends import SPECTROGRAMS, VERDICTS, verdict_rows
from bench.reports.sweep import machine

FILE = "frontends.json"
"""What ``bench frontends`` writes."""


def read_study(folder: Path) -> tuple[FrontendStudy | None, str]:
    """The study of a run folder.

    Returns:
        The study and an empty text; ``None`` and an empty text where there is none; ``None`` and what is wrong where
        its file is torn, foreign or of another version.
    """
    path = folder / FILE
    if not path.is_file():
        return None, ""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        verdict_rows(values, main=True)
        bar_panels(values)
        _title(values)
        machine(values["environment"])
    except (OSError, ValueError) as error:
        return None, f"{FILE}: not a whole JSON file ({error}); `bench frontends` makes it again"
    except (KeyError, TypeError, AttributeError) as error:
        return None, f"{FILE}: no front-end study of this version ({error!r}); `bench frontends` makes it again"
    picture = folder / f"{SPECTROGRAMS}.png"
    return FrontendStudy(values=values, spectrograms=picture.read_bytes() if picture.is_file() else b""), ""


def page_section(study: FrontendStudy) -> dict[str, Any]:
    """What the template needs: title, context, table of verdicts, pictures with their captions."""
    values = study.values
    pictures = [
        (
            "Speed, storage and memory",
            "Each feeding; the baseline of stored features in red.",
            str(bars(values)["inline"]),
        )
    ]
    if study.spectrograms:
        pictures.append(
            ("What each front end makes of a clip", "One colour scale for all.", _image(study.spectrograms, values))
        )
    what = values["what"]
    return {
        "title": _title(values),
        "context": [
            f"{what['recipe']}, {what['device']}, {what['precision']}, batch {what['batch']}.",
            machine(values["environment"]),
        ],
        "header": VERDICTS,
        "rows": verdict_rows(values, main=True),
        "pictures": pictures,
    }


def _title(values: Mapping[str, Any]) -> str:
    return f"Front ends: {values['what']['model']} on {values['what']['dataset']}"


def _image(content: bytes, values: Mapping[str, Any]) -> str:
    alt = escape(f"Spectrograms of clips of {values['what']['dataset']} under each front end", quote=True)
    return f'<img class="wide" alt="{alt}" src="data:image/png;base64,{base64.b64encode(content).decode()}">'
