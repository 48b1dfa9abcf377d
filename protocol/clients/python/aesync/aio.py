"""The asyncio client."""

from __future__ import annotations

import asyncio
import uuid
from types import TracebackType
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Type, cast

from .aio_connection import AsyncConnection
from .aio_subscription import AsyncSubscription
from .calls import DEFAULT_SECONDS, REPEATABLE, SERVER_SECONDS, filtered, milliseconds, without_none
from .endpoint import locate
from .errors import AesyncError, CallTimeout, ConnectionLost, DaemonError, lost
from .greeting import Greeting
from .resume import Resume
from .types import ChangePage, EntryPage, Hello, ListedRecord, PullAnswer, PushedEntry, Record, RecordAnswer, RecordPage
from .types import Status, SyncAnswer, WaitAnswer
from .wire import Answer

MAX_IN_FLIGHT = 64
"""Calls that may wait for their answers at once, as many as the daemon works on for one connection; more wait for their turn."""


class AsyncClient:
    """Calls the daemon from one event loop. Calls are pipelined: many tasks share one connection, and answers come in any order.

    Every call ends within its ``timeout`` in seconds, its turn included. It connects at the first call, and again at the next call after
    a loss. A call is sent once more only when that can do no harm: reads, and pushes, which carry a ``requestId``. Raises
    :class:`AesyncError`.

    ``name`` and ``version`` are how its subscriptions call themselves in `aectl clients`; the program's name when absent.
    """

    def __init__(
        self,
        path: Optional[str] = None,
        *,
        instance: Optional[str] = None,
        timeout: float = DEFAULT_SECONDS,
        name: Optional[str] = None,
        version: Optional[str] = None,
    ) -> None:
        self.path = locate(path, instance)
        self.timeout = timeout
        self._greeting = Greeting(name, version)
        self._turns: Optional[asyncio.Semaphore] = None
        self._opening: Optional[asyncio.Lock] = None
        self._link: Optional[_Link] = None

    async def call(self, method: str, params: Optional[Mapping[str, Any]] = None, timeout: Optional[float] = None) -> Any:
        """Calls a method by name and returns its result."""
        patience = self.timeout if timeout is None else timeout
        try:
            return await asyncio.wait_for(self._call(method, params or {}, patience), patience)
        except asyncio.TimeoutError as error:
            raise CallTimeout(f"aesyncd did not answer `{method}` within {patience:g} s; try again, or allow more time") from error

    def subscribe(
        self,
        channels: Sequence[str] = ("change",),
        *,
        entity_types: Optional[Sequence[str]] = None,
        since: Optional[int] = None,
        log: Optional[str] = None,
    ) -> AsyncSubscription:
        """Events, without end, on a connection of their own. ``since=0`` is everything from the beginning of the feed.

        Channels are ``change``, ``status``, ``notification``, ``outbox`` and ``progress``. ``since`` and ``log`` are a saved
        position; without them changes begin with the next one.
        """
        return AsyncSubscription(self.path, Resume(channels, entity_types, since, log), self._greeting)

    async def hello(self, name: str, version: str) -> Hello:
        """Tells who this is, and agrees on a version."""
        return cast(Hello, await self.call("hello", {"client": {"name": name, "version": version}, "protocol": 1}))

    async def ping(self) -> str:
        """The daemon's clock, as a sign of life."""
        return str((await self.call("ping"))["time"])

    async def status(self) -> Status:
        """Everything at a glance."""
        return cast(Status, await self.call("status"))

    async def wait(self, what: str, timeout: float, *, seq: Optional[int] = None) -> WaitAnswer:
        """Waits until something is so: ``synced``, ``online``, ``outboxEmpty`` or ``seq``. A time-out is an answer."""
        params = without_none({"for": what, "seq": seq, "timeoutMs": milliseconds(timeout)})
        return cast(WaitAnswer, await self.call("wait", params, timeout + DEFAULT_SECONDS))

    async def push(
        self,
        changes: Mapping[str, Sequence[Record]],
        *,
        wait: Optional[str] = None,
        timeout: float = DEFAULT_SECONDS,
        request_id: Optional[str] = None,
    ) -> List[PushedEntry]:
        """Queues changes, all or none. It is on disk when this returns; ``wait`` asks for ``acked`` or ``confirmed``.

        To repeat a push after an error without queueing it twice, give both the same ``request_id``.
        """
        params = without_none({"changes": changes, "requestId": request_id or str(uuid.uuid4()), "wait": wait})
        if wait is not None:
            params["timeoutMs"] = milliseconds(timeout)
        answer = await self.call("push", params, timeout + (DEFAULT_SECONDS if wait else 0.0))
        return cast(List[PushedEntry], answer["entries"])

    async def pull(
        self, entity_types: Optional[Sequence[str]] = None, *, full: Optional[bool] = None, timeout: float = SERVER_SECONDS
    ) -> PullAnswer:
        """Fetches what is new on the server, or everything."""
        return cast(PullAnswer, await self.call("pull", filtered(entity_types, full=full), timeout))

    async def sync(self, *, timeout: float = SERVER_SECONDS) -> SyncAnswer:
        """Pushes what waits, and pulls everything."""
        return cast(SyncAnswer, await self.call("sync", {}, timeout))

    async def get(self, entity_type: str, id: str) -> RecordAnswer:
        """One record, local changes included. A :class:`DaemonError` with the code ``not_found`` when there is none."""
        return cast(RecordAnswer, await self.call("records.get", {"entityType": entity_type, "id": id}))

    async def list(self, entity_type: str, *, limit: Optional[int] = None, after: Optional[str] = None) -> RecordPage:
        """One page of a type's records, ordered by id."""
        return cast(RecordPage, await self.call("records.list", without_none({"entityType": entity_type, "limit": limit, "after": after})))

    async def load(self, entity_type: str) -> Tuple[List[ListedRecord], int]:
        """All records of a type, and the ``seq`` from which to follow their changes."""
        page = await self.list(entity_type, limit=1000)
        records, seq = page["records"], page["seq"]
        while "next" in page:
            page = await self.list(entity_type, limit=1000, after=page["next"])
            records += page["records"]
        return records, seq

    async def changes(
        self,
        since: int,
        *,
        log: Optional[str] = None,
        limit: Optional[int] = None,
        entity_types: Optional[Sequence[str]] = None,
        wait: float = 0.0,
    ) -> ChangePage:
        """A piece of the change feed, for apps that poll; ``wait`` is how long an empty one may take, in seconds."""
        params = without_none({"since": since, "log": log, "limit": limit, **filtered(entity_types)})
        if wait > 0:
            params["waitMs"] = milliseconds(wait)
        return cast(ChangePage, await self.call("changes", params, wait + DEFAULT_SECONDS))

    async def outbox(
        self, *, state: Optional[str] = None, entity_type: Optional[str] = None, limit: Optional[int] = None, after: Optional[int] = None
    ) -> EntryPage:
        """One page of what waits to be sent, and of what became of the rest."""
        params = without_none({"state": state, "entityType": entity_type, "limit": limit, "after": after})
        return cast(EntryPage, await self.call("outbox.list", params))

    async def close(self) -> None:
        """Ends the connection and the calls on it; the next call makes another."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        await self.close()

    async def _call(self, method: str, params: Mapping[str, Any], patience: float) -> Any:
        # Made here: on Python 3.9 they belong to the loop that runs when they are made.
        self._turns = self._turns or asyncio.Semaphore(MAX_IN_FLIGHT)
        async with self._turns:
            stale = self._link is not None and not self._link.ended
            try:
                return await (await self._connected(patience)).call(method, params, patience)
            except ConnectionLost:
                if not (stale and method in REPEATABLE):
                    raise
            return await (await self._connected(patience)).call(method, params, patience)

    async def _connected(self, patience: float) -> "_Link":
        self._opening = self._opening or asyncio.Lock()
        async with self._opening:
            if self._link is None or self._link.ended:
                if self._link is not None:
                    self._link.retire()
                self._link = _Link(await AsyncConnection.open(self.path, patience))
            return self._link


class _Link:
    """One connection, the task that reads it, and the calls that wait for it."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._waiting: Dict[int, "asyncio.Future[Any]"] = {}
        self._end: Optional[AesyncError] = None
        self._reader = asyncio.ensure_future(self._read())

    @property
    def ended(self) -> bool:
        return self._end is not None or self._connection.is_hung_up()

    async def call(self, method: str, params: Mapping[str, Any], patience: float) -> Any:
        if self._end is not None:
            raise self._end
        future: "asyncio.Future[Any]" = asyncio.get_running_loop().create_future()
        call_id = self._connection.send(method, params)
        self._waiting[call_id] = future
        try:
            if not await self._connection.drained(patience):
                self._fail(CallTimeout(f"aesyncd did not take `{method}` in time; try again, or allow more time"))
            return await future
        finally:
            self._waiting.pop(call_id, None)
            # A failure that nobody waits for any more is no news.
            if future.done() and not future.cancelled():
                future.exception()

    def retire(self) -> None:
        """Ends it, unless calls wait for what the daemon may have said before it hung up."""
        if not self._waiting:
            self._fail(lost(self._connection.path))

    async def close(self) -> None:
        self._fail(lost(self._connection.path))
        self._reader.cancel()
        await asyncio.wait([self._reader])

    async def _read(self) -> None:
        try:
            while True:
                message = await self._connection.receive(None)
                if isinstance(message, Answer):
                    self._settle(message)
        except AesyncError as error:
            self._fail(error)

    def _settle(self, answer: Answer) -> None:
        future = None if answer.id is None else self._waiting.get(answer.id)
        if future is not None and not future.done():
            if answer.error is not None:
                future.set_exception(answer.error)
            else:
                future.set_result(answer.result)
        if answer.error is not None and answer.turns_away:
            self._turned_away(answer.error, answer.id is None)

    def _turned_away(self, error: DaemonError, all_of_them: bool) -> None:
        # A daemon that is only busy with this call answers the others; one that closes the connection does so soon enough.
        if all_of_them or all(future.done() for future in self._waiting.values()):
            self._fail(error)

    def _fail(self, error: AesyncError) -> None:
        self._end = self._end or error
        self._connection.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error)
