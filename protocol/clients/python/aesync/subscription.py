"""A subscription that outlives its connections, for programs with threads or with nothing."""

from __future__ import annotations

import threading
import time
from collections import deque
from types import TracebackType
from typing import Any, Deque, Mapping, Optional, Type

from .backoff import Backoff
from .connection import Connection
from .errors import AesyncError, Gone, lost
from .events import Disconnected, Event, Position
from .greeting import Greeting
from .resume import Resume
from .wire import EventLine

CALL_SECONDS = 10.0
"""How long the daemon may take for the connection, for ``subscribe`` and for a sign of life."""
QUIET_SECONDS = 30.0
"""After so long without a line the daemon is asked for a sign of life."""
STEADY_SECONDS = 5.0
"""A connection that held for so long was a good one: the next attempt is not held back by failures before it."""


class Subscription:
    """Iterates over events without end: it reconnects, and goes on after the last change that it gave out.

    It reads from the socket only when it is asked for an event, so nothing piles up in this process. Not for use by several threads
    at once, except :meth:`close`.
    """

    def __init__(
        self,
        path: str,
        resume: Resume,
        greeting: Optional[Greeting] = None,
        quiet: float = QUIET_SECONDS,
        patience: float = CALL_SECONDS,
    ) -> None:
        self._path = path
        self._resume = resume
        self._greeting = greeting or Greeting()
        self._quiet = quiet
        self._patience = patience
        self._backoff = Backoff()
        self._closed = threading.Event()
        self._ready: Deque[Event] = deque()
        self._connection: Optional[Connection] = None
        self._since = 0.0
        self._attempt_at = 0.0
        self._silent_at = 0.0
        self._asked = False
        self._said_away = False

    @property
    def position(self) -> Optional[Position]:
        """After the last event that was given out; ``None`` before the first connection and without the channel ``change``."""
        return self._resume.position

    def loaded(self, seq: int) -> None:
        """Say this after a :class:`Reset`, with the ``seq`` of the listing: changes that it has already are then not given out."""
        self._resume.loaded(seq)

    def next_event(self, timeout: Optional[float] = None) -> Optional[Event]:
        """The next event; ``None`` when none came within ``timeout`` seconds, or after :meth:`close`.

        An attempt to connect that is under way is ended first. Raises :class:`AesyncError` when going on is pointless: the socket or
        the subscription is not allowed, or what answers does not speak the protocol.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._closed.is_set():
            if self._ready:
                return self._resume.told(self._ready.popleft())
            if self._connection is None and not self._wait_for_turn(deadline):
                return None
            try:
                connection = self._connection or self._open()
                if self._ready:
                    continue
                event = self._receive(connection, deadline)
            except AesyncError as error:
                self._lose(error)
                continue
            if event is not None:
                return event
            if deadline is not None and time.monotonic() >= deadline:
                return None
        return None

    def close(self) -> None:
        """Ends the subscription and the iteration, from any thread."""
        self._closed.set()
        connection = self._connection
        if connection is not None:
            connection.close()

    def __iter__(self) -> "Subscription":
        return self

    def __next__(self) -> Event:
        event = self.next_event()
        if event is None:
            raise StopIteration
        return event

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def _wait_for_turn(self, deadline: Optional[float]) -> bool:
        """Waits until the next attempt may be made; false when the deadline is earlier."""
        until = self._attempt_at if deadline is None else min(self._attempt_at, deadline)
        self._closed.wait(max(0.0, until - time.monotonic()))
        return time.monotonic() >= self._attempt_at

    def _open(self) -> Connection:
        connection = Connection(self._path, self._patience, self._closed.wait)
        # Here already, so that `close` finds it.
        self._connection = connection
        try:
            if self._closed.is_set():
                raise lost(self._path)
            self._call(connection, "hello", self._greeting.params())
            try:
                answer = self._call(connection, "subscribe", self._resume.params())
            except Gone as gone:
                self._resume.refused(gone)
                answer = self._call(connection, "subscribe", self._resume.params())
            self._ready.extend(self._resume.accepted(answer))
        except BaseException:
            self._connection = None
            connection.close()
            raise
        self._since = time.monotonic()
        self._said_away = False
        self._heard()
        return connection

    def _call(self, connection: Connection, method: str, params: Mapping[str, Any]) -> object:
        deadline = time.monotonic() + self._patience
        return connection.answer(connection.send(method, params, deadline), method, deadline)

    def _receive(self, connection: Connection, deadline: Optional[float]) -> Optional[Event]:
        until = self._silent_at if deadline is None else min(self._silent_at, deadline)
        message = connection.receive(until)
        if message is not None:
            self._heard()
            return self._resume.event(message.params) if isinstance(message, EventLine) else None
        now = time.monotonic()
        if now >= self._silent_at:
            if self._asked:
                raise lost(self._path)
            connection.send("ping", {}, now + self._patience)
            self._asked = True
            self._silent_at = now + self._patience
        return None

    def _heard(self) -> None:
        self._asked = False
        self._silent_at = time.monotonic() + self._quiet

    def _lose(self, error: AesyncError) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        steady = connection is not None and time.monotonic() - self._since >= STEADY_SECONDS
        if self._resume.ended(steady):
            self._backoff.succeeded()
        if self._closed.is_set():
            return
        if self._resume.is_final(error):
            self.close()
            raise error
        self._attempt_at = time.monotonic() + self._backoff.next_delay()
        if not self._said_away:
            self._said_away = True
            self._ready.append(Disconnected(error))
