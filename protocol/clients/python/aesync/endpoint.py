"""Where the daemon's socket is: the same rule as the daemon's own (protocol/README.md, Transport)."""

from __future__ import annotations

import errno
import os
import sys
from typing import Callable, Mapping, Optional

from .errors import EndpointError

SYSTEM_DIR = "/run/aesyncd"
SOCKET_VARIABLE = "AESYNC_SOCKET"
MAX_PATH = 107
"""The longest socket path in bytes that every Unix takes."""
MAX_INSTANCE = 32
"""The longest name of an instance."""

_INSTANCE_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")


def is_there(path: str) -> bool:
    """Whether a file is there, as far as this user can tell.

    A directory that may not be entered holds a system socket that this user may not open: say that, rather than look elsewhere.
    """
    try:
        os.lstat(path)
    except OSError as error:
        return error.errno not in (errno.ENOENT, errno.ENOTDIR)
    return True


def locate(
    explicit: Optional[str] = None,
    instance: Optional[str] = None,
    environ: Optional[Mapping[str, str]] = None,
    present: Callable[[str], bool] = is_there,
) -> str:
    """The path at which to look for the daemon.

    The first of: ``explicit``; ``AESYNC_SOCKET``, unless ``instance`` is given; the system daemon's socket, if ``present`` says
    that it is there; the user daemon's. Empty variables count as unset. Raises :class:`EndpointError` for a path or a name that can't be used.
    """
    environment = os.environ if environ is None else environ
    name = _checked_instance(instance)
    if explicit is not None:
        return _checked_path(explicit)
    if instance is None and environment.get(SOCKET_VARIABLE):
        return _checked_path(environment[SOCKET_VARIABLE])
    if sys.platform == "win32":
        return r"\\.\pipe\aesyncd" if name == "aesyncd" else rf"\\.\pipe\aesyncd-{name}"
    system = f"{SYSTEM_DIR}/{name}.sock"
    runtime_dir = environment.get("XDG_RUNTIME_DIR", "")
    if runtime_dir.startswith("/") and not present(system):
        return _checked_path(f"{runtime_dir.rstrip('/')}/aesyncd/{name}.sock")
    return _checked_path(system)


def _checked_instance(instance: Optional[str]) -> str:
    """The stem of an instance's socket; the default instance's is ``aesyncd``."""
    if instance is None or instance == "default":
        return "aesyncd"
    if not 1 <= len(instance) <= MAX_INSTANCE or not set(instance) <= _INSTANCE_LETTERS or instance == "aesyncd":
        raise EndpointError(
            f"{instance[:64]!r} can't be the name of an instance: use 1 to {MAX_INSTANCE} of a-z, 0-9, - and _, and not aesyncd"
        )
    return instance


def _checked_path(path: str) -> str:
    if not path:
        raise EndpointError(f"the socket path is empty; give a path, or set {SOCKET_VARIABLE}, or leave it out")
    length = len(os.fsencode(path))
    if length > MAX_PATH and sys.platform != "win32":
        raise EndpointError(
            f"the socket path {path} is {length} bytes long, and the system allows {MAX_PATH}; choose a shorter one with {SOCKET_VARIABLE}"
        )
    return path
