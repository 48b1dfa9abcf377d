"""The README's example and the example apps, run as they stand there."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Dict, Iterator, List

import pytest

from aesync import Client
from backend import PATIENCE, Daemon, Server, until

CLIENT = Path(__file__).resolve().parents[1]
EXAMPLES = CLIENT.parents[1] / "examples"


def environment(daemon: Daemon) -> Dict[str, str]:
    return {**os.environ, "AESYNC_SOCKET": daemon.socket, "PYTHONPATH": str(CLIENT)}


def run(daemon: Daemon, *command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, env=environment(daemon), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def said(daemon: Daemon, *command: str) -> str:
    done = run(daemon, *command)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Running:
    """A program that goes on until the test ends it; its output goes to a file."""

    def __init__(self, daemon: Daemon, directory: Path, *command: str) -> None:
        self._output = directory / "output"
        with self._output.open("wb") as output:
            # A session of its own, so that a pipeline ends as a whole.
            self._child = subprocess.Popen(command, env=environment(daemon), stdin=subprocess.DEVNULL, stdout=output, start_new_session=True)

    def text(self) -> str:
        return self._output.read_text()

    def stop(self) -> None:
        os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait(PATIENCE)


@pytest.fixture
def running(daemon: Daemon, directory: Path) -> Iterator[List[Running]]:
    programs: List[Running] = []
    yield programs
    for program in programs:
        program.stop()


def test_the_readmes_example_is_ten_lines_and_runs_as_it_stands(daemon: Daemon, directory: Path, running: List[Running]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (CLIENT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 1 and len([line for line in blocks[0].splitlines() if line]) <= 10
    # It follows the feed until somebody ends it.
    example = Running(daemon, directory, sys.executable, "-u", "-W", "error", "-c", blocks[0])
    running.append(example)
    until("its own change", lambda: re.search("^upsert end_user [0-9a-f-]{36}$", example.text(), re.MULTILINE) is not None)
    assert re.match("status: (synced|syncing|pending)\n", example.text())


@pytest.mark.skipif("FOLLOW_EXAMPLE" not in os.environ, reason="FOLLOW_EXAMPLE does not name the built Rust example")
def test_the_rust_example_follows_until_its_own_change_comes_by(daemon: Daemon) -> None:
    lines = said(daemon, os.environ["FOLLOW_EXAMPLE"]).splitlines()
    assert re.fullmatch("status: (synced|syncing|pending)", lines[0])
    assert re.fullmatch("Upsert end_user [0-9a-f-]{36}", lines[-1])


def test_notes_are_taken_offline_and_sent_later(directory: Path) -> None:
    server = Server()
    daemon = Daemon(directory, server.said["url"])
    try:
        daemon.login()
        server.signal(signal.SIGSTOP)
        notes = [sys.executable, str(EXAMPLES / "notes" / "notes.py")]
        added = said(daemon, *notes, "add", "Call back", "Ask for the invoice")
        id, _, rest = added.partition("  ")
        assert rest == "waits  Call back\n"
        assert said(daemon, *notes, "list") == added
        assert said(daemon, *notes, "show", id) == "Call back\n\nAsk for the invoice\n"
        said(daemon, *notes, "add", "Second thoughts")
        second = said(daemon, *notes, "list").splitlines()[1].split()[0]
        said(daemon, *notes, "delete", second)
        assert said(daemon, *notes, "list") == added
        missing = run(daemon, *notes, "show", "zz")
        assert missing.returncode == 1 and "0 notes" in missing.stderr
        server.signal(signal.SIGCONT)
        until("the note on the server", lambda: "sent   Call back" in said(daemon, *notes, "list"))
        daemon.kill()
        away = run(daemon, *notes, "list")
        assert away.returncode == 1 and "aesyncd is not running" in away.stderr and "Traceback" not in away.stderr
    finally:
        server.signal(signal.SIGCONT)
        daemon.kill()
        server.stop()


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_live_table_follows_this_machine_and_others_through_a_restart(
    daemon: Daemon, server: Server, directory: Path, running: List[Running]
) -> None:
    table = Running(daemon, directory, "node", str(EXAMPLES / "table" / "table.mjs"), "end_user", "name", "email")
    running.append(table)
    name = f"here {uuid.uuid4()}"
    with Client(daemon.socket) as client:
        client.push({"end_user": [{"email": f"{uuid.uuid4()}@example.com", "name": name, "is_deleted": 0}]})
    until("the row of this machine", lambda: name in table.text())
    daemon.kill()
    until("the table to say so", lambda: "the daemon is away" in table.text())
    daemon.start()
    other = f"elsewhere {uuid.uuid4()}"
    server.edit("insert", entityType="end_user", row={"email": f"{uuid.uuid4()}@example.com", "name": other, "is_deleted": 0})
    until("the row of another machine", lambda: other in table.text())
    last = table.text().split("\n\n")
    whole = [state for state in last if other in state][0]
    assert name in whole and whole.count(other) == 1 and "live" in whole


@pytest.mark.skipif(
    os.environ.get("CI") != "true" and (shutil.which("nc") is None or shutil.which("jq") is None), reason="nc or jq is not installed"
)
def test_a_shell_reads_the_status_pushes_and_follows(daemon: Daemon, directory: Path, running: List[Running]) -> None:
    script = str(EXAMPLES / "shell" / "sync.sh")
    assert re.fullmatch(r"(synced|syncing|pending), \d+ waiting, \d+ records\n", said(daemon, script, "status"))
    follower = Running(daemon, directory, script, "changes", "0")
    running.append(follower)
    row = json.dumps({"email": f"{uuid.uuid4()}@example.com", "name": "it's \"quoted\""})
    state, id = said(daemon, script, "push", "end_user", row).split()
    assert state == "pending"
    until("the change", lambda: re.search(rf"^\d+ upsert end_user {id}$", follower.text(), re.MULTILINE) is not None)
    refused = run(daemon, script, "push", "end_user", '{"id":7}')
    assert refused.returncode == 1 and refused.stderr.startswith("sync.sh: ") and refused.stdout == ""
    daemon.kill()
    away = run(daemon, script, "status")
    assert away.returncode == 1 and "no answer" in away.stderr
