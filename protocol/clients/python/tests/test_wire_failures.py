"""What both clients make of a daemon that breaks off, stutters, lies or says nothing."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Callable, List, Optional, Tuple

import pytest

from aesync import AsyncClient, CallTimeout, Change, Client, Connected, ConnectionLost, DaemonError, Disconnected, Event, Gone
from aesync import Lagged, Notification, NotRunning, Position, ProtocolError, Reset
from aesync.aio_subscription import AsyncSubscription
from aesync.resume import Resume
from aesync.subscription import Subscription
from scripted import Peer, Scripted, change_line

Outcome = Tuple[List[Event], Optional[Position]]
Options = Any


def blocking(path: str, count: int, options: Options, quiet: float) -> Outcome:
    with Subscription(path, Resume(**options), quiet=quiet, patience=quiet) as events:
        return [next(events) for _ in range(count)], events.position


def in_asyncio(path: str, count: int, options: Options, quiet: float) -> Outcome:
    async def follow() -> Outcome:
        async with AsyncSubscription(path, Resume(**options), quiet=quiet, patience=quiet) as events:
            return [await events.__anext__() for _ in range(count)], events.position

    return asyncio.run(follow())


@pytest.fixture(params=[blocking, in_asyncio])
def follow(request: pytest.FixtureRequest) -> Callable[..., Outcome]:
    def run(
        scripted: Scripted, count: int, *, since: Optional[int] = 0, log: Optional[str] = None, quiet: float = 10.0, **options: Any
    ) -> Outcome:
        options.setdefault("channels", ["change"])
        options.setdefault("entity_types", None)
        outcome: Outcome = request.param(scripted.path, count, {"since": since, "log": log, **options}, quiet)
        return outcome

    return run


def seqs(events: List[Event]) -> List[int]:
    return [event.seq for event in events if isinstance(event, Change)]


def test_a_line_torn_by_a_crash_is_read_whole_after_the_resume(scripted: Scripted, follow: Callable[..., Outcome]) -> None:
    def first(peer: Peer) -> None:
        assert peer.subscribed(seq=3) == {"channels": ["change"], "since": 0}
        peer.change(1)
        peer.raw(change_line(2)[:40])

    def second(peer: Peer) -> None:
        assert peer.subscribed(seq=3) == {"channels": ["change"], "since": 1, "log": "a"}
        peer.change(2)
        peer.change(3)

    scripted.play(first, second)
    events, position = follow(scripted, 6)
    assert [type(event) for event in events] == [Connected, Change, Disconnected, Connected, Change, Change]
    assert seqs(events) == [1, 2, 3] and position == Position("a", 3)


def test_a_change_that_comes_again_is_not_given_out_again(scripted: Scripted, follow: Callable[..., Outcome]) -> None:
    def first(peer: Peer) -> None:
        peer.subscribed()
        for seq in (5, 5, 4, 6):
            peer.change(seq)

    def second(peer: Peer) -> None:
        peer.subscribed()
        for seq in (5, 6, 7):
            peer.change(seq)

    scripted.play(first, second)
    assert seqs(follow(scripted, 6, since=4)[0]) == [5, 6, 7]


def test_a_missing_change_costs_the_connection_and_is_fetched_by_the_next_one(scripted: Scripted, follow: Callable[..., Outcome]) -> None:
    def first(peer: Peer) -> None:
        peer.subscribed()
        peer.change(1)
        peer.change(3)
        peer.until_closed()

    def second(peer: Peer) -> None:
        assert peer.subscribed()["since"] == 1
        peer.change(2)
        peer.change(3)

    scripted.play(first, second)
    events, _ = follow(scripted, 6)
    assert [type(event) for event in events] == [Connected, Change, Disconnected, Connected, Change, Change]
    assert seqs(events) == [1, 2, 3]


def test_of_some_types_there_may_be_gaps(scripted: Scripted, follow: Callable[..., Outcome]) -> None:
    def scene(peer: Peer) -> None:
        peer.subscribed()
        for seq in (2, 7):
            peer.change(seq)

    scripted.play(scene)
    assert seqs(follow(scripted, 3, entity_types=["t"])[0]) == [2, 7]


def test_a_checkpoint_moves_the_position_that_is_resumed(scripted: Scripted, follow: Callable[..., Outcome]) -> None:
    def first(peer: Peer) -> None:
        assert peer.subscribed() == {"channels": ["change"], "entityTypes": ["t"], "since": 0}
        peer.event("checkpoint", seq=1000)

    def second(peer: Peer) -> None:
        assert peer.subscribed() == {"channels": ["change"], "entityTypes": ["t"], "since": 1000, "log": "a"}
        peer.change(1001)

    scripted.play(first, second)
    events, position = follow(scripted, 4, entity_types=["t"])
    assert seqs(events) == [1001] and position == Position("a", 1001)


@pytest.mark.parametrize("reason", ["trimmed", "log_changed"])
def test_a_feed_that_is_gone_is_told_as_a_reset(scripted: Scripted, follow: Callable[..., Outcome], reason: str) -> None:
    def scene(peer: Peer) -> None:
        request = peer.request()
        assert request["params"] == {"channels": ["change"], "since": 3, "log": "old"}
        peer.fail(request, "gone", reason=reason, log="a", firstSeq=90)
        assert peer.subscribed(seq=100) == {"channels": ["change"]}
        peer.change(100)
        peer.change(101)

    scripted.play(scene)
    events, position = follow(scripted, 3, since=3, log="old")
    assert events[:2] == [Reset(reason, "a", 100), Connected("a", 100)]
    assert seqs(events) == [101] and position == Position("a", 101)


def test_a_reset_is_told_even_when_the_connection_is_lost_before_the_feed_is_taken_up_again(
    scripted: Scripted, follow: Callable[..., Outcome]
) -> None:
    def first(peer: Peer) -> None:
        peer.fail(peer.request(), "gone", reason="trimmed", log="a", firstSeq=9)

    def second(peer: Peer) -> None:
        assert peer.subscribed(seq=20) == {"channels": ["change"]}

    scripted.play(first, second)
    events, _ = follow(scripted, 3, since=3, log="a")
    assert isinstance(events[0], Disconnected)
    assert events[1:] == [Reset("trimmed", "a", 20), Connected("a", 20)]


def test_a_position_saved_after_each_event_never_passes_a_reset_by(scripted: Scripted) -> None:
    def scene(peer: Peer) -> None:
        peer.fail(peer.request(), "gone", reason="trimmed", log="b", firstSeq=9)
        peer.subscribed(log="b", seq=20)
        peer.until_closed()

    scripted.play(scene, scene)
    with Client(scripted.path).subscribe(since=3, log="a") as events:
        first = next(events)
        assert isinstance(first, Reset) and events.position == Position("b", 20)

    async def follow() -> None:
        async with AsyncClient(scripted.path).subscribe(since=3, log="a") as events:
            assert isinstance(await events.__anext__(), Reset) and events.position == Position("b", 20)

    asyncio.run(follow())


def test_a_reset_that_the_app_has_not_got_is_not_behind_the_position() -> None:
    resume = Resume(["change"], None, 3, "a")
    resume.refused(Gone("it is gone", -32000, {"code": "gone", "reason": "trimmed"}))
    reset, connected = resume.accepted({"log": "b", "seq": 20})
    assert resume.position == Position("a", 3)
    assert resume.told(reset) == Reset("trimmed", "b", 20) and resume.position == Position("b", 20)
    assert resume.told(connected) == Connected("b", 20) and resume.position == Position("b", 20)


def test_changes_that_a_listing_has_already_are_passed_over(scripted: Scripted) -> None:
    def scene(peer: Peer) -> None:
        peer.fail(peer.request(), "gone", reason="trimmed", log="a", firstSeq=9)
        peer.subscribed(seq=20)
        for seq in (21, 22, 23):
            peer.change(seq)

    scripted.play(scene)
    with Client(scripted.path).subscribe(since=0) as events:
        assert isinstance(next(events), Reset)
        events.loaded(22)
        assert isinstance(next(events), Connected)
        assert seqs([next(events)]) == [23]


def test_garbage_costs_a_connection_and_no_change(scripted: Scripted, follow: Callable[..., Outcome]) -> None:
    def first(peer: Peer) -> None:
        peer.subscribed()
        peer.change(1)
        peer.raw(b"\xff\xfe garbage\n")
        peer.change(2)

    def second(peer: Peer) -> None:
        assert peer.subscribed()["since"] == 1
        peer.change(2)

    scripted.play(first, second)
    events, _ = follow(scripted, 5)
    assert seqs(events) == [1, 2]
    lost = events[2]
    assert isinstance(lost, Disconnected) and isinstance(lost.error, ProtocolError)


@pytest.mark.parametrize("garbage", [b"[]\n", b"{}\n", b'{"jsonrpc":"2.0","id":"x","result":{}}\n', b"[" * 100_000 + b"\n"])
def test_nothing_but_garbage_three_times_is_an_error(scripted: Scripted, follow: Callable[..., Outcome], garbage: bytes) -> None:
    def scene(peer: Peer) -> None:
        peer.request()
        peer.raw(garbage)

    scripted.play(scene, scene, scene)
    with pytest.raises(ProtocolError):
        follow(scripted, 2)


def test_an_error_that_no_retry_mends_ends_the_subscription(scripted: Scripted, follow: Callable[..., Outcome]) -> None:
    scripted.play(lambda peer: peer.fail(peer.request(), "permission_denied"))
    with pytest.raises(DaemonError) as raised:
        follow(scripted, 1)
    assert raised.value.code == "permission_denied"


def test_a_full_daemon_is_tried_again(scripted: Scripted, follow: Callable[..., Outcome]) -> None:
    def full(peer: Peer) -> None:
        error = {"code": -32000, "message": "too many connections", "data": {"code": "busy", "retryable": True}}
        peer.line({"jsonrpc": "2.0", "id": None, "error": error})

    def free(peer: Peer) -> None:
        peer.subscribed()
        peer.change(1)

    scripted.play(full, full, free)
    events, _ = follow(scripted, 3)
    assert [type(event) for event in events] == [Disconnected, Connected, Change]


def test_a_daemon_that_says_nothing_any_more_counts_as_lost(scripted: Scripted, follow: Callable[..., Outcome]) -> None:
    def hung(peer: Peer) -> None:
        peer.subscribed()
        assert peer.request()["method"] == "ping"
        peer.until_closed()

    def quiet(peer: Peer) -> None:
        peer.subscribed()
        peer.answer(peer.request(), {"time": "2026-01-31T12:00:00.000Z"})
        peer.answer(peer.request(), {"time": "2026-01-31T12:00:00.000Z"})
        peer.change(1)

    scripted.play(hung, quiet)
    events, _ = follow(scripted, 4, quiet=0.2)
    assert [type(event) for event in events] == [Connected, Disconnected, Connected, Change]


def test_events_arrive_a_byte_at_a_time_and_several_at_once(scripted: Scripted, follow: Callable[..., Outcome]) -> None:
    def scene(peer: Peer) -> None:
        peer.subscribed()
        for byte in change_line(1) + b"\r\n\n":
            peer.raw(bytes([byte]))
        peer.raw(b"".join(change_line(seq) for seq in range(2, 50)))

    scripted.play(scene)
    assert seqs(follow(scripted, 50)[0]) == list(range(1, 50))


def test_unknown_channels_fields_and_notifications_are_passed_over(scripted: Scripted, follow: Callable[..., Outcome]) -> None:
    def scene(peer: Peer) -> None:
        peer.subscribed()
        peer.event("weather", sun=True)
        peer.line({"jsonrpc": "2.0", "method": "later", "params": {}})
        peer.event("lagged", dropped=3, since="noon")
        hint = {"type": "data_available", "entityType": "t", "message": "New data", "timestamp": "2026-01-31T12:00:00.000Z"}
        peer.event("notification", notification={**hint, "urgent": True})

    scripted.play(scene)
    events, _ = follow(scripted, 3, channels=["notification"], since=None)
    assert events[1:] == [Lagged(3), Notification("data_available", "t", None, "New data", "2026-01-31T12:00:00.000Z")]


def test_a_slow_reader_loses_nothing_and_holds_little(scripted: Scripted) -> None:
    count = 20_000
    sent = threading.Event()

    def scene(peer: Peer) -> None:
        peer.subscribed()
        for seq in range(1, count + 1):
            peer.change(seq)
        sent.set()

    async def follow() -> None:
        async with AsyncClient(scripted.path).subscribe(since=0) as events:
            await events.__anext__()
            connection, before = events._connection, -1
            assert connection is not None
            # Until nothing more comes by itself.
            while before != connection._bytes or before < 1024 * 1024:
                before = connection._bytes
                await asyncio.sleep(0.2)
            assert connection._bytes < 2 * 1024 * 1024
            assert not sent.is_set(), "the reader took everything at once"
            assert [seqs([await events.__anext__()])[0] for _ in range(count)] == list(range(1, count + 1))

    scripted.play(scene)
    asyncio.run(follow())


def test_cancelling_a_wait_loses_no_event(scripted: Scripted) -> None:
    go = threading.Event()

    def scene(peer: Peer) -> None:
        peer.subscribed()
        assert go.wait(20)
        for seq in range(1, 201):
            peer.change(seq)

    async def follow() -> None:
        seen: List[int] = []
        async with AsyncClient(scripted.path).subscribe(since=0) as events:
            await events.__anext__()
            go.set()
            while len(seen) < 200:
                task = asyncio.ensure_future(events.next_event())
                await asyncio.sleep(0)
                task.cancel()
                try:
                    event = await task
                except asyncio.CancelledError:
                    event = await events.next_event(0.001)
                if event is not None:
                    seen += seqs([event])
        assert seen == list(range(1, 201))

    scripted.play(scene)
    asyncio.run(follow())


def test_pipelined_answers_find_their_calls_in_any_order(scripted: Scripted) -> None:
    def scene(peer: Peer) -> None:
        requests = [peer.request() for _ in range(50)]
        for request in reversed(requests):
            peer.answer(request, {"time": request["params"]["n"]})

    async def calls() -> None:
        async with AsyncClient(scripted.path) as client:
            answers = await asyncio.gather(*(client.call("ping", {"n": n}) for n in range(50)))
            assert [answer["time"] for answer in answers] == list(range(50))

    scripted.play(scene)
    asyncio.run(calls())


def test_more_calls_than_may_be_in_flight_wait_for_their_turn(scripted: Scripted) -> None:
    def scene(peer: Peer) -> None:
        first = [peer.request() for _ in range(64)]
        peer.socket.settimeout(0.2)
        with pytest.raises(OSError):
            peer.socket.recv(1, 2)  # MSG_PEEK
        peer.socket.settimeout(20)
        for request in first:
            peer.answer(request, {})
        for _ in range(36):
            request = peer.request()
            peer.answer(request, {})

    async def calls() -> None:
        async with AsyncClient(scripted.path) as client:
            await asyncio.gather(*(client.call("ping") for _ in range(100)))

    scripted.play(scene)
    asyncio.run(calls())


def test_a_call_without_an_answer_ends_at_its_deadline(scripted: Scripted) -> None:
    scripted.play(Peer.until_closed, Peer.until_closed)
    with Client(scripted.path, timeout=0.2) as client, pytest.raises(CallTimeout):
        client.status()

    async def calls() -> None:
        async with AsyncClient(scripted.path, timeout=0.2) as pipelined:
            with pytest.raises(CallTimeout):
                await pipelined.status()

    asyncio.run(calls())


def test_a_late_answer_is_not_taken_for_the_next_calls(scripted: Scripted) -> None:
    def scene(peer: Peer) -> None:
        late = peer.request()
        now = peer.request()
        peer.answer(late, {"time": "late"})
        peer.answer(now, {"time": "now"})

    async def calls() -> None:
        async with AsyncClient(scripted.path) as client:
            with pytest.raises(CallTimeout):
                await client.call("ping", timeout=0.1)
            assert await client.ping() == "now"

    scripted.play(scene)
    asyncio.run(calls())


def test_reads_and_pushes_are_repeated_on_a_new_connection_and_nothing_else_is(scripted: Scripted) -> None:
    asked: List[Any] = []

    def once(peer: Peer) -> None:
        peer.answer(peer.request(), {"time": "now"})
        asked.append(peer.request())

    def again(peer: Peer) -> None:
        asked.append(peer.request())
        peer.answer(asked[-1], {"entries": []})
        asked.append(peer.request())

    scripted.play(once, again)
    with Client(scripted.path) as client:
        client.ping()
        assert client.push({"t": [{}]}) == []
        assert asked[0]["params"] == asked[1]["params"] and asked[0]["params"]["requestId"]
        with pytest.raises(ConnectionLost):
            client.sync()
    assert [request["method"] for request in asked] == ["push", "push", "sync"]


def test_nobody_there_is_said_so(scripted: Scripted) -> None:
    with pytest.raises(NotRunning):
        Client(scripted.path).ping()

    async def call() -> None:
        with pytest.raises(NotRunning):
            await AsyncClient(scripted.path).ping()

    asyncio.run(call())
    with Client(scripted.path).subscribe() as events:
        away = events.next_event()
        assert isinstance(away, Disconnected) and isinstance(away.error, NotRunning)
        assert events.next_event(0.2) is None


def test_closing_from_another_thread_ends_the_iteration(scripted: Scripted) -> None:
    def scene(peer: Peer) -> None:
        peer.subscribed()
        peer.until_closed()

    scripted.play(scene)
    events = Client(scripted.path).subscribe()
    assert isinstance(next(events), Connected)
    closer = threading.Timer(0.1, events.close)
    closer.start()
    assert list(events) == []
    closer.join()
