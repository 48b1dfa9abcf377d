"""What a subscription yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Optional, Union

from .errors import AesyncError, ProtocolError
from .types import Entry, Record, Status


@dataclass(frozen=True)
class Position:
    """A place in a change feed. Save it with what you made of the changes so far, and give it to the next ``subscribe``."""

    log: str
    seq: int


@dataclass(frozen=True)
class Change:
    """One entry of the change feed: put ``record`` in its place, or for the op ``delete`` take it away."""

    seq: int
    op: str
    entity_type: str
    id: str
    record: Optional[Record]
    origin: str
    pending: bool
    at: str


@dataclass(frozen=True)
class StatusChanged:
    """The whole status; the first one after each connection is a snapshot."""

    status: Status


@dataclass(frozen=True)
class Notification:
    """The server's hint that a pull may be worth while. The daemon has begun one already."""

    type: str
    entity_type: str
    entity_id: Optional[str]
    message: str
    timestamp: str


@dataclass(frozen=True)
class OutboxChanged:
    """An entry of the outbox in its new state."""

    entry: Entry


@dataclass(frozen=True)
class Progress:
    """How far a long operation has come."""

    op: str
    entity_type: Optional[str]
    done: int
    total: Optional[int]


@dataclass(frozen=True)
class Lagged:
    """This app was too slow for that many notification or outbox events. Changes are never among them."""

    dropped: int


@dataclass(frozen=True)
class Connected:
    """The daemon is there. Changes go on where they stopped; of notification and outbox events some may have been missed."""

    log: str
    seq: int
    """Where the feed stands."""


@dataclass(frozen=True)
class Disconnected:
    """The daemon is away. Said once for each loss; the subscription goes on trying."""

    error: AesyncError


@dataclass(frozen=True)
class Reset:
    """The feed can't be followed from the position any more: forget what you folded and load the records again.

    It comes before the :class:`Connected` of its connection. Changes go on after ``seq``, so that a listing made after this event misses
    nothing.
    """

    reason: str
    """``trimmed``: the position is older than the feed; ``log_changed``: the feed started anew."""
    log: str
    seq: int


Event = Union[Change, StatusChanged, Notification, OutboxChanged, Progress, Lagged, Connected, Disconnected, Reset]


def parse_event(params: Dict[str, Any]) -> Optional[Event]:
    """The event in an event line; ``None`` for a channel that is not for apps. Raises :class:`ProtocolError`."""
    try:
        return _parse(params)
    except (KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(f"an event of the daemon lacks something: {error!r}; check that both have matching versions") from error


def _parse(params: Dict[str, Any]) -> Optional[Event]:
    channel = params["channel"]
    if channel == "change":
        row = params["change"]
        return Change(
            _integer(row["seq"]), row["op"], row["entityType"], row["id"], row.get("record"), row["origin"], row["pending"], row["at"]
        )
    if channel == "status":
        return StatusChanged(params["status"])
    if channel == "notification":
        hint = params["notification"]
        return Notification(hint["type"], hint["entityType"], hint.get("entityId"), hint["message"], hint["timestamp"])
    if channel == "outbox":
        return OutboxChanged(params["entry"])
    if channel == "progress":
        return Progress(params["op"], params.get("entityType"), _integer(params["done"]), params.get("total"))
    if channel == "lagged":
        return Lagged(_integer(params["dropped"]))
    return None


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r} is no integer")
    return value
