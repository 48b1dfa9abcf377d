// AdminEngine's documented routes and events on Node's own http and socket.io, written from their description and from nothing else.
//
//   node server.mjs --data FILE [--port N] [--polling-only]
//
// It prints {"port":N}, then one line of JSON for each line of JSON that it reads: {"state":{}}, {"insert":{...}}, {"emit":{...}},
// {"disconnect":{...}}, {"refuse":{...}}. It ends with its standard input.

import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

import { Server } from "socket.io";

import { mint, routes } from "./routes.mjs";
import { Rows } from "./rows.mjs";

const LISTEN_PATIENCE_MS = 5_000;

const { values: options } = parseArgs({
  options: { data: { type: "string" }, port: { type: "string", default: "0" }, "polling-only": { type: "boolean", default: false } },
});

const customer = {
  id: "3f0c4c0e-5d1b-4c8e-9a53-0f6f1c9f2b11",
  name: "Ada",
  email: "ada@example.com",
  password: "correct horse",
  companyName: "Analytical Engines",
  phone: null,
  subscriptionPlan: "basic",
};
const rows = new Rows(options.data);
const requests = [];
const heard = { authenticate: [], auth: [], updates: [], pings: 0 };
let refusal = null;

const room = (tenant) => `tenant:${tenant}`;
const announce = (tenant, notification) =>
  io.to(room(tenant)).emit("sync_notification", { ...notification, timestamp: new Date().toISOString() });
const health = () => ({
  status: "ok",
  timestamp: new Date().toISOString(),
  websocket: "enabled",
  connectedClients: io.engine.clientsCount,
  connectedTenants: [customer.id],
});

const http = createServer(routes({ customer, rows, announce, health, requests }));
const io = new Server(http, { transports: options["polling-only"] ? ["polling"] : ["websocket", "polling"] });

io.use((socket, next) => {
  heard.auth.push(socket.handshake.auth);
  next(refusal === null ? undefined : new Error(refusal));
});

io.on("connection", (socket) => {
  socket.on("authenticate", (credentials) => {
    heard.authenticate.push(credentials ?? null);
    if (credentials === undefined || credentials === null) {
      socket.emit("authentication_error", { message: "Invalid token" });
      return;
    }
    socket.data.tenant = credentials.tenantId;
    socket.join(room(credentials.tenantId));
    socket.emit("authenticated", { success: true });
  });
  socket.on("ping", () => {
    heard.pings += 1;
    socket.emit("pong", { timestamp: new Date().toISOString() });
  });
  socket.on("sync_status_update", (update) => {
    heard.updates.push(update ?? null);
    if (socket.data.tenant) socket.to(room(socket.data.tenant)).emit("sync_status_update", update);
  });
});

const commands = {
  state: () => ({
    token: mint(customer),
    tenant: customer.id,
    sockets: [...io.sockets.sockets.values()].map((socket) => ({ tenant: socket.data.tenant ?? null, transport: socket.conn.transport.name })),
    requests,
    heard,
    pushes: { ...rows.pushes(customer.id, "end_user"), ...rows.pushes(customer.id, "interactions") },
  }),
  // Another device's row.
  insert: ({ entityType, row }) => {
    const { row: stored } = rows.upsert(customer.id, entityType, { is_deleted: 0, ...row });
    announce(customer.id, { type: "data_available", entityType, entityId: stored.id, message: "New data available" });
    return stored;
  },
  // Any event to every socket; {"bytes":N} among the arguments stands for a binary attachment.
  emit: ({ event, args = [], volatile = false }) => {
    const prepared = args.map((arg) => (Number.isInteger(arg?.bytes) ? Buffer.alloc(arg.bytes, 7) : arg));
    (volatile ? io.volatile : io).emit(event, ...prepared);
    return {};
  },
  // The server's own disconnect; with `close` the transport goes too.
  disconnect: ({ close = false }) => {
    io.disconnectSockets(close);
    return {};
  },
  // From now on the middleware refuses with this message; null ends that.
  refuse: ({ message }) => {
    refusal = message;
    return {};
  },
};

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const [[name, argument]] = Object.entries(JSON.parse(line));
    console.log(JSON.stringify(commands[name](argument)));
  })
  .on("close", () => process.exit(0));

// The port of a server that was just killed may be held for a moment.
const since = Date.now();
http.on("error", (error) => {
  if (error.code !== "EADDRINUSE" || Date.now() - since > LISTEN_PATIENCE_MS) throw error;
  setTimeout(listen, 50);
});
http.on("listening", () => console.log(JSON.stringify({ port: http.address().port })));
function listen() {
  http.listen(Number(options.port), "127.0.0.1");
}
listen();
