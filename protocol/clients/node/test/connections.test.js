// How the client comes to a connection, when it leaves it, and who it says it is.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";

import { CallTimeout, Client, DaemonError } from "../src/index.js";
import { VERSION } from "../src/greeting.js";
import { play } from "./scripted.js";

const options = { timeout: 60_000 };

test("after a busy the next call knocks again", options, async () => {
  const first = async (peer) => {
    await peer.fail(await peer.request(), "busy");
    await peer.closed;
  };
  const second = async (peer) => peer.answer(await peer.request(), { pushed: 0 });
  await play([first, second], async (path) => {
    const client = new Client({ path });
    await assert.rejects(client.sync(), DaemonError);
    assert.deepEqual(await client.sync(), { pushed: 0 });
    client.close();
  });
});

test("a busy of one call leaves the others their connection", options, async () => {
  const scene = async (peer) => {
    const [first, second] = [await peer.request(), await peer.request()];
    await peer.fail(first, "busy");
    await peer.answer(second, { pushed: 0 });
  };
  await play([scene], async (path) => {
    const client = new Client({ path });
    const [first, second] = [client.sync(), client.sync()];
    await assert.rejects(first, DaemonError);
    assert.deepEqual(await second, { pushed: 0 });
    client.close();
  });
});

// Node's own listeners accept at once, so that the full one is Python's: it makes room when it is told to, and answers one call.
const FULL_HOUSE = `
import socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(sys.argv[1])
listener.listen(1)
waiting = []
while True:
    other = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    other.setblocking(False)
    try:
        other.connect(sys.argv[1])
    except BlockingIOError:
        break
    waiting.append(other)
print("full", flush=True)
sys.stdin.readline()
for _ in waiting:
    listener.accept()[0].close()
peer = listener.accept()[0]
peer.makefile("rb").readline()
peer.sendall(b'{"jsonrpc":"2.0","id":1,"result":{"time":"now"}}\\n')
peer.recv(1)
`;

async function fullHouse(use) {
  const directory = mkdtempSync(join(tmpdir(), "aesync-"));
  const path = join(directory, "s");
  const house = spawn("python3", ["-c", FULL_HOUSE, path], { stdio: ["pipe", "pipe", "inherit"] });
  try {
    const [line] = await once(createInterface({ input: house.stdout }), "line");
    assert.equal(line, "full");
    await use(path, () => house.stdin.write("\n"));
  } finally {
    house.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  }
}

test("a queue that stays full is given up at the deadline, and knocked at again until there is room", options, () =>
  fullHouse(async (path, makeRoom) => {
    await assert.rejects(new Client({ path, timeoutMs: 50 }).ping(), CallTimeout);
    const client = new Client({ path, timeoutMs: 30_000 });
    const answer = client.ping();
    makeRoom();
    assert.equal(await answer, "now");
    client.close();
  }),
);

test("closing ends the iteration while the queue is full", options, () =>
  fullHouse(async (path) => {
    const events = new Client({ path }).subscribe({ answerMs: 3_600_000 });
    const waiting = events.next();
    setTimeout(() => events.close(), 30);
    assert.deepEqual(await waiting, { done: true, value: undefined });
  }),
);

test("a subscription says who it is", options, async () => {
  const greetings = [];
  const scene = async (peer) => {
    await peer.subscribed();
    greetings.push(...peer.greetings);
    await peer.closed;
  };
  await play([scene, scene], async (path) => {
    for (const own of [{}, { name: "notes", version: "1.2.0" }]) {
      const events = new Client({ path, ...own }).subscribe();
      assert.equal((await events.next()).value.channel, "connected");
      events.close();
    }
  });
  assert.deepEqual(greetings, [
    { client: { name: basename(process.argv[1]), version: `aesync-node/${VERSION}` }, protocol: 1 },
    { client: { name: "notes", version: "1.2.0" }, protocol: 1 },
  ]);
});

test("the version is the package's", () => {
  assert.equal(JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")).version, VERSION);
});

test("a signal that outlives a subscription is not listened to any more", options, async () => {
  const signal = new EventTarget();
  const listening = new Set();
  signal.aborted = false;
  signal.addEventListener = (name, listener) => listening.add(listener);
  signal.removeEventListener = (name, listener) => listening.delete(listener);
  const events = new Client({ path: "/nonexistent/aesync.sock" }).subscribe({ signal });
  assert.equal(listening.size, 1);
  events.close();
  assert.equal(listening.size, 0);
});
