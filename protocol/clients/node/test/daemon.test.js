// The client against a real daemon and a development server.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, afterEach, before, beforeEach, test } from "node:test";

import { AesyncError, Client, DaemonError } from "../src/index.js";
import { Daemon, PATIENCE_MS, Server, until } from "./backend.js";

const KILLS = 50;
const TYPE = "end_user";
const options = { timeout: 300_000 };

let server;
let daemon;
let client;
before(async () => (server = await Server.start()));
after(() => server.stop());
beforeEach(async () => {
  daemon = await Daemon.start(server.said.url);
  client = new Client({ path: daemon.socket });
});
afterEach(async () => {
  client.close();
  await daemon.end();
});

const person = (name) => ({ id: randomUUID(), email: `${randomUUID()}@example.com`, name, is_deleted: 0 });

// What the changes make of nothing.
class Fold {
  rows = new Map();
  seqs = [];
  losses = 0;
  resets = 0;

  take(event) {
    if (event.channel === "disconnected") this.losses += 1;
    if (event.channel === "reset") this.resets += 1;
    if (event.channel !== "change") return;
    const { seq, op, id, record } = event.change;
    this.seqs.push(seq);
    if (op === "delete") this.rows.delete(id);
    else this.rows.set(id, record);
  }
}

// Changes rows here and on the server, through every crash of the daemon.
async function write(stop) {
  const ids = [];
  for (let number = 0; !stop.aborted; number += 1) {
    if (number % 3 === 2) {
      await server.edit("insert", { entityType: TYPE, row: person(`elsewhere ${number}`) });
      continue;
    }
    let row = person(`here ${number}`);
    if (number % 5 === 4) row = { id: ids[number % ids.length], is_deleted: 1 };
    else ids.push(row.id);
    const requestId = randomUUID();
    await until("a push", async () => {
      const writer = new Client({ path: daemon.socket });
      try {
        return Boolean(await writer.push({ [TYPE]: [row] }, { requestId }));
      } catch (error) {
        if (error instanceof DaemonError || !(error instanceof AesyncError)) throw error;
        return false;
      } finally {
        writer.close();
      }
    });
  }
}

test("a fold is exact after fifty crashes in the midst of writes", options, async () => {
  const fold = new Fold();
  const events = client.subscribe({ since: 0 });
  const following = (async () => {
    for await (const event of events) fold.take(event);
  })();
  const stop = new AbortController();
  const writing = write(stop.signal);
  for (let kill = 0; kill < KILLS; kill += 1) {
    const heard = fold.seqs.length;
    await Promise.race([until("something new", () => fold.seqs.length > heard), following, writing]);
    await daemon.kill();
    await daemon.start();
  }
  stop.abort();
  await writing;
  assert.ok((await client.wait("outboxEmpty", { timeoutMs: PATIENCE_MS })).reached);
  await client.sync();
  const last = (await client.status()).feed.lastSeq;
  await until("the last change", () => fold.seqs.at(-1) >= last);
  events.close();
  await following;

  const feed = [];
  for (let page = await client.changes(0, { limit: 1000 }); page.changes.length > 0; page = await client.changes(page.next, { limit: 1000 })) {
    feed.push(...page.changes.map((change) => change.seq));
  }
  const { records } = await client.load(TYPE);
  assert.deepEqual(fold.seqs, feed, "each change once, in order");
  assert.deepEqual(Object.fromEntries(fold.rows), Object.fromEntries(records.map(({ record }) => [record.id, record])));
  assert.ok(records.length > 0);
  assert.equal(fold.resets, 0);
  assert.ok(fold.losses >= KILLS);
});

test("a saved position goes on where it was", options, async () => {
  await client.push({ [TYPE]: [person("one"), person("two")] });
  const next = async (subscription) => {
    const events = client.subscribe(subscription);
    for await (const event of events) {
      if (event.channel === "change") return { seq: event.change.seq, position: events.position };
    }
  };
  const first = await next({ since: 0 });
  assert.equal(first.position.seq, first.seq);
  const second = await next({ since: first.position.seq, log: first.position.log });
  assert.ok(second.seq > first.seq);
});

test("another feed is a reset, and the app loads and goes on", options, async () => {
  await client.push({ [TYPE]: [person("one")] });
  const events = client.subscribe({ since: 1, log: "another" });
  const { value: reset } = await events.next();
  assert.deepEqual([reset.channel, reset.reason], ["reset", "log_changed"]);
  assert.equal((await events.next()).value.channel, "connected");
  const { records, seq } = await client.load(TYPE);
  events.loaded(seq);
  assert.ok(records.length > 0);
  assert.deepEqual(events.position, { log: reset.log, seq });
  const [{ id }] = await client.push({ [TYPE]: [person("two")] });
  for await (const event of events) {
    if (event.change?.id === id) break;
  }
});

test("the first status is a snapshot, and a crash is told", options, async () => {
  const events = client.subscribe({ channels: ["status"] });
  const until = async (channel) => {
    for (;;) {
      const { value } = await events.next();
      if (value.channel === channel) return value;
    }
  };
  await until("connected");
  assert.ok((await until("status")).status.feed.log);
  await daemon.kill();
  await until("disconnected");
  await daemon.start();
  await until("connected");
  await until("status");
  events.close();
});

test("the daemon shows who follows", options, async () => {
  const named = new Client({ path: daemon.socket, name: "notes", version: "1.2.0" });
  const events = named.subscribe();
  assert.equal((await events.next()).value.channel, "connected");
  const { clients } = await client.call("clients");
  const following = clients.filter(({ subscription }) => subscription).map((row) => row.client);
  assert.deepEqual(following, [{ name: "notes", version: "1.2.0" }]);
  events.close();
});

test("every method has an answer", options, async () => {
  assert.equal((await client.hello("tests", "1")).protocol, 1);
  assert.match(await client.ping(), /Z$/);
  const row = person("three");
  const [pushed] = await client.push({ [TYPE]: [row] }, { wait: "acked", timeoutMs: PATIENCE_MS });
  assert.ok(["acked", "confirmed"].includes(pushed.state));
  assert.equal((await client.get(TYPE, row.id)).record.name, "three");
  assert.equal((await client.list(TYPE, { limit: 1 })).records.length, 1);
  assert.ok((await client.changes(0, { waitMs: 1000 })).changes.length > 0);
  assert.ok(Array.isArray((await client.outbox({ limit: 5 })).entries));
  assert.ok((await client.pull({ entityTypes: [TYPE] })).types[TYPE]);
  assert.equal((await client.wait("seq", { seq: 1e9, timeoutMs: 20 })).reached, false);
});

test("a refusal of the daemon is an error with its code", options, async () => {
  await assert.rejects(client.get(TYPE, "none"), { name: "DaemonError", code: "not_found", retryable: false });
  const invalid = (error) => error.code === "invalid_entity" && error.data.field === "id";
  await assert.rejects(client.push({ [TYPE]: [{ id: 7 }] }), invalid);
  await assert.rejects(client.call("status", { verbose: true }), { rpcCode: -32602, code: undefined });
  assert.ok(await client.ping());
});
