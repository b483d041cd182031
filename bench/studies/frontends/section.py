"""The front-end study as a section of the page: read once from a run folder, drawn from its values."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from bench.analysis.artifacts import PageSection
from bench.studies.frontends.plots import bars
from bench.studies.frontends.render import SPECTROGRAMS, VERDICTS, verdict_rows
from bench.studies.profile.render import machine

FILE = "frontends.json"
"""What ``bench frontends`` writes."""


def read_study(folder: Path) -> tuple[PageSection | None, str]:
    """The study of a run folder.

    Returns:
        The section and an empty text; ``None`` and an empty text where there is none; ``None`` and what is wrong where
        its file is torn, foreign or of another version.
    """
    path = folder / FILE
    if not path.is_file():
        return None, ""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        picture = folder / f"{SPECTROGRAMS}.png"
        return _section(values, picture.read_bytes() if picture.is_file() else b""), ""
    except (OSError, ValueError) as error:
        return None, f"{FILE}: not a whole JSON file ({error}); `bench frontends` makes it again"
    except (KeyError, TypeError, AttributeError) as error:
        return None, f"{FILE}: no front-end study of this version ({error!r}); `bench frontends` makes it again"


def _section(values: Mapping[str, Any], spectrograms: bytes) -> PageSection:
    pictures = [
        (
            "Speed, storage and memory",
            "Each feeding; the baseline of stored features in red.",
            str(bars(values)["inline"]),
        )
    ]
    if spectrograms:
        pictures.append(
            ("What each front end makes of a clip", "One colour scale for all.", _image(spectrograms, values))
        )
    what = values["what"]
    return PageSection(
        anchor="frontends",
        title=_title(values),
        context=(
            f"{what['recipe']}, {what['device']}, {what['precision']}, batch {what['batch']}.",
            machine(values["environment"]),
        ),
        header=tuple(VERDICTS),
        rows=tuple(tuple(row) for row in verdict_rows(values, main=True)),
        pictures=tuple(pictures),
    )


def _title(values: Mapping[str, Any]) -> str:
    return f"Front ends: {values['what']['model']} on {values['what']['dataset']}"


def _image(content: bytes, values: Mapping[str, Any]) -> str:
    alt = escape(f"Spectrograms of clips of {values['what']['dataset']} under each front end", quote=True)
    return f'<img class="wide" alt="{alt}" src="data:image/png;base64,{base64.b64encode(content).decode()}">'
