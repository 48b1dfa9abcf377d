"""A socket whose other side does exactly what a test says, connection by connection."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any, Callable, Dict, List, Sequence


class Peer:
    """The daemon's end of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._file = connection.makefile("rb")
        self.greetings: List[Dict[str, Any]] = []

    def request(self) -> Dict[str, Any]:
        """The next one; a `hello` before it is answered and kept in `greetings`."""
        request = self.whatever()
        while request["method"] == "hello":
            self.greetings.append(request["params"])
            self.answer(request, {"protocol": 1})
            request = self.whatever()
        return request

    def whatever(self) -> Dict[str, Any]:
        line = self._file.readline()
        if not line:
            raise ConnectionError("the client has gone")
        request: Dict[str, Any] = json.loads(line)
        return request

    def raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def line(self, message: Dict[str, Any]) -> None:
        self.raw(json.dumps(message).encode() + b"\n")

    def answer(self, request: Dict[str, Any], result: Any) -> None:
        self.line({"jsonrpc": "2.0", "id": request["id"], "result": result})

    def fail(self, request: Dict[str, Any], code: str, **data: Any) -> None:
        error = {"code": -32000, "message": f"it is {code}", "data": {"code": code, "retryable": False, **data}}
        self.line({"jsonrpc": "2.0", "id": request["id"], "error": error})

    def subscribed(self, log: str = "a", seq: int = 0) -> Dict[str, Any]:
        """Takes a subscription and returns its params."""
        request = self.request()
        assert request["method"] == "subscribe"
        self.answer(request, {"log": log, "seq": seq})
        params: Dict[str, Any] = request["params"]
        return params

    def event(self, channel: str, **fields: Any) -> None:
        self.line({"jsonrpc": "2.0", "method": "event", "params": {"channel": channel, **fields}})

    def change(self, seq: int) -> None:
        self.raw(change_line(seq))

    def until_closed(self) -> None:
        while self._file.readline():
            pass

    def close(self) -> None:
        self._file.close()
        self.socket.close()


def change_line(seq: int) -> bytes:
    change = {"seq": seq, "op": "upsert", "entityType": "t", "id": str(seq), "record": {"id": str(seq)}}
    change.update({"origin": "server", "pending": False, "at": "2026-01-31T12:00:00.000Z"})
    return json.dumps({"jsonrpc": "2.0", "method": "event", "params": {"channel": "change", "change": change}}).encode() + b"\n"


class Scripted:
    """Plays one function for each connection, in order; then refuses connections."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._failures: List[BaseException] = []
        self._thread = threading.Thread(target=lambda: None)

    def play(self, *scenes: Callable[[Peer], None]) -> None:
        self._listener.listen(8)
        self._thread = threading.Thread(target=self._run, args=(scenes,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Fails when a scene did, or when one was never asked for."""
        if self._thread.ident is not None:
            self._thread.join(20)
            assert not self._thread.is_alive(), "a scene has not ended"
        self._listener.close()
        assert not self._failures, self._failures

    def _run(self, scenes: Sequence[Callable[[Peer], None]]) -> None:
        self._listener.settimeout(20)
        for scene in scenes:
            try:
                connection, _ = self._listener.accept()
                connection.settimeout(20)
                with connection:
                    peer = Peer(connection)
                    try:
                        scene(peer)
                    finally:
                        peer._file.close()
            except BaseException as error:
                self._failures.append(error)
                return
        self._listener.close()
