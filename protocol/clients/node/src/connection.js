// One connection to the daemon: pipelined calls, and the events of its subscription. Every call has a deadline.

import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

import { CallTimeout, DaemonError, ProtocolError, connectError, lost, notTaken } from "./errors.js";
import { LineBuffer, parseLine, requestLine } from "./wire.js";

// So many events, and so many bytes of them, may wait to be taken; beyond it the socket is not read.
const MAX_WAITING_EVENTS = 1_024;
const MAX_WAITING_BYTES = 1024 * 1024;
// How long to wait before knocking again at a daemon whose queue of new connections is full.
const FULL_QUEUE_MS = 10;
// Bytes that the daemon has not taken yet; beyond it a call fails at once.
export const MAX_UNSENT_BYTES = 64 * 1024 * 1024;

// A connection; undefined when the daemon's queue of new connections is full, or when there is no time left.
function knock(path, deadline) {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const timer = setTimeout(() => {
      socket.destroy();
      resolve(undefined);
    }, Math.max(1, deadline - performance.now()));
    const refused = (error) => {
      clearTimeout(timer);
      if (error.code === "EAGAIN") resolve(undefined);
      else reject(connectError(path, error));
    };
    socket.once("error", refused);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", refused);
      // At once: an error of a socket that nobody listens to would end the process.
      resolve(new Connection(path, socket));
    });
  });
}

export class Connection {
  #path;
  #socket;
  #lines = new LineBuffer();
  #calls = new Map();
  #events = [];
  #taken = 0;
  #bytes = 0;
  #lastId = 0;
  #end;
  #arrived;

  constructor(path, socket) {
    this.#path = path;
    this.#socket = socket;
    socket.on("data", (data) => this.#read(data));
    socket.on("error", (error) => this.#fail(lost(path, error)));
    socket.on("close", () => this.#fail(lost(path)));
  }

  // Within `timeoutMs`, as long as it is not `unwanted`.
  static async open(path, timeoutMs, unwanted = () => false) {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const connection = await knock(path, deadline);
      if (connection) return connection;
      if (performance.now() >= deadline) throw notTaken(path, timeoutMs);
      await sleep(FULL_QUEUE_MS);
      if (unwanted()) throw lost(path);
    }
  }

  get ended() {
    return this.#end !== undefined;
  }

  call(method, params, timeoutMs) {
    if (this.#end) return Promise.reject(this.#end);
    if (this.#socket.writableLength > MAX_UNSENT_BYTES) {
      return Promise.reject(new CallTimeout(`aesyncd takes nothing: \`${method}\` was not sent; try again later`));
    }
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      const line = requestLine(id, method, params);
      const timer = setTimeout(() => {
        this.#calls.delete(id);
        reject(new CallTimeout(`aesyncd did not answer \`${method}\` within ${timeoutMs} ms; try again, or allow more time`));
      }, timeoutMs);
      this.#calls.set(id, { resolve, reject, timer });
      this.#socket.write(line);
    });
  }

  // The next event's params; undefined when none came within `timeoutMs`. Rejects when the connection has ended and all are taken.
  async nextEvent(timeoutMs) {
    if (this.#taken >= this.#events.length && !this.#end) await this.#wait(timeoutMs);
    if (this.#taken < this.#events.length) return this.#take();
    if (this.#end) throw this.#end;
    return undefined;
  }

  close() {
    this.#fail(lost(this.#path));
  }

  #wait(timeoutMs) {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#arrived?.(), timeoutMs);
      this.#arrived = () => {
        clearTimeout(timer);
        this.#arrived = undefined;
        resolve();
      };
    });
  }

  #take() {
    const event = this.#events[this.#taken];
    this.#taken += 1;
    if (this.#taken === this.#events.length) {
      this.#events = [];
      this.#taken = 0;
      this.#bytes = 0;
      this.#socket.resume();
    }
    return event;
  }

  #read(data) {
    try {
      for (const line of this.#lines.feed(data)) {
        const message = parseLine(line);
        if (message?.event) {
          this.#events.push(message.event);
          this.#bytes += Buffer.byteLength(line);
        } else if (message) {
          this.#settle(message);
        }
      }
    } catch (error) {
      this.#fail(error instanceof ProtocolError ? error : new ProtocolError(String(error), { cause: error }));
    }
    if (this.#events.length - this.#taken > MAX_WAITING_EVENTS || this.#bytes > MAX_WAITING_BYTES) this.#socket.pause();
    if (this.#taken < this.#events.length) this.#arrived?.();
  }

  #settle({ id, result, error }) {
    if (id === null) {
      // About no call in particular, such as `busy` before anything was read.
      if (error) this.#fail(error);
      return;
    }
    const call = this.#calls.get(id);
    if (!call) return;
    this.#calls.delete(id);
    clearTimeout(call.timer);
    if (error instanceof DaemonError) call.reject(error);
    else call.resolve(result);
    // A daemon that is only busy with this call answers the others; one that closes the connection does so soon enough.
    if (error?.code === "busy" && this.#calls.size === 0) this.#fail(error);
  }

  #fail(error) {
    if (this.#end) return;
    this.#end = error;
    this.#socket.destroy();
    for (const { reject, timer } of this.#calls.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.#calls.clear();
    this.#arrived?.();
  }
}
