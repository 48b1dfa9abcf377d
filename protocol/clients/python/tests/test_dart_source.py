"""The Dart client's wire against the golden lines. No Dart SDK is needed: it reads the source."""

from __future__ import annotations

import errno
import json
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Set

PROTOCOL = Path(__file__).resolve().parents[3]
SOURCES = sorted((PROTOCOL / "clients" / "dart" / "lib").rglob("*.dart"))
# What the documented client's answers hold: for the app, not from the wire; and columns of the server's tables.
DOCUMENTED = {"success", "updatedAt"}


def source(name: str) -> str:
    return next(path for path in SOURCES if path.name == name).read_text()


def golden(name: str) -> List[Dict[str, Any]]:
    return [json.loads(line) for line in (PROTOCOL / "tests" / "golden" / f"{name}.ndjson").read_text().splitlines()]


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


def test_every_method_it_calls_has_golden_params_of_these_names() -> None:
    params: Dict[str, Set[str]] = {}
    for request in golden("requests"):
        params.setdefault(request["method"], set()).update(request["params"])
    text = source("sync_client.dart")
    # A map of params in a variable is written in full on the line before.
    text = text.replace("call('records.list', params)", "call('records.list', {'entityType': 0, 'limit': 0, 'after': 0})")
    assert "final params = {'entityType': entityType, 'limit': 1000, if (after != null) 'after': after};" in text
    calls = re.findall(r"\.?call\(\s*'([^']+)',\s*\{(.*?)\}\s*[,)]", text, re.DOTALL)
    assert len(calls) == len(re.findall(r"\.call\(\s*'(?!\w+ ?\w*:| |\$)[\w.]+',", text)), "a call that this test does not see"
    assert {method for method, _ in calls} == {
        "push", "pull", "ping", "pullPending", "hello", "subscribe", "status", "auth.setToken", "records.list"
    }
    for method, given in calls:
        assert set(re.findall(r"'(\w+)':", given)) <= params[method], f"{method} {given}"


def test_it_says_who_it_is_with_the_fields_of_the_wire_and_the_version_of_the_package() -> None:
    client = re.search(r"_client = \{'(\w+)': .*, '(\w+)': .* \?\? 'aesync-dart/(.*)'\};", source("sync_client.dart"))
    assert client is not None
    hello = next(request for request in golden("requests") if request["method"] == "hello")
    assert {client.group(1), client.group(2)} == set(hello["params"]["client"])
    assert f"\nversion: {client.group(3)}\n" in (PROTOCOL / "clients" / "dart" / "pubspec.yaml").read_text()


def test_what_the_app_gave_is_called_where_its_exceptions_do_no_harm() -> None:
    text = source("sync_client.dart")
    calls = re.findall(r"on[A-Z]\w+\?\.call\(", text)
    assert len(calls) == 8 and len(re.findall(r"_tell\(\(\) => on[A-Z]\w+\?\.call\(", text)) == len(calls)
    assert "_tell(() => syncStatusNotifier.setStatus(status));" in text


def test_no_exception_ends_the_loop_that_connects_and_an_older_loop_gives_way() -> None:
    loop = source("sync_client.dart").split("_stayConnected(String token", 1)[1].split("\n  }\n", 1)[0]
    assert "on Object catch" in loop and "on DaemonError" not in loop
    assert loop.count("generation != _generation) break;") == 2 and "while (generation == _generation)" in loop


def test_a_socket_that_may_not_be_seen_counts_as_there() -> None:
    text = source("daemon_socket.dart")
    assert "on FileSystemException catch" in text and "FileSystemEntity.typeSync(system)" not in text
    codes = re.search(r"const noEntry = (\d+), notADirectory = (\d+);", text)
    assert codes is not None and [int(code) for code in codes.groups()] == [errno.ENOENT, errno.ENOTDIR]


def test_every_field_it_reads_is_on_the_wire() -> None:
    wire = set(keys([golden(name) for name in ("requests", "results", "events", "errors")]))
    for path in SOURCES:
        text = path.read_text().replace("Platform.environment['", "")
        read = set(re.findall(r"\['(\w+)'\]", text))
        assert read <= wire | DOCUMENTED, f"{path.name} reads {read - wire - DOCUMENTED}"


def test_a_notification_has_exactly_the_fields_of_the_wire_and_takes_no_optional_one_for_granted() -> None:
    hints = [line["params"]["notification"] for line in golden("events") if line["params"]["channel"] == "notification"]
    always, ever = set.intersection(*map(set, hints)), set().union(*hints)
    reads = dict(re.findall(r"json\['(\w+)'\] as (String\??)", source("sync_notification.dart")))
    assert set(reads) == ever
    assert {name for name, kind in reads.items() if kind == "String"} == always


def test_the_status_words_are_those_of_the_wire() -> None:
    words = re.search(r"enum SyncStatus \{ (.*?) \}", source("sync_status.dart"))
    assert words is not None
    reference = (PROTOCOL / "README.md").read_text()
    documented = re.search(r"`status` is one of ((?:`\w+`(?:, )?)+)", reference)
    assert documented is not None
    assert set(words.group(1).split(", ")) == set(re.findall(r"`(\w+)`", documented.group(1)))


def test_the_channels_it_subscribes_to_and_handles_are_those_of_the_wire() -> None:
    channels = {line["params"]["channel"] for line in golden("events")}
    text = source("sync_client.dart")
    subscribed = re.search(r"'channels': \[(.*?)\]", text)
    assert subscribed is not None
    asked = set(re.findall(r"'(\w+)'", subscribed.group(1)))
    assert asked == set(re.findall(r"params\['channel'\] == '(\w+)'", text)) and asked <= channels


def test_the_documented_names_are_there() -> None:
    text = "".join(path.read_text() for path in SOURCES)
    for name in ("class SyncClient", "enum SyncStatus", "class SyncNotification", "class SyncIndicatorWidget", "final syncStatusProvider"):
        assert name in text
    for name in ("onNotification", "onStatusChange", "onError", "onConnected", "onDisconnected"):
        assert re.search(rf"\)\? {name};", text), name
    for name in ("initialize", "pushChanges", "pullData", "pullPendingData", "updateSyncStatus", "ping", "disconnect"):
        assert re.search(rf"^  (?:Future<.*>|void) {name}\(", text, re.MULTILINE), name
    exported = source("aesync.dart")
    for path in SOURCES:
        assert path.name in ("aesync.dart", "daemon_socket.dart") or f"src/{path.name}" in exported


def test_the_brackets_of_every_file_are_balanced() -> None:
    pairs = {")": "(", "]": "[", "}": "{"}
    for path in SOURCES:
        bare = re.sub(r"//[^\n]*", "", path.read_text())
        bare = re.sub(r"\$\{[^}]*\}", "", bare)
        bare = re.sub(r"'(?:\\.|[^'\\\n])*'", "", bare)
        open_brackets: List[str] = []
        for letter in bare:
            if letter in "([{":
                open_brackets.append(letter)
            elif letter in pairs:
                assert open_brackets and open_brackets.pop() == pairs[letter], path.name
        assert not open_brackets, path.name
