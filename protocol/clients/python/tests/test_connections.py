"""How the clients come to a connection, when they leave it, and who they say they are."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import sys
import time
import threading
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import pytest

from aesync import AsyncClient, CallTimeout, Client, Connected, DaemonError, NotRunning, locate
from aesync import aio_connection, connection
from aesync.aio_subscription import AsyncSubscription
from aesync.dial import dial
from aesync.endpoint import is_there
from aesync.greeting import VERSION, Greeting
from aesync.resume import Resume
from aesync.subscription import Subscription
from scripted import Peer, Scripted

PATIENCE = 20.0


class Blocking:
    """A client of either kind, called from a test that blocks."""

    def __init__(self, path: str, **options: Any) -> None:
        self.client = Client(path, **options)

    def call(self, method: str) -> Any:
        return self.client.call(method)

    def close(self) -> None:
        self.client.close()


class InAsyncio:
    """Between two calls its event loop stands still, so that it can't have noticed what happened meanwhile."""

    def __init__(self, path: str, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self.client = AsyncClient(path, **options)

    def call(self, method: str) -> Any:
        return self._loop.run_until_complete(self.client.call(method))

    def close(self) -> None:
        self._loop.run_until_complete(self.client.close())
        self._loop.close()


@pytest.fixture(params=[Blocking, InAsyncio])
def connect(request: pytest.FixtureRequest) -> Any:
    clients: List[Any] = []

    def make(path: str, **options: Any) -> Any:
        clients.append(request.param(path, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def test_a_call_after_the_daemon_has_gone_goes_to_the_next_one_whatever_it_is(scripted: Scripted, connect: Callable[..., Any]) -> None:
    gone = threading.Event()

    def first(peer: Peer) -> None:
        peer.answer(peer.request(), {"time": "now"})
        peer.socket.shutdown(socket.SHUT_RDWR)
        gone.set()

    def second(peer: Peer) -> None:
        request = peer.request()
        assert request["method"] == "sync"
        peer.answer(request, {"pushed": 0})

    scripted.play(first, second)
    client = connect(scripted.path)
    client.call("ping")
    assert gone.wait(PATIENCE)
    assert client.call("sync") == {"pushed": 0}


@pytest.mark.parametrize("code", ["busy", "permission_denied", "too_large"])
def test_after_being_turned_away_the_next_call_knocks_again(scripted: Scripted, connect: Callable[..., Any], code: str) -> None:
    said = threading.Event()

    def first(peer: Peer) -> None:
        request = peer.request()
        # As the daemon does: a full house answers the call, a line too long can't be told to be any call's.
        peer.fail({"id": None} if code == "too_large" else request, code)
        peer.socket.shutdown(socket.SHUT_WR)
        said.set()
        peer.until_closed()

    def second(peer: Peer) -> None:
        peer.answer(peer.request(), {"pushed": 0})

    scripted.play(first, second)
    client = connect(scripted.path)
    with pytest.raises(DaemonError) as raised:
        client.call("sync")
    assert raised.value.code == code and said.wait(PATIENCE)
    assert client.call("sync") == {"pushed": 0}


def test_after_any_other_error_of_the_daemon_the_connection_is_kept(scripted: Scripted, connect: Callable[..., Any]) -> None:
    def scene(peer: Peer) -> None:
        peer.fail(peer.request(), "not_found")
        request = peer.request()
        peer.line({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32602, "message": "no such field"}})
        peer.answer(peer.request(), {})

    scripted.play(scene)
    client = connect(scripted.path)
    for _ in range(2):
        with pytest.raises(DaemonError):
            client.call("sync")
    assert client.call("sync") == {}


class FullHouse:
    """A listener whose queue of new connections is full."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.knocks = 0
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(1)
        self._waiting: List[socket.socket] = []
        while True:
            waiting = dial(path)
            if waiting is None:
                break
            self._waiting.append(waiting)

    def knock(self, path: str) -> Optional[socket.socket]:
        """Dials; after three knocks in vain there is room."""
        opened = dial(path)
        if opened is None:
            self.knocks += 1
            if self.knocks == 3:
                for _ in range(len(self._waiting)):
                    self._listener.accept()[0].close()
                threading.Thread(target=self._serve, daemon=True).start()
        return opened

    def _serve(self) -> None:
        peer = Peer(self._listener.accept()[0])
        peer.answer(peer.request(), {"time": "now"})
        peer.until_closed()
        peer.close()

    def close(self) -> None:
        for opened in (*self._waiting, self._listener):
            opened.close()


@pytest.fixture
def full(directory: Path) -> Any:
    house = FullHouse(str(directory / "s"))
    yield house
    house.close()


def test_a_full_queue_is_knocked_at_again_until_there_is_room(
    full: FullHouse, connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (connection, aio_connection):
        monkeypatch.setattr(module, "dial", full.knock)
    assert connect(full.path, timeout=PATIENCE).call("ping") == {"time": "now"}
    assert full.knocks >= 3


def test_a_queue_that_stays_full_is_given_up_at_the_deadline(full: FullHouse, connect: Callable[..., Any]) -> None:
    with pytest.raises(CallTimeout):
        connect(full.path, timeout=0.05).call("ping")


def test_closing_ends_the_iteration_while_the_queue_is_full(full: FullHouse) -> None:
    blocking = Subscription(full.path, Resume(["change"], None, 0, None), patience=3600.0)
    closer = threading.Timer(0.05, blocking.close)
    closer.start()
    assert list(blocking) == []
    closer.join()

    async def follow() -> None:
        events = AsyncSubscription(full.path, Resume(["change"], None, 0, None), patience=3600.0)
        waiting = asyncio.ensure_future(events.next_event())
        await asyncio.sleep(0.05)
        await events.close()
        assert await asyncio.wait_for(waiting, PATIENCE) is None

    asyncio.run(follow())


def test_closing_ends_the_iteration_while_the_daemon_has_not_answered(scripted: Scripted) -> None:
    asked = threading.Event()

    def scene(peer: Peer) -> None:
        peer.whatever()
        asked.set()
        peer.until_closed()

    async def follow() -> None:
        events = AsyncSubscription(scripted.path, Resume(["change"], None, 0, None), patience=3600.0)
        waiting = asyncio.ensure_future(events.next_event())
        await asyncio.get_running_loop().run_in_executor(None, asked.wait, PATIENCE)
        await events.close()
        assert await asyncio.wait_for(waiting, PATIENCE) is None

    scripted.play(scene)
    asyncio.run(follow())


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_subscription_says_who_it_is(scripted: Scripted, kind: Any) -> None:
    greetings: List[Dict[str, Any]] = []

    def scene(peer: Peer) -> None:
        peer.subscribed()
        greetings.extend(peer.greetings)

    async def first(events: Any) -> Any:
        async with events:
            return await events.__anext__()

    scripted.play(scene, scene)
    named: Dict[str, Any] = {"name": "notes", "version": "1.2.0"}
    for options in ({}, named):
        if kind is Client:
            with Client(scripted.path, **options).subscribe() as events:
                assert isinstance(next(events), Connected)
        else:

            async def follow(options: Dict[str, Any] = options) -> None:
                assert isinstance(await first(AsyncClient(scripted.path, **options).subscribe()), Connected)

            asyncio.run(follow())
    # The daemon's side notes them once it has answered, which the client does not wait for.
    deadline = time.monotonic() + 10
    while len(greetings) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    program = {"name": os.path.basename(os.path.dirname(sys.argv[0]) if "__main__" in sys.argv[0] else sys.argv[0])}
    assert [greeting["client"] for greeting in greetings] == [
        {**program, "version": f"aesync-python/{VERSION}"},
        {"name": "notes", "version": "1.2.0"},
    ]
    assert all(greeting["protocol"] == 1 for greeting in greetings)


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["/opt/notes.py"], "notes.py"),
        (["/opt/notes/__main__.py", "x"], "notes"),
        (["-c"], "python"),
        ([""], "python"),
        ([], "python"),
        (["/opt/n\udcff"], "n\ufffd"),
    ],
)
def test_without_a_name_it_is_the_programs(argv: List[str], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    assert Greeting().params()["client"]["name"] == name


def test_the_version_is_the_packages() -> None:
    project = (Path(__file__).resolve().parents[1] / "pyproject.toml").read_text()
    assert re.findall(r'^version = "(.*)"$', project, re.MULTILINE) == [VERSION]


def test_a_socket_that_may_not_be_seen_counts_as_there(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = directory / "file"
    file.write_text("")
    assert is_there(str(file)) and not is_there(str(directory / "none")) and not is_there(str(file / "below"))

    def denied(path: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "lstat", denied)
    assert locate(None, None, {"XDG_RUNTIME_DIR": "/run/user/7"}) == "/run/aesyncd/aesyncd.sock"


def test_nobody_there_is_told_at_once_however_long_it_may_take(directory: Path, connect: Callable[..., Any]) -> None:
    with pytest.raises(NotRunning):
        connect(str(directory / "none"), timeout=3600.0).call("ping")
