"""What the daemon's answers hold, under the names that they have on the wire. Fields that a newer daemon adds are simply there too."""

from __future__ import annotations

from typing import Any, Dict, List, TypedDict

Record = Dict[str, Any]
"""One entity, as the server's table has it."""


class Hello(TypedDict):
    """Which versions the daemon speaks, and who the caller is to it."""

    server: Dict[str, str]
    protocol: int
    protocols: List[int]
    capabilities: List[str]
    role: str
    instance: str
    log: str


class _Status(TypedDict):
    status: str
    since: str
    hasSynced: bool
    seq: int
    paused: bool
    server: Dict[str, Any]
    auth: Dict[str, Any]
    outbox: Dict[str, int]
    types: Dict[str, Dict[str, Any]]
    feed: Dict[str, Any]
    attention: List[Dict[str, Any]]
    daemon: Dict[str, Any]


class Status(_Status, total=False):
    """Everything at a glance; ``status`` is synced, syncing, pending or offline."""

    reason: str
    retryAt: str
    lastSyncedAt: str
    lastError: Dict[str, Any]


class _PushedEntry(TypedDict):
    entry: int
    entityType: str
    id: str
    state: str


class PushedEntry(_PushedEntry, total=False):
    """How far one entity of a push has come."""

    verdict: Dict[str, Any]
    warnings: List[str]


class _RecordAnswer(TypedDict):
    record: Record
    pending: bool
    seq: int


class RecordAnswer(_RecordAnswer, total=False):
    """One record; ``base`` is the server's row while it differs."""

    base: Record


class ListedRecord(TypedDict):
    """One record of a page; ``pending`` while the server has not confirmed it."""

    record: Record
    pending: bool


class _RecordPage(TypedDict):
    records: List[ListedRecord]
    seq: int


class RecordPage(_RecordPage, total=False):
    """A page of records; ``next`` is the next page's ``after``."""

    next: str


class _ChangeRow(TypedDict):
    seq: int
    op: str
    entityType: str
    id: str
    origin: str
    pending: bool
    at: str


class ChangeRow(_ChangeRow, total=False):
    """One entry of the change feed as the wire has it; ``record`` is there for an upsert."""

    record: Record


class ChangePage(TypedDict):
    """A piece of the change feed; ``next`` is the next ``since``."""

    log: str
    changes: List[ChangeRow]
    next: int
    lastSeq: int


class _Entry(TypedDict):
    entry: int
    entityType: str
    id: str
    op: str
    state: str
    data: Record
    bytes: int
    enqueuedAt: str
    attempts: int


class Entry(_Entry, total=False):
    """One change that waits in the outbox, or what became of it."""

    sentAt: str
    verdict: Dict[str, Any]
    lastError: Dict[str, Any]
    parked: bool


class _EntryPage(TypedDict):
    entries: List[Entry]


class EntryPage(_EntryPage, total=False):
    """A page of the outbox; ``next`` is the next page's ``after``."""

    next: int


class WaitAnswer(TypedDict):
    """Whether what was waited for has come."""

    reached: bool
    status: Status


class SyncAnswer(TypedDict):
    """What a sync did."""

    pushed: int
    types: Dict[str, Dict[str, int]]
    seq: int


class PullAnswer(TypedDict):
    """What a pull brought."""

    types: Dict[str, Dict[str, int]]
    seq: int
    syncTimestamp: str
