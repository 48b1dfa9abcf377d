"""The clients against a real daemon and a development server."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from typing import Any, Dict, List, Tuple

import pytest

from aesync import AesyncError, AsyncClient, Change, Client, Connected, DaemonError, Disconnected, Event, Position, Reset, StatusChanged
from backend import PATIENCE, Daemon, Server

KILLS = 50
TYPE = "end_user"


def person(name: str) -> Dict[str, Any]:
    return {"id": str(uuid.uuid4()), "email": f"{name}-{uuid.uuid4()}@example.com", "name": name, "is_deleted": 0}


class Fold:
    """What the changes make of nothing."""

    def __init__(self) -> None:
        self.rows: Dict[str, Any] = {}
        self.seqs: List[int] = []
        self.losses = 0
        self.resets = 0

    def take(self, event: Event) -> None:
        if isinstance(event, Disconnected):
            self.losses += 1
        elif isinstance(event, Reset):
            self.resets += 1
        elif isinstance(event, Change):
            self.seqs.append(event.seq)
            if event.op == "delete":
                self.rows.pop(event.id, None)
            else:
                self.rows[event.id] = event.record


class Writer:
    """Changes rows here and on the server, through every crash of the daemon."""

    def __init__(self, daemon: Daemon, server: Server) -> None:
        self._daemon = daemon
        self._server = server
        self._ids: List[str] = []
        self.written = 0

    def write(self) -> None:
        number = self.written
        self.written += 1
        if number % 3 == 2:
            self._server.edit("insert", entityType=TYPE, row=person(f"elsewhere {number}"))
            return
        if number % 5 == 4:
            row = {"id": self._ids[number % len(self._ids)], "is_deleted": 1}
        else:
            row = person(f"here {number}")
            self._ids.append(str(row["id"]))
        request_id = f"write-{number}-{uuid.uuid4()}"
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with Client(self._daemon.socket) as client:
                    client.push({TYPE: [row]}, request_id=request_id)
                return
            except AesyncError as error:
                assert time.monotonic() < deadline and not isinstance(error, DaemonError), error


def crash_again_and_again(daemon: Daemon, server: Server, fold: Fold) -> None:
    """Kills the daemon in the midst of writes, each time after the subscriber has heard something new."""
    writer = Writer(daemon, server)
    stop = threading.Event()
    failures: List[BaseException] = []

    def write() -> None:
        try:
            while not stop.is_set():
                writer.write()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(KILLS):
            heard = len(fold.seqs)
            deadline = time.monotonic() + PATIENCE
            while len(fold.seqs) <= heard:
                assert time.monotonic() < deadline and not failures, f"nothing new was heard; {failures}"
                time.sleep(0.002)
            daemon.kill()
            daemon.start()
    finally:
        stop.set()
        thread.join()
    assert not failures, failures


def settled(daemon: Daemon) -> int:
    """Waits until the daemon has nothing more to do, and returns the last seq."""
    with Client(daemon.socket, timeout=PATIENCE) as client:
        assert client.wait("outboxEmpty", PATIENCE)["reached"]
        client.sync(timeout=PATIENCE)
        return client.status()["feed"]["lastSeq"]  # type: ignore[no-any-return]


def replica_and_feed(daemon: Daemon) -> Tuple[Dict[str, Any], List[int]]:
    with Client(daemon.socket, timeout=PATIENCE) as client:
        records, _ = client.load(TYPE)
        seqs: List[int] = []
        page = client.changes(0, limit=1000)
        while page["changes"]:
            seqs += [change["seq"] for change in page["changes"]]
            page = client.changes(page["next"], limit=1000)
        return {listed["record"]["id"]: listed["record"] for listed in records}, seqs


def check_exact(daemon: Daemon, fold: Fold) -> None:
    rows, seqs = replica_and_feed(daemon)
    assert fold.seqs == seqs, "each change once, in order"
    assert fold.rows == rows and rows
    assert fold.resets == 0 and fold.losses >= KILLS


def test_a_blocking_fold_is_exact_after_fifty_crashes(daemon: Daemon, server: Server) -> None:
    fold = Fold()
    events = Client(daemon.socket).subscribe(since=0)

    def follow() -> None:
        for event in events:
            fold.take(event)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        crash_again_and_again(daemon, server, fold)
        last = settled(daemon)
        deadline = time.monotonic() + PATIENCE
        while not fold.seqs or fold.seqs[-1] < last:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        events.close()
        thread.join()
    check_exact(daemon, fold)


def test_an_asyncio_fold_is_exact_after_fifty_crashes(daemon: Daemon, server: Server) -> None:
    fold = Fold()

    async def follow(events_until: "asyncio.Future[int]") -> None:
        async with AsyncClient(daemon.socket).subscribe(since=0) as events:
            while not events_until.done() or not fold.seqs or fold.seqs[-1] < events_until.result():
                event = await events.next_event(0.2)
                if event is not None:
                    fold.take(event)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        last: "asyncio.Future[int]" = loop.create_future()
        follower = asyncio.ensure_future(follow(last))
        try:
            await loop.run_in_executor(None, crash_again_and_again, daemon, server, fold)
            last.set_result(await loop.run_in_executor(None, settled, daemon))
            await asyncio.wait_for(follower, PATIENCE)
        finally:
            follower.cancel()

    asyncio.run(run())
    check_exact(daemon, fold)


def test_a_saved_position_goes_on_where_it_was(daemon: Daemon) -> None:
    with Client(daemon.socket) as client:
        client.push({TYPE: [person("one"), person("two")]})
        with client.subscribe(since=0) as events:
            first = next(event for event in events if isinstance(event, Change))
            position = events.position
        assert position is not None and position.seq == first.seq
        with client.subscribe(since=position.seq, log=position.log) as events:
            assert next(event for event in events if isinstance(event, Change)).seq > first.seq


def test_another_feed_is_a_reset_and_the_app_loads_and_goes_on(daemon: Daemon) -> None:
    with Client(daemon.socket) as client:
        client.push({TYPE: [person("one")]})
        with client.subscribe(since=1, log="another") as events:
            reset = next(events)
            assert isinstance(reset, Reset) and reset.reason == "log_changed"
            assert isinstance(next(events), Connected)
            records, seq = client.load(TYPE)
            events.loaded(seq)
            assert events.position == Position(reset.log, seq) and records
            pushed = client.push({TYPE: [person("two")]})
            while True:
                event = next(events)
                if isinstance(event, Change) and event.id == pushed[0]["id"]:
                    break


def test_the_first_status_is_a_snapshot_and_a_crash_is_told(daemon: Daemon) -> None:
    with Client(daemon.socket).subscribe(["status"]) as events:
        assert isinstance(next(events), Connected)
        snapshot = next(events)
        assert isinstance(snapshot, StatusChanged) and snapshot.status["feed"]["log"]
        daemon.kill()
        while not isinstance(next(events), Disconnected):
            pass
        daemon.start()
        assert isinstance(next(events), Connected) and isinstance(next(events), StatusChanged)


def test_the_daemon_shows_who_follows(daemon: Daemon) -> None:
    with Client(daemon.socket, name="notes", version="1.2.0") as client, client.subscribe() as events:
        assert isinstance(next(events), Connected)
        connected = client.call("clients")["clients"]
        assert [row["client"] for row in connected if "subscription" in row] == [{"name": "notes", "version": "1.2.0"}]


def test_every_method_of_both_clients_has_an_answer(daemon: Daemon) -> None:
    with Client(daemon.socket) as client:
        assert client.hello("tests", "1")["protocol"] == 1
        assert client.ping().endswith("Z")
        row = person("three")
        pushed = client.push({TYPE: [row]}, wait="acked", timeout=PATIENCE)
        assert pushed[0]["state"] in ("acked", "confirmed")
        assert client.get(TYPE, row["id"])["record"]["name"] == "three"
        assert client.list(TYPE, limit=1)["records"]
        assert client.changes(0, wait=1.0)["changes"]
        assert isinstance(client.outbox(limit=5)["entries"], list)
        assert TYPE in client.pull([TYPE])["types"] and "pushed" in client.sync()
        assert not client.wait("seq", 0.05, seq=10**9)["reached"]

    async def calls() -> None:
        async with AsyncClient(daemon.socket) as pipelined:
            assert (await pipelined.hello("tests", "1"))["protocol"] == 1
            answers = await asyncio.gather(pipelined.status(), pipelined.ping(), pipelined.get(TYPE, row["id"]), pipelined.load(TYPE))
            assert answers[2]["record"] in [listed["record"] for listed in answers[3][0]]
            assert (await pipelined.push({TYPE: [person("four")]}))[0]["state"] == "pending"
            assert (await pipelined.changes(0))["changes"] and (await pipelined.list(TYPE))["records"]
            assert "entries" in await pipelined.outbox() and "types" in await pipelined.pull() and "seq" in await pipelined.sync()
            assert (await pipelined.wait("online", PATIENCE))["reached"]

    asyncio.run(calls())


def test_a_refusal_of_the_daemon_is_an_error_with_its_code(daemon: Daemon) -> None:
    with Client(daemon.socket) as client:
        with pytest.raises(DaemonError) as raised:
            client.get(TYPE, "none")
        assert raised.value.code == "not_found" and not raised.value.retryable
        with pytest.raises(DaemonError) as raised:
            client.push({TYPE: [{"id": 7}]})
        assert raised.value.code == "invalid_entity" and raised.value.data["field"] == "id"
        with pytest.raises(DaemonError) as raised:
            client.call("status", {"verbose": True})
        assert raised.value.rpc_code == -32602 and raised.value.code is None
        assert client.ping()
