// Lines of JSON-RPC: cutting what arrives into lines, and telling answers from events. No input or output here.

import { ProtocolError, daemonError } from "./errors.js";

// The longest line that is taken from the daemon, in bytes: a page of records may be longer than what the daemon takes.
export const MAX_LINE = 64 * 1024 * 1024;

const LF = 0x0a;

export function requestLine(id, method, params) {
  try {
    return `${JSON.stringify({ jsonrpc: "2.0", id, method, params })}\n`;
  } catch (cause) {
    throw new ProtocolError(`the params of ${method} can't be written as JSON: ${cause.message}`, { cause });
  }
}

// Collects bytes and gives out whole lines; holds at most `limit` bytes of an unfinished one.
export class LineBuffer {
  #limit;
  #pieces = [];
  #length = 0;

  constructor(limit = MAX_LINE) {
    this.#limit = limit;
  }

  // The lines that `data` ends, without their ends and without blank ones.
  *feed(data) {
    let from = 0;
    for (let end = data.indexOf(LF); end >= 0; end = data.indexOf(LF, from)) {
      this.#keep(data.subarray(from, end));
      from = end + 1;
      const text = Buffer.concat(this.#pieces, this.#length).toString("utf8").trim();
      this.#pieces = [];
      this.#length = 0;
      if (text !== "") yield text;
    }
    if (from < data.length) this.#keep(data.subarray(from));
  }

  #keep(piece) {
    this.#length += piece.length;
    if (this.#length > this.#limit) {
      throw new ProtocolError(`a line from the daemon is longer than ${this.#limit} bytes; ask for smaller pages`);
    }
    this.#pieces.push(piece);
  }
}

const strange = (what) => new ProtocolError(`what answered does not speak this protocol: ${what}; check who listens there`);

// {event} or {id, result} or {id, error}; undefined for a notification that this client does not know.
export function parseLine(text) {
  let message;
  try {
    message = JSON.parse(text);
  } catch (cause) {
    throw strange(`a line is no JSON (${cause.message})`);
  }
  if (message?.jsonrpc !== "2.0") throw strange("a line is no JSON-RPC 2.0");
  if (message.method !== undefined) {
    return message.method === "event" && typeof message.params === "object" && message.params ? { event: message.params } : undefined;
  }
  const id = message.id ?? null;
  if (id !== null && !Number.isSafeInteger(id)) throw strange("an answer has an id that was never sent");
  if (message.error !== undefined) return { id, error: daemonError(message.error) };
  if (message.result !== undefined) return { id, result: message.result };
  throw strange("an answer has neither result nor error");
}
