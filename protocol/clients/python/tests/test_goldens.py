"""The types of this package against the protocol's golden lines, and the rule for the socket's path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Type, get_type_hints

import pytest

from aesync import DaemonError, EndpointError, Gone, locate, types
from aesync.events import parse_event
from aesync.resume import CHANNELS
from aesync.wire import Answer, EventLine, LineBuffer, parse_line

GOLDEN = Path(__file__).resolve().parents[3] / "tests" / "golden"
RESULTS: Dict[str, Type[Any]] = {
    "hello": types.Hello,
    "status": types.Status,
    "wait": types.WaitAnswer,
    "records.get": types.RecordAnswer,
    "records.list": types.RecordPage,
    "changes": types.ChangePage,
    "outbox.list": types.EntryPage,
    "outbox.edit": types.Entry,
    "pull": types.PullAnswer,
    "sync": types.SyncAnswer,
}


def lines(name: str) -> List[str]:
    return (GOLDEN / f"{name}.ndjson").read_text().splitlines()


def check(shape: Type[Any], value: Dict[str, Any]) -> None:
    required, known = shape.__required_keys__, get_type_hints(shape)
    assert set(value) <= set(known), f"{shape.__name__} does not name {set(value) - set(known)}"
    assert required <= set(value), f"{shape.__name__} takes for granted {required - set(value)}"


def test_the_types_name_every_field_of_the_golden_results_and_take_no_other_for_granted() -> None:
    methods = {json.loads(line)["id"]: json.loads(line)["method"] for line in lines("requests")}
    seen = set()
    for line in lines("results"):
        answer = parse_line(line.encode())
        assert isinstance(answer, Answer) and answer.id is not None
        method = methods[answer.id]
        seen.add(method)
        if method in RESULTS:
            check(RESULTS[method], answer.result)
        if method in ("changes", "outbox.list", "records.list", "push"):
            part, shape = {
                "changes": ("changes", types.ChangeRow),
                "outbox.list": ("entries", types.Entry),
                "records.list": ("records", types.ListedRecord),
                "push": ("entries", types.PushedEntry),
            }[method]
            for row in answer.result[part]:
                check(shape, row)
    assert set(RESULTS) <= seen


def test_every_golden_event_is_understood() -> None:
    seen = set()
    for line in lines("events"):
        message = parse_line(line.encode())
        assert isinstance(message, EventLine)
        channel = message.params["channel"]
        seen.add(channel)
        assert (parse_event(message.params) is None) == (channel in ("checkpoint", "gone"))
    assert set(CHANNELS) | {"checkpoint", "gone", "lagged"} == seen


def test_every_golden_error_has_its_code() -> None:
    for line in lines("errors"):
        answer = parse_line(line.encode())
        wire = json.loads(line)["error"]
        assert isinstance(answer, Answer) and isinstance(answer.error, DaemonError)
        assert answer.error.rpc_code == wire["code"] and answer.error.code == wire.get("data", {}).get("code")
        assert isinstance(answer.error, Gone) == (answer.error.code == "gone")


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_lines_come_out_whole_however_they_were_cut(size: int) -> None:
    text = "\n\r\n".join(lines("events")).encode() + b"\n"
    buffer, found = LineBuffer(), 0
    for start in range(0, len(text), size):
        buffer.feed(text[start : start + size])
        found += sum(1 for _ in buffer.messages())
    assert found == len(lines("events"))


def test_a_line_over_the_limit_is_refused_before_it_is_whole() -> None:
    buffer = LineBuffer(limit=10)
    buffer.feed(b"x" * 10)
    assert buffer.next_line() is None
    buffer.feed(b"x")
    with pytest.raises(Exception, match="longer than 10 bytes"):
        buffer.next_line()


@pytest.mark.parametrize(
    ("explicit", "socket", "runtime", "system", "expected"),
    [
        ("/a", "/b", "/run/user/7", True, "/a"),
        (None, "/b", "/run/user/7", True, "/b"),
        (None, "", "/run/user/7", True, "/run/aesyncd/aesyncd.sock"),
        (None, "", "/run/user/7", False, "/run/user/7/aesyncd/aesyncd.sock"),
        (None, "", "", False, "/run/aesyncd/aesyncd.sock"),
        (None, "", "relative", False, "/run/aesyncd/aesyncd.sock"),
    ],
)
def test_the_path_is_found_as_the_daemon_finds_it(explicit: Optional[str], socket: str, runtime: str, system: bool, expected: str) -> None:
    environ = {"AESYNC_SOCKET": socket, "XDG_RUNTIME_DIR": runtime}
    assert locate(explicit, None, environ, lambda path: system) == expected


def test_an_instance_has_its_own_socket_and_names_that_lead_elsewhere_are_refused() -> None:
    assert locate(None, "shop-2", {}, lambda path: True) == "/run/aesyncd/shop-2.sock"
    assert locate(None, "shop-2", {"AESYNC_SOCKET": "/b"}, lambda path: True) == "/run/aesyncd/shop-2.sock"
    for name in ("", "..", "a/b", "A", "aesyncd", "ü", "x" * 33):
        with pytest.raises(EndpointError):
            locate(None, name, {})
    with pytest.raises(EndpointError, match="108 bytes"):
        locate("/" + "x" * 107, None, {})
    with pytest.raises(EndpointError, match="empty"):
        locate("", None, {})
