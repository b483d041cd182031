"""What a worker says, checked: nothing that came out of its pipe is believed before it has the form of a message.

A message is a line of JSON ``{"event": ..., "values": {...}, "files": {name: [bytes, crc32]}}``, followed by the bytes
of the files. Of each job a worker says ``started``, maybe ``epoch`` and ``observer``, then ``record`` or ``answer``
once, and ``idle`` when nothing of it is left.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import StoreError
from bench.job import Job
from bench.plugins import interfaces
from bench.results.records import parse_record

LINE_BYTES = 2**26
"""The longest line that is read; a record takes some 20 kB."""
FILES_BYTES = 2**36
_SHOWN = 80


class MessageError(Exception):
    """A worker sent what is no message, or none that could be meant."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Header(_Strict):
    event: str
    values: dict[str, Any]
    files: dict[
        Annotated[str, Field(pattern=r"^\w+(\.[\w-]+)+$", max_length=100)],
        tuple[Annotated[int, Field(ge=0, le=FILES_BYTES)], Annotated[int, Field(ge=0, lt=2**32)]],
    ]


class _Nothing(_Strict):
    pass


class _Epoch(_Strict):
    epoch: int = Field(ge=0, lt=2**53)
    epochs: int = Field(ge=0, lt=2**53)
    stage: str
    scores: dict[str, float]


class _Observer(_Strict):
    plugin: str
    hook: str
    error: str


class _Record(_Strict):
    text: str


class _Answer(BaseModel):
    model_config = ConfigDict(extra="allow")
    problem: str | None = None


_VALUES: Mapping[str, type[BaseModel]] = {
    "started": _Nothing, "epoch": _Epoch, "observer": _Observer, "record": _Record, "answer": _Answer, "idle": _Nothing,
}  # fmt: skip

_PASSING: Mapping[str, Callable[..., interfaces.Event]] = {
    "started": interfaces.Started, "epoch": interfaces.EpochEnded, "observer": interfaces.ObserverFailed,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One event as it came, its values of the types that they must have."""

    event: str
    values: Mapping[str, Any]
    files: Mapping[str, bytes]

    def of(self, job: Job, log: str = "") -> interfaces.Event:
        """What it says of the job that the worker has.

        Raises:
            MessageError: It ends another job, or this one in a way that its action does not.
        """
        if (passing := _PASSING.get(self.event)) is not None:
            return passing(job=job, **self.values)
        if (self.event == "record") is not (job.action == "cell"):
            raise MessageError(f"{self.event!r} to a job whose action is {job.action!r}")
        if self.event == "answer":
            return interfaces.Answered(job=job, values=self.values, files=self.files, log=log)
        try:
            record = parse_record(self.values["text"], "the record")
        except StoreError as error:
            raise MessageError(f"no record: {error}") from error
        if record.cell != job.cell:
            raise MessageError(f"the record of another cell: {record.cell.id}")
        return interfaces.Finished(job=job, record=record, files=self.files, log=log)


class Inbox:
    """Bytes on their way to messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._header: _Header | None = None

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """The messages that are whole with these bytes.

        Raises:
            MessageError: What comes is none.
        """
        self._buffer += chunk
        while (message := self._take()) is not None:
            yield message

    def _take(self) -> Message | None:
        if self._header is None:
            end = self._buffer.find(b"\n", 0, LINE_BYTES)
            if end < 0:
                if len(self._buffer) >= LINE_BYTES:
                    raise MessageError(f"a line of more than {LINE_BYTES} bytes: {_shown(self._buffer)}")
                return None
            self._header = _header(bytes(self._buffer[:end]))
            del self._buffer[: end + 1]
        header = self._header
        if len(self._buffer) < sum(size for size, _ in header.files.values()):
            return None
        files = {}
        for name, (size, checksum) in header.files.items():
            files[name] = bytes(self._buffer[:size])
            del self._buffer[:size]
            if zlib.crc32(files[name]) != checksum:
                raise MessageError(f"{name} with other bytes than it announced")
        self._header = None
        return Message(event=header.event, values=header.values, files=files)


def _header(line: bytes) -> _Header:
    try:
        header = _Header.model_validate_json(line)
        if (kind := _VALUES.get(header.event)) is None:
            raise MessageError(f"an unknown event: {_shown(header.event.encode())}")
        kind.model_validate(header.values)
        if sum(size for size, _ in header.files.values()) > FILES_BYTES:
            raise MessageError(f"files of more than {FILES_BYTES} bytes")
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise MessageError(
            f"what is no message ({where + ': ' if where else ''}{first['msg']}): {_shown(line)}"
        ) from error
    return header


def _shown(line: bytes | bytearray) -> str:
    return ascii(bytes(line[:_SHOWN]))[1:] + ("..." if len(line) > _SHOWN else "")
