// What the client makes of a daemon that breaks off, stutters, lies or says nothing.

import assert from "node:assert/strict";
import { test } from "node:test";

import { CallTimeout, Client, ConnectionLost, NotRunning, ProtocolError } from "../src/index.js";
import { Resume } from "../src/resume.js";
import { changeLine, play } from "./scripted.js";

const options = { timeout: 60_000 };

// The first `count` events of a subscription, and its position.
async function follow(path, count, subscription = { since: 0 }) {
  const events = new Client({ path }).subscribe(subscription);
  const seen = [];
  try {
    while (seen.length < count) seen.push((await events.next()).value);
    return { seen, position: events.position };
  } finally {
    events.close();
  }
}

const channels = (seen) => seen.map((event) => event.channel);
const seqs = (seen) => seen.filter((event) => event.channel === "change").map((event) => event.change.seq);

test("a line torn by a crash is read whole after the resume", options, async () => {
  const first = async (peer) => {
    assert.deepEqual(await peer.subscribed({ seq: 3 }), { channels: ["change"], since: 0 });
    await peer.change(1);
    await peer.raw(changeLine(2).slice(0, 40));
  };
  const second = async (peer) => {
    assert.deepEqual(await peer.subscribed({ seq: 3 }), { channels: ["change"], since: 1, log: "a" });
    await peer.change(2);
    await peer.change(3);
  };
  const { seen, position } = await play([first, second], (path) => follow(path, 6));
  assert.deepEqual(channels(seen), ["connected", "change", "disconnected", "connected", "change", "change"]);
  assert.deepEqual(seqs(seen), [1, 2, 3]);
  assert.deepEqual(position, { log: "a", seq: 3 });
});

test("a change that comes again is not given out again", options, async () => {
  const scene = (...numbers) => async (peer) => {
    await peer.subscribed();
    for (const seq of numbers) await peer.change(seq);
  };
  const { seen } = await play([scene(5, 5, 4, 6), scene(5, 6, 7)], (path) => follow(path, 6, { since: 4 }));
  assert.deepEqual(seqs(seen), [5, 6, 7]);
});

test("a missing change costs the connection and is fetched by the next one", options, async () => {
  const first = async (peer) => {
    await peer.subscribed();
    await peer.change(1);
    await peer.change(3);
    await peer.closed;
  };
  const second = async (peer) => {
    assert.equal((await peer.subscribed()).since, 1);
    await peer.change(2);
    await peer.change(3);
  };
  const { seen } = await play([first, second], (path) => follow(path, 6));
  assert.deepEqual(channels(seen), ["connected", "change", "disconnected", "connected", "change", "change"]);
  assert.deepEqual(seqs(seen), [1, 2, 3]);
});

test("of some types there may be gaps", options, async () => {
  const scene = async (peer) => {
    await peer.subscribed();
    await peer.change(2);
    await peer.change(7);
  };
  const { seen } = await play([scene], (path) => follow(path, 3, { since: 0, entityTypes: ["t"] }));
  assert.deepEqual(seqs(seen), [2, 7]);
});

test("a checkpoint moves the position that is resumed", options, async () => {
  const first = async (peer) => {
    assert.deepEqual(await peer.subscribed(), { channels: ["change"], entityTypes: ["t"], since: 0 });
    await peer.event("checkpoint", { seq: 1000 });
  };
  const second = async (peer) => {
    assert.deepEqual(await peer.subscribed(), { channels: ["change"], entityTypes: ["t"], since: 1000, log: "a" });
    await peer.change(1001);
  };
  const { seen, position } = await play([first, second], (path) => follow(path, 4, { since: 0, entityTypes: ["t"] }));
  assert.deepEqual(seqs(seen), [1001]);
  assert.deepEqual(position, { log: "a", seq: 1001 });
});

