"""What both clients know of the methods: their deadlines, their optional params, and which ones may be sent twice."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Sequence

DEFAULT_SECONDS = 10.0
"""How long a call may take unless told otherwise."""
SERVER_SECONDS = 120.0
"""How long a call that the server has to answer may take unless told otherwise."""

REPEATABLE = frozenset(
    ("hello", "ping", "status", "metrics", "wait", "push", "records.get", "records.list", "changes", "outbox.list", "conflicts.list")
    + ("config.get", "rpc.discover", "pullPending")
)
"""Methods that may be sent again when the connection ended before the answer: reads, and ``push`` by its ``requestId``."""


def without_none(params: Mapping[str, Any]) -> Dict[str, Any]:
    """The params that were given: on the wire what is absent is left out."""
    return {name: value for name, value in params.items() if value is not None}


def filtered(entity_types: Optional[Sequence[str]], **others: Any) -> Dict[str, Any]:
    """Params with a filter by type."""
    return without_none({"entityTypes": None if entity_types is None else list(entity_types), **others})


def milliseconds(seconds: float) -> int:
    """Seconds as the wire has them: whole milliseconds, at most a day."""
    return min(max(0, round(seconds * 1000)), 24 * 60 * 60 * 1000)
