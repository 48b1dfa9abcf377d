// Where the daemon's socket is: the same rule as the daemon's own (protocol/README.md, Transport).

import { lstatSync } from "node:fs";

import { EndpointError } from "./errors.js";

const SYSTEM_DIR = "/run/aesyncd";
const SOCKET_VARIABLE = "AESYNC_SOCKET";
const MAX_PATH_BYTES = 107;

const isThere = (path) => {
  try {
    lstatSync(path);
    return true;
  } catch (error) {
    // A directory that may not be entered holds a system socket that this user may not open: say that, rather than look elsewhere.
    return error.code !== "ENOENT" && error.code !== "ENOTDIR";
  }
};

export function locate({ path, instance, env = process.env, platform = process.platform, present = isThere } = {}) {
  const stem = checkedInstance(instance);
  if (path !== undefined) return checkedPath(path, platform);
  if (instance === undefined && env[SOCKET_VARIABLE]) return checkedPath(env[SOCKET_VARIABLE], platform);
  if (platform === "win32") return stem === "aesyncd" ? "\\\\.\\pipe\\aesyncd" : `\\\\.\\pipe\\aesyncd-${stem}`;
  const system = `${SYSTEM_DIR}/${stem}.sock`;
  const runtimeDir = env.XDG_RUNTIME_DIR ?? "";
  if (runtimeDir.startsWith("/") && !present(system)) {
    return checkedPath(`${runtimeDir.replace(/\/+$/, "")}/aesyncd/${stem}.sock`, platform);
  }
  return checkedPath(system, platform);
}

// The stem of an instance's socket; the default instance's is `aesyncd`.
function checkedInstance(instance) {
  if (instance === undefined || instance === "default") return "aesyncd";
  if (!/^[a-z0-9_-]{1,32}$/.test(instance) || instance === "aesyncd") {
    const shown = JSON.stringify(String(instance).slice(0, 64));
    throw new EndpointError(`${shown} can't be the name of an instance: use 1 to 32 of a-z, 0-9, - and _, and not aesyncd`);
  }
  return instance;
}

function checkedPath(path, platform) {
  if (!path) throw new EndpointError(`the socket path is empty; give a path, or set ${SOCKET_VARIABLE}, or leave it out`);
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_PATH_BYTES && platform !== "win32") {
    throw new EndpointError(
      `the socket path ${path} is ${bytes} bytes long, and the system allows ${MAX_PATH_BYTES}; choose a shorter one with ${SOCKET_VARIABLE}`,
    );
  }
  return path;
}
