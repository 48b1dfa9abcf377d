// Which events a subscription has dealt with, and how it goes on after a loss. No input or output here.

import { DaemonError, ProtocolError, SocketDenied } from "./errors.js";

const CHANNELS = ["status", "notification", "change", "outbox", "progress"];
// So many connections in a row may end in garbage before the subscription gives up.
const MAX_GARBAGE = 3;
// What an event of each channel carries beside the channel's name.
const CARRIES = { status: "status", notification: "notification", change: "change", outbox: "entry", progress: "op", lagged: "dropped" };

const broken = (what) => new ProtocolError(`${what}; check that aesyncd and this program have matching versions`);

export class Resume {
  #channels;
  #entityTypes;
  #since;
  #log;
  #refusal;
  #garbage = 0;
  #moved = false;

  constructor({ channels = ["change"], entityTypes, since, log } = {}) {
    const unknown = channels.filter((channel) => !CHANNELS.includes(channel));
    if (unknown.length > 0 || channels.length === 0) {
      throw new TypeError(`channels must be some of ${CHANNELS.join(", ")}, and not ${JSON.stringify(unknown)}`);
    }
    if (!channels.includes("change") && (since !== undefined || log !== undefined)) {
      throw new TypeError("a position needs the channel change");
    }
    this.#channels = [...channels];
    this.#entityTypes = entityTypes && [...entityTypes];
    this.#since = since;
    this.#log = log;
  }

  // After the last change or checkpoint; undefined before the first connection and without the channel `change`.
  get position() {
    return this.#since === undefined || this.#log === undefined ? undefined : { log: this.#log, seq: this.#since };
  }

  params() {
    const follows = this.#refusal === undefined && this.#since !== undefined;
    return {
      channels: this.#channels,
      ...(this.#entityTypes && { entityTypes: this.#entityTypes }),
      ...(follows && { since: this.#since }),
      ...(follows && this.#log !== undefined && { log: this.#log }),
    };
  }

  // The position can't be resumed: the next params take up the feed where it stands, and a reset says so.
  refused(gone) {
    if (this.#refusal !== undefined) throw broken("the daemon refuses a position that it was not given");
    this.#refusal = gone.reason;
  }

  // What an answer to `subscribe` means to the app; see `told`.
  accepted(answer) {
    if (typeof answer?.log !== "string" || !Number.isSafeInteger(answer.seq)) throw broken("the answer to subscribe has no position");
    const { log, seq } = answer;
    const connected = { channel: "connected", log, seq };
    if (!this.#channels.includes("change")) return [connected];
    const reason = this.#refusal;
    this.#refusal = undefined;
    // First the reset, and the position only when it is told: whoever saves the position with an event must not pass it by.
    if (reason !== undefined) return [{ channel: "reset", reason, log, seq }, connected];
    this.#since ??= seq;
    this.#log = log;
    return [connected];
  }

  // To be said of each of those events when the app gets it: a reset is behind the position from then on.
  told(event) {
    if (event.channel === "reset") {
      this.#since = event.seq;
      this.#log = event.log;
    }
    return event;
  }

  // The event for the app; undefined for a checkpoint, for a change that it has had, and for a channel that is not for apps, such as `gone`.
  event(params) {
    const { channel } = params;
    if (channel === "checkpoint") {
      if (!Number.isSafeInteger(params.seq)) throw broken("a checkpoint of the daemon has no seq");
      this.loaded(params.seq);
      return undefined;
    }
    if (!Object.hasOwn(CARRIES, channel)) return undefined;
    if (params[CARRIES[channel]] === undefined) throw broken(`an event of the channel ${channel} is empty`);
    if (channel === "change") {
      const { seq } = params.change;
      if (!Number.isSafeInteger(seq)) throw broken("a change of the daemon has no seq");
      if (this.#since !== undefined && seq <= this.#since) return undefined;
      // Of all types there is each position. To connect again fetches what is missing.
      if (this.#since !== undefined && !this.#entityTypes && seq !== this.#since + 1) throw broken(`the change ${seq} came after ${this.#since}`);
      this.#since = seq;
      this.#moved = true;
    }
    return params;
  }

  // The app has listed the records as of `seq`: changes up to there are behind it.
  loaded(seq) {
    this.#since = Math.max(seq, this.#since ?? 0);
  }

  // Whether the connection that ended was a good one: it held for long (`steady`), or brought changes.
  ended(steady) {
    const good = steady || this.#moved;
    this.#moved = false;
    if (good) this.#garbage = 0;
    return good;
  }

  // Whether another attempt is pointless, and the app has to hear the error.
  isFinal(error) {
    if (error instanceof ProtocolError) {
      this.#garbage += 1;
      return this.#garbage >= MAX_GARBAGE;
    }
    if (error instanceof DaemonError) return !error.retryable;
    return error instanceof SocketDenied;
  }
}
