// The client and its types against the protocol's golden lines, and the rule for the socket's path.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { DaemonError, EndpointError, Gone, locate } from "../src/index.js";
import { Resume } from "../src/resume.js";
import { LineBuffer, parseLine } from "../src/wire.js";

const golden = (name) => readFileSync(new URL(`../../../tests/golden/${name}.ndjson`, import.meta.url), "utf8").trimEnd().split("\n");

// What a subscription deals with itself: a position that moves on, and an end after which it resumes.
const INTERNAL = ["checkpoint", "gone"];

const TYPES = {
  hello: "Hello",
  status: "Status",
  wait: "WaitAnswer",
  "records.get": "RecordAnswer",
  "records.list": "RecordPage",
  changes: "ChangePage",
  "outbox.list": "EntryPage",
  "outbox.edit": "Entry",
  pull: "PullAnswer",
  sync: "SyncAnswer",
  push: "{ entries: PushedEntry[] }",
};

// TSC names the compiler; CI=true turns its absence into a failure.
const tsc = process.env.TSC;
const skip = !tsc && process.env.CI !== "true" && "TSC does not name a TypeScript compiler";

test("the types take every golden result and event, and know every field", { skip, timeout: 120_000 }, () => {
  const methods = new Map(golden("requests").map((line) => JSON.parse(line)).map(({ id, method }) => [id, method]));
  const results = golden("results").map((line) => JSON.parse(line));
  const seen = new Set(results.map(({ id }) => methods.get(id)));
  assert.deepEqual(Object.keys(TYPES).filter((method) => !seen.has(method)), []);
  const source = [
    `import type * as aesync from "${fileURLToPath(new URL("../src/index.js", import.meta.url))}";`,
    `import { Client, DaemonError } from "${fileURLToPath(new URL("../src/index.js", import.meta.url))}";`,
  ];
  for (const { id, result } of results) {
    const type = TYPES[methods.get(id)];
    const name = type?.replace(/\b(PushedEntry|[A-Z]\w+)\b/, "aesync.$1");
    if (type) source.push(`{ const answer: ${name} = ${JSON.stringify(result)}; void answer; }`);
  }
  for (const { params } of golden("events").map((line) => JSON.parse(line))) {
    if (!INTERNAL.includes(params.channel)) source.push(`{ const event: aesync.Event = ${JSON.stringify(params)}; void event; }`);
  }
  source.push(
    "for await (const event of new Client().subscribe({ channels: ['change', 'status'], since: 0 })) {",
    "  if (event.channel === 'change') event.change.record?.name;",
    "  if (event.channel === 'disconnected' && event.error instanceof DaemonError) event.error.code?.trim();",
    "  // @ts-expect-error: there is no such field",
    "  if (event.channel === 'change') event.change.colour;",
    "}",
    "// @ts-expect-error: there is no such channel",
    "new Client().subscribe({ channels: ['weather'] });",
  );
  const directory = mkdtempSync(join(tmpdir(), "aesync-"));
  try {
    writeFileSync(join(directory, "uses.mts"), source.join("\n"));
    const flags = ["--strict", "--noEmit", "--exactOptionalPropertyTypes", "--target", "es2022", "--module", "nodenext"];
    execFileSync(tsc, [...flags, join(directory, "uses.mts")], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  } catch (error) {
    assert.fail(error.stdout ?? error);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test("every golden event is understood", () => {
  for (const line of golden("events")) {
    const { event } = parseLine(line);
    assert.equal(new Resume().event(event) === undefined, INTERNAL.includes(event.channel), line);
  }
});

test("every golden error has its code", () => {
  for (const line of golden("errors")) {
    const { error } = parseLine(line);
    const wire = JSON.parse(line).error;
    assert.ok(error instanceof DaemonError);
    assert.deepEqual([error.rpcCode, error.code, error.message], [wire.code, wire.data?.code, wire.message]);
    assert.equal(error instanceof Gone, error.code === "gone");
  }
});

test("lines come out whole however they were cut, and one over the limit is refused before it is whole", () => {
  const text = Buffer.from(`${golden("events").join("\n\r\n")}\nü\n`);
  for (const size of [1, 3, 1000]) {
    const buffer = new LineBuffer();
    const lines = [];
    for (let at = 0; at < text.length; at += size) lines.push(...buffer.feed(text.subarray(at, at + size)));
    assert.deepEqual(lines, [...golden("events"), "ü"]);
  }
  const small = new LineBuffer(10);
  assert.deepEqual([...small.feed(Buffer.from("x".repeat(10)))], []);
  assert.throws(() => [...small.feed(Buffer.from("x"))], /longer than 10 bytes/);
});

test("the path is found as the daemon finds it", () => {
  const system = "/run/aesyncd/aesyncd.sock";
  for (const [path, socket, runtime, present, expected] of [
    ["/a", "/b", "/run/user/7", true, "/a"],
    [undefined, "/b", "/run/user/7", true, "/b"],
    [undefined, "", "/run/user/7", true, system],
    [undefined, "", "/run/user/7", false, "/run/user/7/aesyncd/aesyncd.sock"],
    [undefined, "", "", false, system],
    [undefined, "", "relative", false, system],
  ]) {
    const env = { AESYNC_SOCKET: socket, XDG_RUNTIME_DIR: runtime };
    assert.equal(locate({ path, env, platform: "linux", present: () => present }), expected);
  }
  assert.equal(locate({ env: {}, platform: "win32" }), "\\\\.\\pipe\\aesyncd");
  assert.equal(locate({ env: {}, platform: "win32", instance: "shop-2" }), "\\\\.\\pipe\\aesyncd-shop-2");
});

test("an instance has its own socket, and names that lead elsewhere are refused", () => {
  for (const env of [{}, { AESYNC_SOCKET: "/b" }]) {
    assert.equal(locate({ instance: "shop-2", env, platform: "linux", present: () => true }), "/run/aesyncd/shop-2.sock");
  }
  for (const instance of ["", "..", "a/b", "A", "aesyncd", "ü", "x".repeat(33)]) assert.throws(() => locate({ instance }), EndpointError);
  assert.throws(() => locate({ path: `/${"x".repeat(107)}`, platform: "linux" }), /108 bytes/);
  assert.throws(() => locate({ path: "" }), EndpointError);
});
