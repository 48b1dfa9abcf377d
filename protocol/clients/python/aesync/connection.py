"""One blocking connection to the daemon. Every operation has a deadline by the monotonic clock."""

from __future__ import annotations

import select
import socket
import time
from typing import Any, Callable, Mapping, Optional, Union

from .dial import FULL_QUEUE_SECONDS, dial, is_hung_up
from .errors import CallTimeout, lost, not_taken
from .wire import Answer, EventLine, LineBuffer, request_line

_CHUNK = 64 * 1024


class Connection:
    """A socket and what has arrived on it."""

    def __init__(self, path: str, timeout: float, pause: Callable[[float], object] = time.sleep) -> None:
        """Connects within ``timeout`` seconds. ``pause`` waits; when it returns something true the connection is not wanted any more."""
        self.path = path
        self.spent = False
        """The daemon has closed it, or is about to: it said so in an answer."""
        self._lines = LineBuffer()
        self._last_id = 0
        self._ended = False
        deadline = time.monotonic() + timeout
        opened = dial(path)
        while opened is None:
            if time.monotonic() >= deadline:
                raise not_taken(path, timeout)
            if pause(FULL_QUEUE_SECONDS):
                raise lost(path)
            opened = dial(path)
        self._socket = opened

    def is_hung_up(self) -> bool:
        """Whether the daemon has closed its side of an idle connection."""
        return self.spent or self._ended or is_hung_up(self._socket.fileno())

    def send(self, method: str, params: Mapping[str, Any], deadline: float) -> int:
        """Writes one request and returns its id. After an error the connection is of no more use."""
        line = request_line(self._last_id + 1, method, params)
        self._last_id += 1
        try:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            self._socket.sendall(line)
        except socket.timeout as error:
            raise CallTimeout(f"aesyncd did not take `{method}` in time; try again, or allow more time") from error
        except OSError:
            # A daemon that turns a client away says why and closes, perhaps before it has read: look for its answer.
            pass
        return self._last_id

    def receive(self, deadline: Optional[float]) -> Union[Answer, EventLine, None]:
        """The next message; ``None`` when there is none before the deadline."""
        while True:
            for message in self._lines.messages():
                return message
            if self._ended:
                raise lost(self.path)
            try:
                if not self._readable(deadline):
                    return None
                chunk = self._socket.recv(_CHUNK)
            except (OSError, ValueError) as error:
                raise lost(self.path, error if isinstance(error, OSError) else None) from error
            self._ended = not chunk
            self._lines.feed(chunk)

    def answer(self, call_id: int, method: str, deadline: float) -> Any:
        """The result of a call. Events that arrive meanwhile are of no subscription, and dropped."""
        while True:
            message = self.receive(deadline)
            if message is None:
                raise CallTimeout(f"aesyncd did not answer `{method}` in time; try again, or allow more time")
            if isinstance(message, Answer) and (message.id == call_id or (message.id is None and message.error is not None)):
                if message.error is not None:
                    self.spent = message.turns_away
                    raise message.error
                return message.result

    def close(self) -> None:
        """Ends it; another thread that waits in :meth:`receive` notices."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()

    def _readable(self, deadline: Optional[float]) -> bool:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        milliseconds = None if deadline is None else max(0, int((deadline - time.monotonic()) * 1000) + 1)
        return bool(poll.poll(milliseconds))
