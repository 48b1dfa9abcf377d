"""Which events a subscription has dealt with, and how it goes on after a loss. No input or output here: both clients share it."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

from .errors import AesyncError, DaemonError, Gone, ProtocolError, SocketDenied
from .events import Change, Connected, Event, Position, Reset, parse_event

CHANNELS = ("status", "notification", "change", "outbox", "progress")
MAX_GARBAGE = 3
"""So many connections in a row may end in garbage before the subscription gives up."""


class Resume:
    """The position of one subscription through all of its connections."""

    def __init__(
        self, channels: Sequence[str], entity_types: Optional[Sequence[str]], since: Optional[int], log: Optional[str]
    ) -> None:
        unknown = [channel for channel in channels if channel not in CHANNELS]
        if unknown or not channels:
            raise ValueError(f"channels must be some of {', '.join(CHANNELS)}, and not {unknown}")
        if "change" not in channels and (since is not None or log is not None):
            raise ValueError("a position needs the channel change")
        self._channels = list(channels)
        self._entity_types = None if entity_types is None else list(entity_types)
        self._since = since
        self._log = log
        self._refusal: Optional[str] = None
        self._garbage = 0
        self._moved = False

    @property
    def position(self) -> Optional[Position]:
        """After the last change or checkpoint; ``None`` before the first connection and without the channel ``change``."""
        if self._since is None or self._log is None:
            return None
        return Position(self._log, self._since)

    def params(self) -> Dict[str, Any]:
        """The params of the next ``subscribe``."""
        params: Dict[str, Any] = {"channels": self._channels}
        if self._entity_types is not None:
            params["entityTypes"] = self._entity_types
        if self._refusal is None and self._since is not None:
            params["since"] = self._since
            if self._log is not None:
                params["log"] = self._log
        return params

    def refused(self, gone: Gone) -> None:
        """The position can't be resumed: the next params take up the feed where it stands, and a :class:`Reset` says so."""
        if self._refusal is not None:
            raise ProtocolError("the daemon refuses a position that it was not given; check that both have matching versions") from gone
        self._refusal = gone.reason

    def accepted(self, answer: object) -> List[Event]:
        """What an answer to ``subscribe`` means to the app; see :meth:`told`."""
        if not isinstance(answer, dict) or not isinstance(answer.get("log"), str) or not isinstance(answer.get("seq"), int):
            raise ProtocolError("the answer to subscribe has no position; check that both have matching versions")
        log, seq = answer["log"], answer["seq"]
        connected = Connected(log, seq)
        if "change" not in self._channels:
            return [connected]
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            # First the reset, and the position only when it is told: whoever saves the position with an event must not pass it by.
            return [Reset(refusal, log, seq), connected]
        if self._since is None:
            self._since = seq
        self._log = log
        return [connected]

    def told(self, event: Event) -> Event:
        """To be said of each of those events when the app gets it: a reset is behind the position from then on."""
        if isinstance(event, Reset):
            self._since, self._log = event.seq, event.log
        return event

    def event(self, params: Dict[str, Any]) -> Optional[Event]:
        """The event for the app in an event line; ``None`` for a checkpoint, for a change that it has had, and for the end of a connection."""
        if params.get("channel") == "checkpoint":
            seq = params.get("seq")
            if not isinstance(seq, int):
                raise ProtocolError("a checkpoint of the daemon has no seq; check that both have matching versions")
            self._since = max(seq, self._since or 0)
            return None
        event = parse_event(params)
        if isinstance(event, Change):
            if self._since is not None and event.seq <= self._since:
                return None
            # Of all types there is each position. To connect again fetches what is missing.
            if self._since is not None and self._entity_types is None and event.seq != self._since + 1:
                raise ProtocolError(f"the change {event.seq} came after {self._since}; check that both have matching versions")
            self._since = event.seq
            self._moved = True
        return event

    def ended(self, steady: bool) -> bool:
        """Whether the connection that ended was a good one: it held for long (``steady``), or brought changes."""
        good, self._moved = steady or self._moved, False
        if good:
            self._garbage = 0
        return good

    def loaded(self, seq: int) -> None:
        """The app has listed the records as of ``seq``: changes up to there are behind it."""
        self._since = max(seq, self._since or 0)

    def is_final(self, error: AesyncError) -> bool:
        """Whether another attempt is pointless, and the app has to hear the error."""
        if isinstance(error, ProtocolError):
            self._garbage += 1
            return self._garbage >= MAX_GARBAGE
        if isinstance(error, DaemonError):
            return not error.retryable
        return isinstance(error, SocketDenied)
