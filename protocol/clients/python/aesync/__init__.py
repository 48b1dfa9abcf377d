"""A client for aesyncd: status, records and a gap-free change feed over its local socket.

:class:`Client` blocks, :class:`AsyncClient` is for asyncio; both have the same methods. See README.md.
"""

from .aio import AsyncClient
from .aio_subscription import AsyncSubscription
from .client import Client
from .endpoint import locate
from .errors import AesyncError, CallTimeout, ConnectionLost, DaemonError, EndpointError, Gone, NotRunning, ProtocolError, SocketDenied
from .events import Change, Connected, Disconnected, Event, Lagged, Notification, OutboxChanged, Position, Progress, Reset, StatusChanged
from .subscription import Subscription

__all__ = [
    "AesyncError",
    "AsyncClient",
    "AsyncSubscription",
    "CallTimeout",
    "Change",
    "Client",
    "Connected",
    "ConnectionLost",
    "DaemonError",
    "Disconnected",
    "EndpointError",
    "Event",
    "Gone",
    "Lagged",
    "NotRunning",
    "Notification",
    "OutboxChanged",
    "Position",
    "Progress",
    "ProtocolError",
    "Reset",
    "SocketDenied",
    "StatusChanged",
    "Subscription",
    "locate",
]
