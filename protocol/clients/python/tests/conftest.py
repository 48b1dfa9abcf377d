"""Fixtures: a signed-in daemon, and sockets whose other side is a script."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Iterator

import pytest

from backend import Daemon, Server
from scripted import Scripted


@pytest.fixture
def directory() -> Iterator[Path]:
    """Short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="aesync-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def daemon(directory: Path, server: Server) -> Iterator[Daemon]:
    daemon = Daemon(directory, server.said["url"])
    try:
        daemon.login()
        yield daemon
    finally:
        daemon.kill()


@pytest.fixture
def scripted(directory: Path) -> Iterator[Scripted]:
    scripted = Scripted(str(directory / "s"))
    yield scripted
    scripted.close()
