// A real daemon and a development server for the tests: AESYNCD and ADMINENGINE_DEV name the programs.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { AesyncError, Client } from "../src/index.js";

const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));
export const PATIENCE_MS = 60_000;

const program = (variable, name) => process.env[variable] || join(ROOT, "target/debug", name);

// Asks again and again, and throws when it took too long.
export async function until(what, condition) {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`${what} did not come within ${PATIENCE_MS} ms`);
    await sleep(5);
  }
}

// The development server.
export class Server {
  static async start() {
    const child = spawn(program("ADMINENGINE_DEV", "adminengine-dev"), ["--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "ignore"] });
    const server = new Server();
    server.child = child;
    server.said = {};
    for await (const line of createInterface({ input: child.stdout })) {
      const [, key, value] = /^(\w+): (.*)$/.exec(line) ?? [];
      server.said[key] = value;
      if (key === "ready") return server;
    }
    throw new Error("the development server did not start");
  }

  // Does what another device of the tenant does.
  async edit(edit, fields) {
    const body = JSON.stringify({ edit, tenant: this.said.tenant, ...fields });
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const answer = await fetch(`${this.said.url}/__dev/rows`, { method: "POST", headers: { "content-type": "application/json" }, body, signal });
    if (!answer.ok) throw new Error(`the development server answered ${answer.status}: ${await answer.text()}`);
  }

  async stop() {
    this.child.kill("SIGKILL");
    this.child.stdout.destroy();
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, "exit");
  }
}

// aesyncd on a directory of its own.
export class Daemon {
  constructor(url) {
    this.directory = mkdtempSync(join(tmpdir(), "aesync-"));
    this.socket = join(this.directory, "s");
    this.url = url;
  }

  static async start(url) {
    const daemon = new Daemon(url);
    await daemon.start();
    await daemon.login();
    return daemon;
  }

  async start() {
    const config = join(this.directory, "aesyncd.toml");
    writeFileSync(config, "");
    const own = Object.entries(process.env).filter(([name]) => !name.startsWith("AESYNC_"));
    const env = { ...Object.fromEntries(own), AESYNC_SERVER__URL: this.url };
    const log = openSync(join(this.directory, "log"), "a");
    const args = ["--config", config, "--socket", this.socket, "--state-dir", join(this.directory, "state")];
    this.child = spawn(program("AESYNCD", "aesyncd"), args, { env, stdio: ["ignore", log, log] });
    closeSync(log);
    await until("the daemon's socket", () => this.#answers());
  }

  async #answers() {
    if (this.child.exitCode !== null) throw new Error(readFileSync(join(this.directory, "log"), "utf8").slice(-4000));
    const client = new Client({ path: this.socket });
    try {
      return Boolean(await client.ping());
    } catch (error) {
      if (error instanceof AesyncError) return false;
      throw error;
    } finally {
      client.close();
    }
  }

  async login() {
    const client = new Client({ path: this.socket, timeoutMs: PATIENCE_MS });
    await client.call("auth.login", { email: "dev@example.com", password: "dev" });
    const { reached } = await client.wait("synced", { timeoutMs: PATIENCE_MS });
    client.close();
    if (!reached) throw new Error("the daemon did not sync");
  }

  // As a crash does.
  async kill() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exit = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await exit;
  }

  async end() {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