for (const reason of ["trimmed", "log_changed"]) {
  test(`a feed that is gone (${reason}) is told as a reset`, options, async () => {
    const scene = async (peer) => {
      const request = await peer.request();
      assert.deepEqual(request.params, { channels: ["change"], since: 3, log: "old" });
      await peer.fail(request, "gone", { reason, log: "a", firstSeq: 90 });
      assert.deepEqual(await peer.subscribed({ seq: 100 }), { channels: ["change"] });
      await peer.change(100);
      await peer.change(101);
    };
    const { seen, position } = await play([scene], (path) => follow(path, 3, { since: 3, log: "old" }));
    assert.deepEqual(seen.slice(0, 2), [
      { channel: "reset", reason, log: "a", seq: 100 },
      { channel: "connected", log: "a", seq: 100 },
    ]);
    assert.deepEqual(seqs(seen), [101]);
    assert.deepEqual(position, { log: "a", seq: 101 });
  });
}

test("a reset is told even when the connection is lost before the feed is taken up again", options, async () => {
  const first = async (peer) => peer.fail(await peer.request(), "gone", { reason: "trimmed", log: "a", firstSeq: 9 });
  const second = async (peer) => assert.deepEqual(await peer.subscribed({ seq: 20 }), { channels: ["change"] });
  const { seen } = await play([first, second], (path) => follow(path, 3, { since: 3, log: "a" }));
  assert.deepEqual(channels(seen), ["disconnected", "reset", "connected"]);
});

test("a position saved after each event never passes a reset by", options, async () => {
  const scene = async (peer) => {
    await peer.fail(await peer.request(), "gone", { reason: "trimmed", log: "b", firstSeq: 9 });
    await peer.subscribed({ log: "b", seq: 20 });
    await peer.closed;
  };
  await play([scene], async (path) => {
    const events = new Client({ path }).subscribe({ since: 3, log: "a" });
    assert.equal((await events.next()).value.channel, "reset");
    assert.deepEqual(events.position, { log: "b", seq: 20 });
    events.close();
  });
});

test("a reset that the app has not got is not behind the position", () => {
  const resume = new Resume({ since: 3, log: "a" });
  resume.refused({ reason: "trimmed" });
  const [reset, connected] = resume.accepted({ log: "b", seq: 20 });
  assert.deepEqual(resume.position, { log: "a", seq: 3 });
  assert.equal(resume.told(reset).channel, "reset");
  assert.deepEqual(resume.position, { log: "b", seq: 20 });
  assert.equal(resume.told(connected).channel, "connected");
});

test("changes that a listing has already are passed over", options, async () => {
  const scene = async (peer) => {
    await peer.fail(await peer.request(), "gone", { reason: "trimmed", log: "a", firstSeq: 9 });
    await peer.subscribed({ seq: 20 });
    for (const seq of [21, 22, 23]) await peer.change(seq);
  };
  await play([scene], async (path) => {
    const events = new Client({ path }).subscribe({ since: 0 });
    assert.deepEqual(channels([(await events.next()).value]), ["reset"]);
    events.loaded(22);
    assert.deepEqual(channels([(await events.next()).value]), ["connected"]);
    assert.deepEqual(seqs([(await events.next()).value]), [23]);
    events.close();
  });
});

test("garbage costs a connection and no change", options, async () => {
  const first = async (peer) => {
    await peer.subscribed();
    await peer.raw(`${changeLine(1)}\xff garbage\n${changeLine(2)}`);
    await peer.closed;
  };
  const second = async (peer) => {
    assert.equal((await peer.subscribed()).since, 1);
    await peer.change(2);
  };
  const { seen } = await play([first, second], (path) => follow(path, 5));
  assert.deepEqual(seqs(seen), [1, 2]);
  assert.ok(seen[2].error instanceof ProtocolError);
});

for (const garbage of ["[]\n", "{}\n", "null\n", '{"jsonrpc":"2.0","id":"x","result":{}}\n']) {
  test(`nothing but garbage three times is an error: ${garbage.trim()}`, options, async () => {
    const scene = async (peer) => {
      await peer.request();
      await peer.raw(garbage);
      await peer.closed;
    };
    await play([scene, scene, scene], (path) => assert.rejects(follow(path, 2), ProtocolError));
  });
}

