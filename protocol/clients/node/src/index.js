// A client for aesyncd: status, records and a gap-free change feed over its local socket. See README.md and index.d.ts.

export { Client } from "./client.js";
export { locate } from "./endpoint.js";
export {
  AesyncError,
  CallTimeout,
  ConnectionLost,
  DaemonError,
  EndpointError,
  Gone,
  NotRunning,
  ProtocolError,
  SocketDenied,
} from "./errors.js";
export { Subscription } from "./subscription.js";
