/** One entity, as the server's table has it. */
export type Record = { [field: string]: unknown };

/** Everything at a glance. Fields that a newer daemon adds are simply there too. */
export interface Status {
  status: "synced" | "syncing" | "pending" | "offline";
  reason?: string;
  since: string;
  retryAt?: string;
  hasSynced: boolean;
  lastSyncedAt?: string;
  seq: number;
  paused: boolean;
  server: {
    url: string;
    tenantId?: string;
    link: string;
    transport?: string;
    connectedSince?: string;
    rttMs?: number;
    lastPongAt?: string;
    reconnects: number;
  };
  auth: { state: string; expiresAt?: string; subject?: string };
  outbox: {
    pending: number;
    sent: number;
    inDoubt: number;
    acked: number;
    quarantined: number;
    blocked: number;
    conflicts: number;
    bytes: number;
  };
  types: { [entityType: string]: TypeStatus };
  feed: { log: string; firstSeq: number; lastSeq: number };
  attention: { code: string; message: string; count?: number }[];
  lastError?: { code: string; message: string; at: string };
  daemon: { version: string; pid: number; startedAt: string; instance: string };
}

export interface TypeStatus {
  records: number;
  highWater?: string;
  dirty: boolean;
  firstSyncDone: boolean;
  suspicious: boolean;
  lastPulledAt?: string;
  lastReconciledAt?: string;
}

export interface Hello {
  server: { name: string; version: string };
  protocol: number;
  protocols: number[];
  capabilities: string[];
  role: string;
  instance: string;
  log: string;
}

export interface Change {
  seq: number;
  op: "upsert" | "delete";
  entityType: string;
  id: string;
  /** There for an upsert. */
  record?: Record;
  origin: "server" | "local";
  pending: boolean;
  at: string;
}

export interface Notification {
  type: string;
  entityType: string;
  entityId?: string;
  message: string;
  timestamp: string;
}

export interface Verdict {
  kind: "accepted" | "overwritten" | "fieldsDropped";
  server?: Record;
  fields?: string[];
}

export interface Entry {
  entry: number;
  entityType: string;
  id: string;
  op: string;
  state: string;
  data: Record;
  bytes: number;
  enqueuedAt: string;
  attempts: number;
  sentAt?: string;
  verdict?: Verdict;
  lastError?: { [field: string]: unknown };
  parked?: boolean;
}

export interface PushedEntry {
  entry: number;
  entityType: string;
  id: string;
  state: string;
  verdict?: Verdict;
  warnings?: string[];
}

export interface RecordAnswer { record: Record; pending: boolean; base?: Record; seq: number }
export interface ListedRecord { record: Record; pending: boolean }
export interface RecordPage { records: ListedRecord[]; next?: string; seq: number }
export interface ChangePage { log: string; changes: Change[]; next: number; lastSeq: number }
export interface EntryPage { entries: Entry[]; next?: number }
export interface WaitAnswer { reached: boolean; status: Status }
export interface Pulled { received: number; changed: number; deleted: number }
export interface PullAnswer { types: { [entityType: string]: Pulled }; seq: number; syncTimestamp: string }
export interface SyncAnswer { pushed: number; types: { [entityType: string]: Pulled }; seq: number }

export type Channel = "status" | "notification" | "change" | "outbox" | "progress";

/** A place in a change feed. Save it with what you made of the changes so far, and give it to the next `subscribe`. */
export interface Position { log: string; seq: number }

/** What a subscription yields; tell them apart by `channel`. */
export type Event =
  | { channel: "change"; change: Change }
  | { channel: "status"; status: Status }
  | { channel: "notification"; notification: Notification }
  | { channel: "outbox"; entry: Entry }
  | { channel: "progress"; op: string; entityType?: string; done: number; total?: number }
  /** This app was too slow for that many notification or outbox events. Changes are never among them. */
  | { channel: "lagged"; dropped: number }
  /** The daemon is there. Changes go on where they stopped; of notification and outbox events some may have been missed. */
  | { channel: "connected"; log: string; seq: number }
  /** The daemon is away. Said once for each loss; the subscription goes on trying. */
  | { channel: "disconnected"; error: AesyncError }
  /**
   * The feed can't be followed from the position any more: forget what you folded, load the records again, then say `loaded`. It comes
   * before the `connected` of its connection.
   */
  | { channel: "reset"; reason: "trimmed" | "log_changed"; log: string; seq: number };

export interface SubscribeOptions {
  /** `["change"]` when absent. */
  channels?: Channel[];
  entityTypes?: string[];
  /** A saved position, or 0 for everything from the beginning of the feed; without it changes begin with the next one. */
  since?: number;
  log?: string;
  /** Ends the subscription. */
  signal?: AbortSignal;
  /** After so many milliseconds without an event the daemon is asked for a sign of life; 30,000 when absent. */
  quietMs?: number;
  /** How long the daemon may take for the connection, for `subscribe` and for a sign of life, in milliseconds; 10,000 when absent. */
  answerMs?: number;
}

