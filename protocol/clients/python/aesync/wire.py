"""Lines of JSON-RPC: writing requests, cutting what arrives into lines, and telling answers from events. No input or output here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, Iterator, Mapping, Optional, Union

from .errors import DaemonError, ProtocolError, daemon_error

MAX_LINE = 64 * 1024 * 1024
"""The longest line that is taken from the daemon, in bytes: a page of records may be longer than what the daemon takes."""


@dataclass(frozen=True)
class Answer:
    """The end of one call; without ``id`` it is about no call in particular, such as `busy` on a full daemon."""

    id: Optional[int]
    result: Any = None
    error: Optional[DaemonError] = None

    @property
    def turns_away(self) -> bool:
        """Whether the daemon closes the connection after it: an error about no call in particular, and a full house."""
        return self.error is not None and (self.id is None or self.error.code == "busy")


@dataclass(frozen=True)
class EventLine:
    """One event of the connection's subscription."""

    params: Dict[str, Any]


def request_line(call_id: int, method: str, params: Mapping[str, Any]) -> bytes:
    """One request with its LF. Raises :class:`ProtocolError` for params that are no JSON."""
    try:
        text = json.dumps(
            {"jsonrpc": "2.0", "id": call_id, "method": method, "params": params},
            ensure_ascii=False,
            allow_nan=False,
            separators=(",", ":"),
        )
        return text.encode("utf-8") + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise ProtocolError(f"the params of {method} can't be written as JSON: {error}") from error


class LineBuffer:
    """Collects bytes and gives out whole lines; holds at most ``limit`` bytes of an unfinished one."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._bytes = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> None:
        """Adds what was read."""
        self._bytes += data

    def next_line(self) -> Optional[bytes]:
        """The next line without its end; ``None`` when more bytes are needed. Raises :class:`ProtocolError` for one too long."""
        while True:
            end = self._bytes.find(b"\n", self._searched)
            if max(end, 0) > self._limit or (end < 0 and len(self._bytes) > self._limit):
                raise ProtocolError(f"a line from the daemon is longer than {self._limit} bytes; ask for smaller pages")
            if end < 0:
                self._searched = len(self._bytes)
                return None
            line = bytes(self._bytes[:end]).strip(b"\r \t")
            del self._bytes[: end + 1]
            self._searched = 0
            if line:
                return line

    def messages(self) -> Iterator[Union[Answer, EventLine]]:
        """What the whole lines so far say. Stop at any time: what was not taken is still there."""
        while True:
            line = self.next_line()
            if line is None:
                return
            message = parse_line(line)
            if message is not None:
                yield message


def parse_line(line: bytes) -> Union[Answer, EventLine, None]:
    """What a line says; ``None`` for a notification that this client does not know. Raises :class:`ProtocolError` for garbage."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"what answered does not speak this protocol: a line is no JSON ({error}); check who listens there") from error
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise ProtocolError("what answered does not speak this protocol: a line is no JSON-RPC 2.0; check who listens there")
    if "method" in message:
        params = message.get("params")
        return EventLine(params) if message["method"] == "event" and isinstance(params, dict) else None
    call_id = message.get("id")
    if call_id is not None and (not isinstance(call_id, int) or isinstance(call_id, bool)):
        raise ProtocolError("what answered does not speak this protocol: an answer has an id that was never sent; check who listens there")
    if "error" in message:
        return Answer(call_id, error=daemon_error(message["error"]))
    if "result" in message:
        return Answer(call_id, result=message["result"])
    raise ProtocolError("what answered does not speak this protocol: an answer has neither result nor error; check who listens there")
