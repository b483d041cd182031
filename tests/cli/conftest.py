"""A terminal of a known width."""

from __future__ import annotations

import os
import sys

import pytest


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch):
    """``terminal(columns)``: standard output and error are one from now on."""

    def of(columns: int) -> None:
        for stream in (sys.stdout, sys.stderr):
            monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
        monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((columns, 24)))

    return of
