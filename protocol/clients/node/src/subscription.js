// A subscription that outlives its connections, as an async iterable.

import { Backoff } from "./backoff.js";
import { Connection } from "./connection.js";
import { AesyncError, Gone, lost } from "./errors.js";
import { greetingParams } from "./greeting.js";
import { Resume } from "./resume.js";

// How long the daemon may take for the connection, for `subscribe` and for a sign of life.
const CALL_MS = 10_000;
// After so long without an event the daemon is asked for a sign of life.
const QUIET_MS = 30_000;
// A connection that held for so long was a good one: the next attempt is not held back by failures before it.
const STEADY_MS = 5_000;

export class Subscription {
  #path;
  #resume;
  #quietMs;
  #answerMs;
  #backoff = new Backoff();
  #ready = [];
  #connection;
  #since = 0;
  #attemptAt = 0;
  #saidAway = false;
  #closed = false;
  #wake;
  #greeting;
  #unlisten;

  constructor(path, options = {}, greeting = {}) {
    this.#path = path;
    this.#resume = new Resume(options);
    this.#greeting = greetingParams(greeting);
    this.#quietMs = options.quietMs ?? QUIET_MS;
    this.#answerMs = options.answerMs ?? CALL_MS;
    const { signal } = options;
    if (signal?.aborted) {
      this.close();
    } else if (signal) {
      const aborted = () => this.close();
      signal.addEventListener("abort", aborted);
      this.#unlisten = () => signal.removeEventListener("abort", aborted);
    }
  }

  get position() {
    return this.#resume.position;
  }

  loaded(seq) {
    this.#resume.loaded(seq);
  }

  close() {
    this.#closed = true;
    // A signal may outlive many subscriptions.
    this.#unlisten?.();
    this.#connection?.close();
    this.#wake?.();
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  async return(value) {
    this.close();
    return { done: true, value };
  }

  // One call at a time: the next one only when this one is done, as `for await` does.
  async next() {
    while (!this.#closed) {
      if (this.#ready.length > 0) return { done: false, value: this.#resume.told(this.#ready.shift()) };
      try {
        if (!this.#connection) {
          await this.#open();
          continue;
        }
        const params = await this.#connection.nextEvent(this.#quietMs);
        if (this.#closed) break;
        // Rejects when a daemon that has said nothing for long does not answer either.
        if (params === undefined) await this.#connection.call("ping", {}, this.#answerMs);
        const event = params && this.#resume.event(params);
        if (event) return { done: false, value: event };
      } catch (error) {
        this.#lose(error);
      }
    }
    return { done: true, value: undefined };
  }

  async #open() {
    await this.#pause(this.#attemptAt - performance.now());
    if (this.#closed) return;
    const connection = await Connection.open(this.#path, this.#answerMs, () => this.#closed);
    // Here already, so that `close` finds it.
    this.#connection = connection;
    this.#since = performance.now();
    if (this.#closed) {
      connection.close();
      throw lost(this.#path);
    }
    await connection.call("hello", this.#greeting, this.#answerMs);
    this.#ready.push(...this.#resume.accepted(await this.#subscribe(connection)));
    this.#saidAway = false;
  }

  async #subscribe(connection) {
    try {
      return await connection.call("subscribe", this.#resume.params(), this.#answerMs);
    } catch (error) {
      if (!(error instanceof Gone)) throw error;
      this.#resume.refused(error);
      return connection.call("subscribe", this.#resume.params(), this.#answerMs);
    }
  }

  #pause(ms) {
    if (ms <= 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #lose(error) {
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.close();
    if (this.#resume.ended(connection !== undefined && performance.now() - this.#since >= STEADY_MS)) this.#backoff.succeeded();
    if (this.#closed) return;
    if (!(error instanceof AesyncError) || this.#resume.isFinal(error)) {
      this.close();
      throw error;
    }
    this.#attemptAt = performance.now() + this.#backoff.nextDelay();
    if (!this.#saidAway) {
      this.#saidAway = true;
      this.#ready.push({ channel: "disconnected", error });
    }
  }
}
