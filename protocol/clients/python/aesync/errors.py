"""What can go wrong between an app and the daemon. All of it is an :class:`AesyncError`."""

from __future__ import annotations

import errno
from typing import Any, Mapping, Optional


class AesyncError(Exception):
    """Why a call has no result."""


class EndpointError(AesyncError):
    """There is no usable socket path."""


class NotRunning(AesyncError):
    """Nobody listens there."""


class SocketDenied(AesyncError):
    """This user may not open the socket."""


class ConnectionLost(AesyncError):
    """The connection ended before the call was answered. The daemon may or may not have carried the call out."""


class CallTimeout(AesyncError):
    """No answer in time. The daemon may still carry the call out."""


class ProtocolError(AesyncError):
    """The other side does not speak this protocol."""


class DaemonError(AesyncError):
    """The daemon's own error."""

    def __init__(self, message: str, rpc_code: int, data: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.rpc_code = rpc_code
        """JSON-RPC's number; -32000 for all but errors of the protocol."""
        self.data = data
        """Everything that the daemon sent beside the message."""

    @property
    def code(self) -> Optional[str]:
        """The stable code, such as ``offline``; ``None`` for errors of the protocol."""
        code = self.data.get("code")
        return code if isinstance(code, str) else None

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later without anything being changed."""
        return self.data.get("retryable") is True

    @property
    def hint(self) -> Optional[str]:
        """What to do next."""
        hint = self.data.get("hint")
        return hint if isinstance(hint, str) else None

    def __str__(self) -> str:
        return f"{self.args[0]}; {self.hint}" if self.hint else str(self.args[0])


class Gone(DaemonError):
    """A position in the feed that can't be resumed; a subscription turns it into a :class:`aesync.Reset`."""

    @property
    def reason(self) -> str:
        """``trimmed`` or ``log_changed``."""
        return str(self.data.get("reason", "trimmed"))


def daemon_error(error: object) -> DaemonError:
    """The exception for an error object of the wire."""
    if not isinstance(error, dict):
        error = {}
    data = error.get("data")
    data = data if isinstance(data, dict) else {}
    rpc_code = error.get("code")
    kind = Gone if data.get("code") == "gone" else DaemonError
    return kind(str(error.get("message", "the daemon gave no message")), rpc_code if isinstance(rpc_code, int) else -32603, data)


def connect_error(path: str, error: OSError) -> AesyncError:
    """The exception for a connection that could not be made."""
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
        return NotRunning(f"aesyncd is not running: nothing answers at {path}; start it, or run `aesyncd`")
    if error.errno in (errno.EACCES, errno.EPERM):
        return SocketDenied(f"this user may not open {path}; join the socket's group and sign in again, or ask its administrator")
    return ConnectionLost(f"connecting to {path} failed: {error}; check the path that `aectl socket-path` prints")


def not_taken(path: str, timeout: float) -> CallTimeout:
    """The exception for a daemon whose queue of new connections stayed full."""
    return CallTimeout(f"aesyncd at {path} did not take the connection within {timeout:g} s; try again")


def lost(path: str, error: Optional[OSError] = None) -> ConnectionLost:
    """The exception for a connection that ended."""
    why = f" ({error})" if error else ""
    return ConnectionLost(f"aesyncd closed the connection at {path}{why} before it answered; it may be restarting: try again")
