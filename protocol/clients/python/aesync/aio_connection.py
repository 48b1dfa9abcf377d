"""One connection to the daemon in asyncio. Cancelling a wait loses nothing that has arrived."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Callable, Deque, Mapping, Optional, Union, cast

from .dial import FULL_QUEUE_SECONDS, dial, is_hung_up
from .errors import AesyncError, CallTimeout, ProtocolError, connect_error, lost, not_taken
from .wire import Answer, EventLine, LineBuffer, parse_line, request_line

MAX_WAITING_BYTES = 1024 * 1024
"""Whole lines that wait to be taken; beyond it the socket is not read."""


class AsyncConnection(asyncio.Protocol):
    """A socket and what has arrived on it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._loop = asyncio.get_running_loop()
        self._buffer = LineBuffer()
        self._lines: Deque[bytes] = deque()
        self._bytes = 0
        self._end: Optional[AesyncError] = None
        self._arrived: Optional[asyncio.Future[None]] = None
        self._writable: Optional[asyncio.Future[None]] = None
        self._transport: Optional[asyncio.Transport] = None
        self._last_id = 0

    @classmethod
    async def open(cls, path: str, timeout: float, unwanted: Callable[[], bool] = lambda: False) -> "AsyncConnection":
        """Connects within ``timeout`` seconds, as long as it is not ``unwanted``."""
        deadline = asyncio.get_running_loop().time() + timeout
        opened = dial(path)
        while opened is None:
            if asyncio.get_running_loop().time() >= deadline:
                raise not_taken(path, timeout)
            await asyncio.sleep(FULL_QUEUE_SECONDS)
            if unwanted():
                raise lost(path)
            opened = dial(path)
        connection = cls(path)
        try:
            await connection._loop.create_unix_connection(lambda: connection, sock=opened)
        except OSError as error:
            opened.close()
            raise connect_error(path, error) from error
        except BaseException:
            opened.close()
            connection.close()
            raise
        return connection

    def is_hung_up(self) -> bool:
        """Whether the daemon has closed its side, even if the event loop has not come to see it yet."""
        if self._end is not None or self._transport is None or self._transport.is_closing():
            return True
        opened = self._transport.get_extra_info("socket")
        return opened is not None and is_hung_up(opened.fileno())

    def send(self, method: str, params: Mapping[str, Any]) -> int:
        """Hands one request to the socket and returns its id; :meth:`drained` waits until there is room for more."""
        line = request_line(self._last_id + 1, method, params)
        self._last_id += 1
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(line)
        return self._last_id

    async def drained(self, timeout: float) -> bool:
        """Whether the daemon has taken enough of what was sent, within ``timeout`` seconds."""
        if self._writable is None or self._end is not None:
            return True
        await asyncio.wait([self._writable], timeout=max(timeout, 0.0))
        return self._writable is None

    async def receive(self, timeout: Optional[float]) -> Union[Answer, EventLine, None]:
        """The next message; ``None`` when there is none within ``timeout`` seconds. One caller at a time."""
        deadline = None if timeout is None else self._loop.time() + timeout
        while True:
            while self._lines:
                line = self._lines.popleft()
                self._bytes -= len(line)
                self._resume_reading()
                message = parse_line(line)
                if message is not None:
                    return message
            if self._end is not None:
                raise self._end
            left = None if deadline is None else deadline - self._loop.time()
            if left is not None and left <= 0:
                return None
            self._arrived = self._loop.create_future()
            await asyncio.wait([self._arrived], timeout=left)

    async def answer(self, call_id: int, method: str, timeout: float) -> Any:
        """The result of a call on a connection that makes one at a time."""
        deadline = self._loop.time() + timeout
        while True:
            message = await self.receive(deadline - self._loop.time())
            if message is None:
                raise CallTimeout(f"aesyncd did not answer `{method}` within {timeout:g} s; try again, or allow more time")
            if isinstance(message, Answer) and (message.id == call_id or (message.id is None and message.error is not None)):
                if message.error is not None:
                    raise message.error
                return message.result

    def close(self) -> None:
        """Ends it at once."""
        if self._end is None:
            self._end = lost(self.path)
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = cast(asyncio.Transport, transport)
        if self._end is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self._buffer.feed(data)
        try:
            line = self._buffer.next_line()
            while line is not None:
                self._lines.append(line)
                self._bytes += len(line)
                line = self._buffer.next_line()
        except ProtocolError as error:
            self._end = error
            self.close()
        if self._bytes > MAX_WAITING_BYTES and self._transport is not None:
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, error: Optional[Exception]) -> None:
        """Called by the event loop."""
        if self._end is None:
            self._end = lost(self.path, error if isinstance(error, OSError) else None)
        self._wake()

    def pause_writing(self) -> None:
        """Called by the event loop."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Called by the event loop."""
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    def _resume_reading(self) -> None:
        if self._bytes <= MAX_WAITING_BYTES and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _wake(self) -> None:
        for future in (self._arrived, self._writable):
            if future is not None and not future.done():
                future.set_result(None)
