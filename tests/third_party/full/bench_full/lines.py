"""Leaderboards as JSON lines: one row of one section each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bench import Board


def render(board: Board) -> bytes:
    """Every row of the board, best first within its section."""
    return b"".join(json.dumps(row, sort_keys=True).encode() + b"\n" for row in _rows(board))


def _rows(board: Board) -> Iterator[dict[str, Any]]:
    for section in board.sections:
        for row in section.rows:
            yield {
                "dataset": section.dataset.name,
                "protocol": section.protocol.name,
                "model": row.key.model,
                "frontend": row.key.frontend,
                "scores": {score.name: score.value for score in (row.primary, *row.scores)},
            }
