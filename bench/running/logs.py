"""What is kept of what a cell prints: its beginning and its end."""

from __future__ import annotations

import io

HEAD_BYTES, TAIL_BYTES = 2**18, 3 * 2**18
"""Of what a cell prints, a mebibyte is kept: the first quarter and the last three."""


class CappedLog(io.TextIOBase):
    """Text of any length in bounded memory; what was cut is named.

    Example:
        >>> log = CappedLog(4, 6)
        >>> log.feed(b"0123456789abcdef")
        >>> print(log.text())
        0123
        [... 6 bytes cut here ...]
        abcdef
    """

    def __init__(self, head: int = HEAD_BYTES, tail: int = TAIL_BYTES) -> None:
        self._limits = head, tail
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._head, self._tail, self._cut = b"", bytearray(), 0

    def write(self, text: str) -> int:
        """Add text, as what prints in this process does."""
        self.feed(text.encode(errors="backslashreplace"))
        return len(text)

    def feed(self, content: bytes) -> None:
        """Add bytes."""
        head, tail = self._limits
        room = head - len(self._head)
        self._head += content[:room]
        self._tail += content[room:]
        if (over := len(self._tail) - tail) > tail or (over > 0 and len(content) > tail):
            del self._tail[:over]
            self._cut += over

    def text(self) -> str:
        """What is kept."""
        over = max(0, len(self._tail) - self._limits[1])
        cut = self._cut + over
        middle = f"\n[... {cut} bytes cut here ...]\n".encode() if cut else b""
        return (self._head + middle + self._tail[over:]).decode(errors="replace")
