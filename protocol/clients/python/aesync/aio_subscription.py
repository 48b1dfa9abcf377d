"""A subscription that outlives its connections, for asyncio."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Any, Deque, Mapping, Optional, Type

from .aio_connection import AsyncConnection
from .backoff import Backoff
from .errors import AesyncError, Gone, lost
from .events import Disconnected, Event, Position
from .greeting import Greeting
from .resume import Resume
from .subscription import CALL_SECONDS, QUIET_SECONDS, STEADY_SECONDS
from .wire import EventLine


class AsyncSubscription:
    """Iterates over events without end: it reconnects, and goes on after the last change that it gave out.

    At most a megabyte of lines waits here; beyond it the socket is not read. For one task at a time, except :meth:`close`.
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
        self._loop = asyncio.get_running_loop()
        self._backoff = Backoff()
        self._closed = asyncio.Event()
        self._ready: Deque[Event] = deque()
        self._connection: Optional[AsyncConnection] = None
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

    async def next_event(self, timeout: Optional[float] = None) -> Optional[Event]:
        """The next event; ``None`` when none came within ``timeout`` seconds, or after :meth:`close`.

        Cancelling it loses no event. Raises :class:`AesyncError` when going on is pointless: the socket or the subscription is not
        allowed, or what answers does not speak the protocol.
        """
        deadline = None if timeout is None else self._loop.time() + timeout
        while not self._closed.is_set():
            if self._ready:
                return self._resume.told(self._ready.popleft())
            if self._connection is None and not await self._wait_for_turn(deadline):
                return None
            try:
                connection = self._connection or await self._open()
                if self._ready:
                    continue
                event = await self._receive(connection, deadline)
            except AesyncError as error:
                self._lose(error)
                continue
            if event is not None:
                return event
            if deadline is not None and self._loop.time() >= deadline:
                return None
        return None

    async def close(self) -> None:
        """Ends the subscription and the iteration."""
        self._end()

    def __aiter__(self) -> "AsyncSubscription":
        return self

    async def __anext__(self) -> Event:
        event = await self.next_event()
        if event is None:
            raise StopAsyncIteration
        return event

    async def __aenter__(self) -> "AsyncSubscription":
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        await self.close()

    async def _wait_for_turn(self, deadline: Optional[float]) -> bool:
        """Waits until the next attempt may be made; false when the deadline is earlier, or when the subscription was closed."""
        until = self._attempt_at if deadline is None else min(self._attempt_at, deadline)
        try:
            await asyncio.wait_for(self._closed.wait(), max(0.0, until - self._loop.time()))
        except asyncio.TimeoutError:
            pass
        return not self._closed.is_set() and self._loop.time() >= self._attempt_at

    async def _open(self) -> AsyncConnection:
        connection = await AsyncConnection.open(self._path, self._patience, self._closed.is_set)
        # Here already, so that `close` finds it.
        self._connection = connection
        try:
            if self._closed.is_set():
                raise lost(self._path)
            await self._call(connection, "hello", self._greeting.params())
            try:
                answer = await self._call(connection, "subscribe", self._resume.params())
            except Gone as gone:
                self._resume.refused(gone)
                answer = await self._call(connection, "subscribe", self._resume.params())
            self._ready.extend(self._resume.accepted(answer))
        except BaseException:
            self._connection = None
            connection.close()
            raise
        self._since = self._loop.time()
        self._said_away = False
        self._heard()
        return connection

    async def _call(self, connection: AsyncConnection, method: str, params: Mapping[str, Any]) -> object:
        return await connection.answer(connection.send(method, params), method, self._patience)

    async def _receive(self, connection: AsyncConnection, deadline: Optional[float]) -> Optional[Event]:
        until = self._silent_at if deadline is None else min(self._silent_at, deadline)
        message = await connection.receive(max(0.0, until - self._loop.time()))
        if message is not None:
            self._heard()
            return self._resume.event(message.params) if isinstance(message, EventLine) else None
        if self._loop.time() >= self._silent_at:
            if self._asked:
                raise lost(self._path)
            connection.send("ping", {})
            self._asked = True
            self._silent_at = self._loop.time() + self._patience
        return None

    def _heard(self) -> None:
        self._asked = False
        self._silent_at = self._loop.time() + self._quiet

    def _lose(self, error: AesyncError) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        if self._resume.ended(connection is not None and self._loop.time() - self._since >= STEADY_SECONDS):
            self._backoff.succeeded()
        if self._closed.is_set():
            return
        if self._resume.is_final(error):
            self._end()
            raise error
        self._attempt_at = self._loop.time() + self._backoff.next_delay()
        if not self._said_away:
            self._said_away = True
            self._ready.append(Disconnected(error))

    def _end(self) -> None:
        self._closed.set()
        if self._connection is not None:
            self._connection.close()
