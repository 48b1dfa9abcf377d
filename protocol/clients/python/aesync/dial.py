"""Opening the socket, and seeing that the other side has closed it."""

from __future__ import annotations

import select
import socket
import sys
from typing import Optional

from .errors import AesyncError, connect_error

FULL_QUEUE_SECONDS = 0.01
"""How long to wait before knocking again at a daemon whose queue of new connections is full."""

# Linux tells by the second one that the other side has only ended its writing; elsewhere the next read finds that out.
_HUNG_UP = select.POLLHUP | getattr(select, "POLLRDHUP", 0) if sys.platform != "win32" else 0


def dial(path: str) -> Optional[socket.socket]:
    """A connected socket that doesn't block; ``None`` when the daemon's queue of new connections is full. Raises :class:`AesyncError`."""
    if sys.platform == "win32":
        raise AesyncError("this package has no client for Windows' named pipes; use the Rust one")
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        opened.connect(path)
    except BlockingIOError:
        opened.close()
        return None
    except OSError as error:
        opened.close()
        raise connect_error(path, error) from error
    except BaseException:
        opened.close()
        raise
    return opened


def is_hung_up(descriptor: int) -> bool:
    """Whether the other side of a connected socket has closed it, without reading what it said before."""
    poll = select.poll()
    poll.register(descriptor, _HUNG_UP)
    return bool(poll.poll(0))
