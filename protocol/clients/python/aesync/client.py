"""The blocking client."""

from __future__ import annotations

import threading
import time
import uuid
from types import TracebackType
from typing import Any, List, Mapping, Optional, Sequence, Tuple, Type, cast

from .calls import DEFAULT_SECONDS, REPEATABLE, SERVER_SECONDS, filtered, milliseconds, without_none
from .connection import Connection
from .endpoint import locate
from .errors import CallTimeout, ConnectionLost, DaemonError
from .greeting import Greeting
from .resume import Resume
from .subscription import Subscription
from .types import ChangePage, EntryPage, Hello, ListedRecord, PullAnswer, PushedEntry, Record, RecordAnswer, RecordPage
from .types import Status, SyncAnswer, WaitAnswer


class Client:
    """Calls the daemon, one call at a time; threads take turns. Every call ends within its ``timeout`` in seconds.

    It connects at the first call, and again at the next call after a loss. A call is sent once more only when that can do no harm:
    reads, and pushes, which carry a ``requestId``. Raises :class:`AesyncError`.

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
        self._lock = threading.Lock()
        self._connection: Optional[Connection] = None

    def call(self, method: str, params: Optional[Mapping[str, Any]] = None, timeout: Optional[float] = None) -> Any:
        """Calls a method by name and returns its result."""
        patience = self.timeout if timeout is None else timeout
        deadline = time.monotonic() + patience
        if not self._lock.acquire(timeout=patience):
            raise CallTimeout(f"another thread's call took the {patience:g} s that `{method}` had; use a client for each thread")
        try:
            # A call that was not sent yet loses nothing with its connection.
            if self._connection is not None and self._connection.is_hung_up():
                self._drop()
            stale = self._connection is not None
            try:
                return self._call_once(method, params or {}, deadline)
            except ConnectionLost:
                if not (stale and method in REPEATABLE and time.monotonic() < deadline):
                    raise
            return self._call_once(method, params or {}, deadline)
        finally:
            self._lock.release()

    def subscribe(
        self,
        channels: Sequence[str] = ("change",),
        *,
        entity_types: Optional[Sequence[str]] = None,
        since: Optional[int] = None,
        log: Optional[str] = None,
    ) -> Subscription:
        """Events, without end, on a connection of their own. ``since=0`` is everything from the beginning of the feed.

        Channels are ``change``, ``status``, ``notification``, ``outbox`` and ``progress``. ``since`` and ``log`` are a saved
        position; without them changes begin with the next one.
        """
        return Subscription(self.path, Resume(channels, entity_types, since, log), self._greeting)

    def hello(self, name: str, version: str) -> Hello:
        """Tells who this is, and agrees on a version."""
        return cast(Hello, self.call("hello", {"client": {"name": name, "version": version}, "protocol": 1}))

    def ping(self) -> str:
        """The daemon's clock, as a sign of life."""
        return str(self.call("ping")["time"])

    def status(self) -> Status:
        """Everything at a glance."""
        return cast(Status, self.call("status"))

    def wait(self, what: str, timeout: float, *, seq: Optional[int] = None) -> WaitAnswer:
        """Waits until something is so: ``synced``, ``online``, ``outboxEmpty`` or ``seq``. A time-out is an answer."""
        params = without_none({"for": what, "seq": seq, "timeoutMs": milliseconds(timeout)})
        return cast(WaitAnswer, self.call("wait", params, timeout + DEFAULT_SECONDS))

    def push(
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
        return cast(List[PushedEntry], self.call("push", params, timeout + (DEFAULT_SECONDS if wait else 0.0))["entries"])

    def pull(
        self, entity_types: Optional[Sequence[str]] = None, *, full: Optional[bool] = None, timeout: float = SERVER_SECONDS
    ) -> PullAnswer:
        """Fetches what is new on the server, or everything."""
        return cast(PullAnswer, self.call("pull", filtered(entity_types, full=full), timeout))

    def sync(self, *, timeout: float = SERVER_SECONDS) -> SyncAnswer:
        """Pushes what waits, and pulls everything."""
        return cast(SyncAnswer, self.call("sync", {}, timeout))

    def get(self, entity_type: str, id: str) -> RecordAnswer:
        """One record, local changes included. A :class:`DaemonError` with the code ``not_found`` when there is none."""
        return cast(RecordAnswer, self.call("records.get", {"entityType": entity_type, "id": id}))

    def list(self, entity_type: str, *, limit: Optional[int] = None, after: Optional[str] = None) -> RecordPage:
        """One page of a type's records, ordered by id."""
        return cast(RecordPage, self.call("records.list", without_none({"entityType": entity_type, "limit": limit, "after": after})))

    def load(self, entity_type: str) -> Tuple[List[ListedRecord], int]:
        """All records of a type, and the ``seq`` from which to follow their changes."""
        page = self.list(entity_type, limit=1000)
        records, seq = page["records"], page["seq"]
        while "next" in page:
            page = self.list(entity_type, limit=1000, after=page["next"])
            records += page["records"]
        return records, seq

    def changes(
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
        return cast(ChangePage, self.call("changes", params, wait + DEFAULT_SECONDS))

    def outbox(
        self, *, state: Optional[str] = None, entity_type: Optional[str] = None, limit: Optional[int] = None, after: Optional[int] = None
    ) -> EntryPage:
        """One page of what waits to be sent, and of what became of the rest."""
        params = without_none({"state": state, "entityType": entity_type, "limit": limit, "after": after})
        return cast(EntryPage, self.call("outbox.list", params))

    def close(self) -> None:
        """Ends the connection; the next call makes another."""
        with self._lock:
            self._drop()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def _call_once(self, method: str, params: Mapping[str, Any], deadline: float) -> Any:
        connection = self._connection
        if connection is None:
            connection = self._connection = Connection(self.path, deadline - time.monotonic())
        try:
            call_id = connection.send(method, params, deadline)
            return connection.answer(call_id, method, deadline)
        except DaemonError:
            # Its answer has been read whole.
            if connection.spent:
                self._drop()
            raise
        except BaseException:
            # What comes next is not known.
            self._drop()
            raise

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
