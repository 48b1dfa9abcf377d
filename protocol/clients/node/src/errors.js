// What can go wrong between an app and the daemon. All of it is an AesyncError.

export class AesyncError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = new.target.name;
  }
}

export class EndpointError extends AesyncError {}
export class NotRunning extends AesyncError {}
export class SocketDenied extends AesyncError {}
export class ConnectionLost extends AesyncError {}
export class CallTimeout extends AesyncError {}
export class ProtocolError extends AesyncError {}

// The daemon's own error, with its stable code.
export class DaemonError extends AesyncError {
  constructor(message, rpcCode, data) {
    super(message);
    this.rpcCode = rpcCode;
    this.data = data;
    this.code = typeof data.code === "string" ? data.code : undefined;
    this.retryable = data.retryable === true;
    this.hint = typeof data.hint === "string" ? data.hint : undefined;
  }
}

// A position in the feed that can't be resumed; a subscription turns it into a reset.
export class Gone extends DaemonError {
  get reason() {
    return String(this.data.reason ?? "trimmed");
  }
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

export function daemonError(error) {
  const body = isObject(error) ? error : {};
  const data = isObject(body.data) ? body.data : {};
  const Kind = data.code === "gone" ? Gone : DaemonError;
  const rpcCode = Number.isInteger(body.code) ? body.code : -32603;
  return new Kind(String(body.message ?? "the daemon gave no message"), rpcCode, data);
}

export function connectError(path, cause) {
  if (cause.code === "ENOENT" || cause.code === "ECONNREFUSED") {
    return new NotRunning(`aesyncd is not running: nothing answers at ${path}; start it, or run \`aesyncd\``, { cause });
  }
  if (cause.code === "EACCES" || cause.code === "EPERM") {
    return new SocketDenied(`this user may not open ${path}; join the socket's group and sign in again, or ask its administrator`, { cause });
  }
  return new ConnectionLost(`connecting to ${path} failed: ${cause.message}; check the path that \`aectl socket-path\` prints`, { cause });
}

export function notTaken(path, timeoutMs) {
  return new CallTimeout(`aesyncd at ${path} did not take the connection within ${timeoutMs} ms; try again`);
}

export function lost(path, cause) {
  const why = cause ? ` (${cause.message})` : "";
  return new ConnectionLost(`aesyncd closed the connection at ${path}${why} before it answered; it may be restarting: try again`, { cause });
}