test("an error that no retry mends ends the subscription", options, async () => {
  const scene = async (peer) => peer.fail(await peer.request(), "permission_denied");
  await play([scene], (path) => assert.rejects(follow(path, 1), { name: "DaemonError", code: "permission_denied" }));
});

test("a full daemon is tried again", options, async () => {
  const full = (peer) => peer.fail(null, "busy", { retryable: true });
  const free = async (peer) => {
    await peer.subscribed();
    await peer.change(1);
  };
  const { seen } = await play([full, full, free], (path) => follow(path, 3));
  assert.deepEqual(channels(seen), ["disconnected", "connected", "change"]);
});

test("a daemon that is silent is asked for a sign of life, and goes on when it gives one", options, async () => {
  const scene = async (peer) => {
    await peer.subscribed();
    for (let asked = 0; asked < 2; asked += 1) {
      const request = await peer.request();
      assert.equal(request.method, "ping");
      await peer.answer(request, { time: "2026-01-31T12:00:00.000Z" });
    }
    await peer.change(1);
  };
  const { seen } = await play([scene], (path) => follow(path, 2, { since: 0, quietMs: 50 }));
  assert.deepEqual(channels(seen), ["connected", "change"]);
});

test("a daemon that gives no sign of life counts as lost", options, async () => {
  const hung = async (peer) => {
    await peer.subscribed();
    assert.equal((await peer.request()).method, "ping");
    await peer.closed;
  };
  const well = async (peer) => {
    await peer.subscribed();
    await peer.change(1);
  };
  const { seen } = await play([hung, well], (path) => follow(path, 4, { since: 0, quietMs: 50, answerMs: 100 }));
  assert.deepEqual(channels(seen), ["connected", "disconnected", "connected", "change"]);
});

test("events arrive a byte at a time and several at once", options, async () => {
  const scene = async (peer) => {
    await peer.subscribed();
    for (const byte of Buffer.from(`${changeLine(1)}\r\n\n`)) await peer.raw(Buffer.from([byte]));
    await peer.raw(Array.from({ length: 48 }, (_, at) => changeLine(at + 2)).join(""));
  };
  const { seen } = await play([scene], (path) => follow(path, 50));
  assert.deepEqual(seqs(seen), Array.from({ length: 49 }, (_, at) => at + 1));
});

test("unknown channels, fields and notifications are passed over", options, async () => {
  const scene = async (peer) => {
    await peer.subscribed();
    await peer.event("weather", { sun: true });
    await peer.event("constructor", { sun: true });
    await peer.raw('{"jsonrpc":"2.0","method":"later","params":{}}\n');
    await peer.event("lagged", { dropped: 3 });
  };
  const { seen } = await play([scene], (path) => follow(path, 2, { channels: ["notification"] }));
  assert.deepEqual(channels(seen), ["connected", "lagged"]);
});

test("a slow reader loses nothing, and the daemon has to wait", options, async () => {
  const count = 20_000;
  let sent = 0;
  const scene = async (peer) => {
    await peer.subscribed();
    while (sent < count) await peer.change(++sent);
  };
  await play([scene], async (path) => {
    const events = new Client({ path }).subscribe({ since: 0 });
    await events.next();
    await events.next();
    for (let before = -1; before !== sent; ) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    assert.ok(sent < count, "the reader took everything at once");
    for (let seq = 2; seq <= count; seq += 1) assert.equal((await events.next()).value.change.seq, seq);
    events.close();
  });
});

