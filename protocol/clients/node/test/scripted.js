// A socket whose other side does exactly what a test says, connection by connection.

import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

// The daemon's end of one connection.
class Peer {
  constructor(socket) {
    this.socket = socket;
    this.greetings = [];
    socket.on("error", () => {});
    this.closed = new Promise((resolve) => socket.once("close", resolve));
    this.lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  }

  // The next one; a `hello` before it is answered and kept in `greetings`.
  async request() {
    for (;;) {
      const request = await this.whatever();
      if (request.method !== "hello") return request;
      this.greetings.push(request.params);
      await this.answer(request, { protocol: 1 });
    }
  }

  async whatever() {
    const { done, value } = await this.lines.next();
    if (done) throw new Error("the client has gone");
    return JSON.parse(value);
  }

  // Resolves when the socket has taken it.
  raw(data) {
    return new Promise((resolve) => this.socket.write(data, () => resolve()));
  }

  answer({ id }, result) {
    return this.raw(`${JSON.stringify({ jsonrpc: "2.0", id, result })}\n`);
  }

  fail(request, code, data = {}) {
    const error = { code: -32000, message: `it is ${code}`, data: { code, retryable: false, ...data } };
    return this.raw(`${JSON.stringify({ jsonrpc: "2.0", id: request?.id ?? null, error })}\n`);
  }

  // Takes a subscription and returns its params.
  async subscribed({ log = "a", seq = 0 } = {}) {
    const request = await this.request();
    if (request.method !== "subscribe") throw new Error(`${request.method} instead of subscribe`);
    await this.answer(request, { log, seq });
    return request.params;
  }

  event(channel, fields) {
    return this.raw(`${JSON.stringify({ jsonrpc: "2.0", method: "event", params: { channel, ...fields } })}\n`);
  }

  change(seq) {
    return this.raw(changeLine(seq));
  }
}

export function changeLine(seq) {
  const change = { seq, op: "upsert", entityType: "t", id: String(seq), record: { id: String(seq) } };
  Object.assign(change, { origin: "server", pending: false, at: "2026-01-31T12:00:00.000Z" });
  return `${JSON.stringify({ jsonrpc: "2.0", method: "event", params: { channel: "change", change } })}\n`;
}

// Plays one scene for each connection, in order, while `use` runs. Throws what a scene throws, and when one was never asked for.
export async function play(scenes, use) {
  const directory = mkdtempSync(join(tmpdir(), "aesync-"));
  const path = join(directory, "s");
  const left = [...scenes];
  const played = [];
  const server = createServer((socket) => {
    const scene = left.shift();
    const peer = new Peer(socket);
    if (!scene) return socket.destroy();
    played.push(scene(peer).then(() => socket.end(), (error) => (socket.destroy(), Promise.reject(error))));
    played.at(-1).catch(() => {});
  });
  await new Promise((resolve) => server.listen(path, resolve));
  try {
    const result = await use(path);
    await Promise.all(played);
    if (left.length > 0) throw new Error(`${left.length} scenes were never asked for`);
    return result;
  } finally {
    server.close();
    rmSync(directory, { recursive: true, force: true });
  }
}
