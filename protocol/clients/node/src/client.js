// Calls to the daemon: pipelined on one connection, each with a deadline.

import { randomUUID } from "node:crypto";

import { Connection } from "./connection.js";
import { locate } from "./endpoint.js";
import { CallTimeout, ConnectionLost } from "./errors.js";
import { Subscription } from "./subscription.js";

const DEFAULT_MS = 10_000;
// For calls that the server has to answer.
const SERVER_MS = 120_000;
// Calls that may wait for their answers at once, as many as the daemon works on for one connection.
const MAX_IN_FLIGHT = 64;
// Calls that may wait for their turn; one more fails at once.
const MAX_QUEUED = 10_000;

// Methods that may be sent again when the connection ended before the answer: reads, and `push` by its `requestId`.
const REPEATABLE = new Set([
  ...["hello", "ping", "status", "metrics", "wait", "push", "records.get", "records.list", "changes", "outbox.list"],
  ...["conflicts.list", "config.get", "rpc.discover", "pullPending"],
]);

export class Client {
  #timeoutMs;
  #opening;
  #connection;
  #inFlight = 0;
  #queue = [];
  #greeting;

  constructor({ path, instance, timeoutMs = DEFAULT_MS, name, version } = {}) {
    this.path = locate({ path, instance });
    this.#timeoutMs = timeoutMs;
    this.#greeting = { name, version };
  }

  async call(method, params = {}, { timeoutMs = this.#timeoutMs } = {}) {
    const deadline = performance.now() + timeoutMs;
    await this.#turn(method, timeoutMs);
    try {
      const stale = this.#connection !== undefined;
      try {
        return await this.#send(method, params, deadline);
      } catch (error) {
        if (!(error instanceof ConnectionLost && stale && REPEATABLE.has(method))) throw error;
      }
      return await this.#send(method, params, deadline);
    } finally {
      this.#inFlight -= 1;
      this.#queue.shift()?.();
    }
  }

  subscribe(options = {}) {
    return new Subscription(this.path, options, this.#greeting);
  }

  hello(name, version) {
    return this.call("hello", { client: { name, version }, protocol: 1 });
  }

  async ping() {
    return (await this.call("ping")).time;
  }

  status() {
    return this.call("status");
  }

  wait(what, { timeoutMs, seq }) {
    return this.call("wait", { for: what, seq, timeoutMs }, { timeoutMs: timeoutMs + DEFAULT_MS });
  }

  async push(changes, { wait, timeoutMs = DEFAULT_MS, requestId = randomUUID() } = {}) {
    const params = { changes, requestId, ...(wait && { wait, timeoutMs }) };
    return (await this.call("push", params, { timeoutMs: timeoutMs + (wait ? DEFAULT_MS : 0) })).entries;
  }

  pull({ entityTypes, full, timeoutMs = SERVER_MS } = {}) {
    return this.call("pull", { entityTypes, full }, { timeoutMs });
  }

  sync({ timeoutMs = SERVER_MS } = {}) {
    return this.call("sync", {}, { timeoutMs });
  }

  get(entityType, id) {
    return this.call("records.get", { entityType, id });
  }

  list(entityType, { limit, after } = {}) {
    return this.call("records.list", { entityType, limit, after });
  }

  // All records of a type, and the `seq` from which to follow their changes.
  async load(entityType) {
    const { records, seq, next } = await this.list(entityType, { limit: 1000 });
    for (let after = next; after !== undefined; ) {
      const page = await this.list(entityType, { limit: 1000, after });
      for (const record of page.records) records.push(record);
      after = page.next;
    }
    return { records, seq };
  }

  changes(since, { log, limit, entityTypes, waitMs = 0 } = {}) {
    const params = { since, log, limit, entityTypes, ...(waitMs > 0 && { waitMs }) };
    return this.call("changes", params, { timeoutMs: waitMs + DEFAULT_MS });
  }

  outbox({ state, entityType, limit, after } = {}) {
    return this.call("outbox.list", { state, entityType, limit, after });
  }

  close() {
    this.#connection?.close();
    this.#connection = undefined;
  }

  async #send(method, params, deadline) {
    const connection = await this.#connected(deadline);
    return connection.call(method, params, Math.max(1, deadline - performance.now()));
  }

  async #connected(deadline) {
    if (this.#connection && !this.#connection.ended) return this.#connection;
    this.#opening ??= Connection.open(this.path, Math.max(1, deadline - performance.now())).finally(() => {
      this.#opening = undefined;
    });
    this.#connection = await this.#opening;
    return this.#connection;
  }

  #turn(method, timeoutMs) {
    if (this.#inFlight < MAX_IN_FLIGHT) {
      this.#inFlight += 1;
      return undefined;
    }
    if (this.#queue.length >= MAX_QUEUED) {
      throw new CallTimeout(`${MAX_QUEUED} calls wait for their turn already: \`${method}\` was not sent; await earlier calls first`);
    }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#queue.splice(this.#queue.indexOf(begin), 1);
        reject(new CallTimeout(`\`${method}\` had no turn within ${timeoutMs} ms; await earlier calls first`));
      }, timeoutMs);
      const begin = () => {
        clearTimeout(timer);
        this.#inFlight += 1;
        resolve();
      };
      this.#queue.push(begin);
    });
  }
}
