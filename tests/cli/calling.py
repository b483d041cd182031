"""``bench`` called in this process."""

from __future__ import annotations

import contextlib
import io

from bench.__main__ import main


def called(*words: str) -> tuple[int, str, str]:
    """The exit status of a command line, and what it writes to standard output and error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([*words])
    return status, out.getvalue(), err.getvalue()
