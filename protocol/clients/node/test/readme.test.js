// The README's example, run as it stands there.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { Daemon, Server } from "./backend.js";

test("the README's example runs as it stands", { timeout: 120_000 }, async () => {
  const home = fileURLToPath(new URL("..", import.meta.url));
  const blocks = [...readFileSync(join(home, "README.md"), "utf8").matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code);
  assert.equal(blocks.length, 1);
  // An app that has installed the package.
  const app = mkdtempSync(join(tmpdir(), "aesync-"));
  mkdirSync(join(app, "node_modules"));
  symlinkSync(home, join(app, "node_modules/aesync"), "dir");
  writeFileSync(join(app, "app.mjs"), blocks[0]);
  const server = await Server.start();
  let daemon;
  try {
    daemon = await Daemon.start(server.said.url);
    const child = spawn(process.execPath, ["app.mjs"], {
      cwd: app,
      env: { ...process.env, AESYNC_SOCKET: daemon.socket },
      stdio: ["ignore", "pipe", "inherit"],
      timeout: 60_000,
    });
    let output = "";
    for await (const data of child.stdout.setEncoding("utf8")) output += data;
    const code = child.exitCode ?? (await new Promise((resolve) => child.once("exit", resolve)));
    assert.equal(code, 0);
    assert.match(output, /^status: (synced|syncing|pending)\n/);
    assert.match(output, /^upsert end_user [0-9a-f-]{36}$/m);
  } finally {
    await daemon?.end();
    await server.stop();
    rmSync(app, { recursive: true, force: true });
  }
});