test("a slow reader of large changes holds little of them", options, async () => {
  const LARGE = 100_000;
  const count = 200;
  let sent = 0;
  const scene = async (peer) => {
    await peer.subscribed();
    // The spaces count: what is held is what was read.
    while (sent < count) await peer.raw(changeLine(++sent).replace("}\n", `${" ".repeat(LARGE)}}\n`));
  };
  await play([scene], async (path) => {
    const events = new Client({ path }).subscribe({ since: 0 });
    await events.next();
    await events.next();
    for (let before = -1; before !== sent; ) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    assert.ok(sent * LARGE < 4 * 1024 * 1024, `${sent} changes were taken`);
    for (let seq = 2; seq <= count; seq += 1) assert.equal((await events.next()).value.change.seq, seq);
    events.close();
  });
});

test("pipelined answers find their calls in any order", options, async () => {
  const scene = async (peer) => {
    const requests = [];
    while (requests.length < 50) requests.push(await peer.request());
    for (const request of requests.reverse()) await peer.answer(request, request.params);
  };
  await play([scene], async (path) => {
    const client = new Client({ path });
    const numbers = Array.from({ length: 50 }, (_, n) => n);
    assert.deepEqual(await Promise.all(numbers.map((n) => client.call("ping", { n }))), numbers.map((n) => ({ n })));
    client.close();
  });
});

test("more calls than may be in flight wait for their turn", options, async () => {
  let most = 0;
  const scene = async (peer) => {
    const waiting = [];
    for (let taken = 0; taken < 100; taken += 1) {
      waiting.push(await peer.request());
      most = Math.max(most, waiting.length);
      if (waiting.length === 64 || taken >= 64) await peer.answer(waiting.shift(), {});
    }
    for (const request of waiting) await peer.answer(request, {});
  };
  await play([scene], async (path) => {
    const client = new Client({ path });
    await Promise.all(Array.from({ length: 100 }, () => client.call("ping")));
    assert.equal(most, 64);
    client.close();
  });
});

test("a call without an answer ends at its deadline, and a late answer is not taken for another's", options, async () => {
  const scene = async (peer) => {
    const late = await peer.request();
    const next = await peer.request();
    await peer.answer(late, { time: "late" });
    await peer.answer(next, { time: "next" });
  };
  await play([scene], async (path) => {
    const client = new Client({ path });
    await assert.rejects(client.call("ping", {}, { timeoutMs: 50 }), CallTimeout);
    assert.equal(await client.ping(), "next");
    client.close();
  });
});

test("reads and pushes are repeated on a new connection, and nothing else is", options, async () => {
  const asked = [];
  const once = async (peer) => {
    await peer.answer(await peer.request(), { time: "now" });
    asked.push(await peer.request());
  };
  const again = async (peer) => {
    asked.push(await peer.request());
    await peer.answer(asked[1], { entries: [] });
    asked.push(await peer.request());
  };
  await play([once, again], async (path) => {
    const client = new Client({ path });
    await client.ping();
    assert.deepEqual(await client.push({ t: [{}] }), []);
    assert.deepEqual(asked[0].params, asked[1].params);
    assert.ok(asked[0].params.requestId);
    await assert.rejects(client.sync(), ConnectionLost);
  });
  assert.deepEqual(asked.map((request) => request.method), ["push", "push", "sync"]);
});

test("nobody there is said so", options, async () => {
  const client = new Client({ path: "/nonexistent/aesync.sock" });
  await assert.rejects(client.ping(), NotRunning);
  const events = client.subscribe();
  const { value } = await events.next();
  assert.equal(value.channel, "disconnected");
  assert.ok(value.error instanceof NotRunning);
  events.close();
});

test("an abort ends the iteration, even while it waits to connect", options, async () => {
  for (const path of ["/nonexistent/aesync.sock", undefined]) {
    const quiet = async (peer) => {
      await peer.subscribed();
      await peer.closed;
    };
    await play(path ? [] : [quiet], async (own) => {
      const stop = new AbortController();
      for await (const event of new Client({ path: path ?? own }).subscribe({ signal: stop.signal })) {
        assert.equal(event.channel, path ? "disconnected" : "connected");
        setTimeout(() => stop.abort(), 20);
      }
    });
  }
});