/** Iterates over events without end: it reconnects, and goes on after the last change that it gave out. One `for await` at a time. */
export class Subscription implements AsyncIterableIterator<Event> {
  /** After the last event that was given out; undefined before the first connection and without the channel `change`. */
  readonly position: Position | undefined;
  /** Say this after a reset, with the `seq` of the listing: changes that it has already are then not given out. */
  loaded(seq: number): void;
  /** Ends the subscription and the iteration. */
  close(): void;
  /** Rejects with an AesyncError when going on is pointless: not allowed, or what answers does not speak the protocol. */
  next(): Promise<IteratorResult<Event, undefined>>;
  return(value?: unknown): Promise<IteratorResult<Event, undefined>>;
  [Symbol.asyncIterator](): this;
}

export interface ClientOptions {
  /** The socket; found as `locate` does when absent. */
  path?: string;
  instance?: string;
  /** How long a call may take unless told otherwise; 10,000 when absent. */
  timeoutMs?: number;
  /** How its subscriptions call themselves in `aectl clients`; the program's name when absent. */
  name?: string;
  /** The app's version, beside `name`; this package's when absent. */
  version?: string;
}

/**
 * Calls the daemon. Calls are pipelined on one connection, and each ends within its deadline. It connects at the first call, and again at
 * the next call after a loss. A call is sent once more only when that can do no harm: reads, and pushes, which carry a `requestId`. All
 * methods reject with an AesyncError.
 */
export class Client {
  constructor(options?: ClientOptions);
  readonly path: string;
  /** Calls a method by name. */
  call(method: string, params?: object, options?: { timeoutMs?: number }): Promise<unknown>;
  /** Events, without end, on a connection of their own. */
  subscribe(options?: SubscribeOptions): Subscription;
  hello(name: string, version: string): Promise<Hello>;
  /** The daemon's clock, as a sign of life. */
  ping(): Promise<string>;
  status(): Promise<Status>;
  /** Waits until something is so. A time-out is an answer. */
  wait(what: "synced" | "online" | "outboxEmpty" | "seq", options: { timeoutMs: number; seq?: number }): Promise<WaitAnswer>;
  /** Queues changes, all or none; on disk when it resolves. To repeat one after an error, give both the same `requestId`. */
  push(
    changes: { [entityType: string]: Record[] },
    options?: { wait?: "queued" | "acked" | "confirmed"; timeoutMs?: number; requestId?: string },
  ): Promise<PushedEntry[]>;
  pull(options?: { entityTypes?: string[]; full?: boolean; timeoutMs?: number }): Promise<PullAnswer>;
  sync(options?: { timeoutMs?: number }): Promise<SyncAnswer>;
  /** One record, local changes included; a DaemonError with the code `not_found` when there is none. */
  get(entityType: string, id: string): Promise<RecordAnswer>;
  /** One page of a type's records, ordered by id. */
  list(entityType: string, options?: { limit?: number; after?: string }): Promise<RecordPage>;
  /** All records of a type, and the `seq` from which to follow their changes. */
  load(entityType: string): Promise<{ records: ListedRecord[]; seq: number }>;
  /** A piece of the change feed, for apps that poll. */
  changes(
    since: number,
    options?: { log?: string; limit?: number; entityTypes?: string[]; waitMs?: number },
  ): Promise<ChangePage>;
  outbox(options?: { state?: string; entityType?: string; limit?: number; after?: number }): Promise<EntryPage>;
  /** Ends the connection; the next call makes another. */
  close(): void;
}

/** The path at which to look for the daemon (protocol/README.md, Transport). */
export function locate(options?: {
  path?: string;
  instance?: string;
  env?: { [name: string]: string | undefined };
  platform?: string;
  present?: (path: string) => boolean;
}): string;

/** Why a call has no result. */
export class AesyncError extends Error {}
/** There is no usable socket path. */
export class EndpointError extends AesyncError {}
/** Nobody listens there. */
export class NotRunning extends AesyncError {}
/** This user may not open the socket. */
export class SocketDenied extends AesyncError {}
/** The connection ended before the call was answered. The daemon may or may not have carried the call out. */
export class ConnectionLost extends AesyncError {}
/** No answer in time. The daemon may still carry the call out. */
export class CallTimeout extends AesyncError {}
/** The other side does not speak this protocol. */
export class ProtocolError extends AesyncError {}
/** The daemon's own error; `code` is stable, and absent for errors of JSON-RPC itself. */
export class DaemonError extends AesyncError {
  readonly rpcCode: number;
  readonly data: { [field: string]: unknown };
  readonly code: string | undefined;
  readonly retryable: boolean;
  readonly hint: string | undefined;
}
/** A position in the feed that can't be resumed; a subscription turns it into a reset. */
export class Gone extends DaemonError {
  readonly reason: string;
}
