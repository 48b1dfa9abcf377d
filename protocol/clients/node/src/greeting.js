// Who an app is to the daemon: `aectl clients` shows it.

import { basename } from "node:path";

// Of this package.
export const VERSION = "0.1.0";

// The params of `hello`: an app's name and version; without them the program's name, and this package's version.
export function greetingParams({ name = program(), version = `aesync-node/${VERSION}` } = {}) {
  return { client: { name, version }, protocol: 1 };
}

// The script that runs; there is none in `node -e`.
const program = () => basename(process.argv[1] ?? "") || "node";
