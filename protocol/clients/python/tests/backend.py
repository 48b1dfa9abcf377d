"""A real daemon and a development server for the tests: AESYNCD and ADMINENGINE_DEV name the programs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from aesync import AesyncError, Client

ROOT = Path(__file__).resolve().parents[4]
PATIENCE = 60.0


def program(variable: str, name: str) -> str:
    return os.environ.get(variable) or str(ROOT / "target" / "debug" / name)


def until(what: str, condition: Callable[[], bool]) -> None:
    """Asks again and again, and fails when it took too long."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {PATIENCE} s"
        time.sleep(0.01)


class Server:
    """The development server."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [program("ADMINENGINE_DEV", "adminengine-dev"), "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.said: Dict[str, str] = {}
        assert self._child.stdout is not None
        for line in self._child.stdout:
            key, _, value = line.strip().partition(": ")
            self.said[key] = value
            if key == "ready":
                break
        assert "ready" in self.said, "the development server did not start"

    def edit(self, kind: str, **fields: Any) -> None:
        """Does what another device of the tenant does."""
        body = json.dumps({"edit": kind, "tenant": self.said["tenant"], **fields}).encode()
        request = urllib.request.Request(self.said["url"] + "/__dev/rows", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            assert answer.status == 200

    def signal(self, number: int) -> None:
        self._child.send_signal(number)

    def stop(self) -> None:
        self._child.kill()
        self._child.wait(PATIENCE)
        assert self._child.stdout is not None
        self._child.stdout.close()


class Daemon:
    """aesyncd on a directory of its own."""

    def __init__(self, directory: Path, url: str) -> None:
        self.socket = str(directory / "s")
        self._directory = directory
        self._url = url
        self._child: Optional["subprocess.Popen[bytes]"] = None
        self.start()

    def start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AESYNC_")}
        environment.update({"AESYNC_SERVER__URL": self._url, "XDG_CONFIG_HOME": str(self._directory)})
        command: List[str] = [program("AESYNCD", "aesyncd"), "--socket", self.socket, "--state-dir", str(self._directory / "state")]
        if os.geteuid() == 0:
            config = self._directory / "aesyncd.toml"
            config.write_text("")
            command += ["--config", str(config)]
        with (self._directory / "log").open("ab") as log:
            self._child = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        until("the daemon's socket", self.answers)

    def answers(self) -> bool:
        assert self._child is not None
        assert self._child.poll() is None, (self._directory / "log").read_text()[-4000:]
        try:
            with Client(self.socket, timeout=PATIENCE) as client:
                client.ping()
            return True
        except AesyncError:
            return False

    def login(self) -> None:
        with Client(self.socket, timeout=PATIENCE) as client:
            client.call("auth.login", {"email": "dev@example.com", "password": "dev"})
            assert client.wait("synced", PATIENCE)["reached"]

    def kill(self) -> None:
        """As a crash does."""
        assert self._child is not None
        self._child.send_signal(signal.SIGKILL)
        self._child.wait(PATIENCE)
