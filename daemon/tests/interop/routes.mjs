// AdminEngine's documented HTTP routes.

import { createHmac, timingSafeEqual } from "node:crypto";

const BODY_LIMIT = 102_400;
const SECRET = "for these tests only";
const LIFE_SECONDS = 24 * 60 * 60;

export function mint(customer) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { customerId: customer.id, email: customer.email, type: "client", iat: now, exp: now + LIFE_SECONDS };
  const signed = [{ alg: "HS256", typ: "JWT" }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${signed}.${sign(signed)}`;
}

function sign(text) {
  return createHmac("sha256", SECRET).update(text).digest("base64url");
}

// The tenant of a good token, else null.
function tenantOf(token) {
  const dot = token.lastIndexOf(".");
  const given = Buffer.from(token.slice(dot + 1));
  const due = Buffer.from(sign(token.slice(0, Math.max(dot, 0))));
  if (given.length !== due.length || !timingSafeEqual(given, due)) return null;
  const claims = JSON.parse(Buffer.from(token.split(".")[1], "base64url").toString());
  return claims.exp > Date.now() / 1000 ? (claims.companyId ?? claims.customerId ?? null) : null;
}

// A listener for http.createServer. `announce(tenant, notification)` reaches the tenant's sockets.
export function routes({ customer, rows, announce, health, requests }) {
  return async (request, response) => {
    const answer = (status, body) => {
      requests.push({ path: request.url, status });
      response.writeHead(status, { "content-type": "application/json; charset=utf-8" }).end(JSON.stringify(body));
    };
    try {
      if (request.method === "GET" && request.url === "/health") return answer(200, health());
      const body = await read(request);
      if (body === null) return answer(500, { success: false, message: "Internal server error" });
      switch (`${request.method} ${request.url}`) {
        case "POST /api/customers/login":
          return login(customer, body, answer);
        case "POST /api/client/sync/push":
          return authorized(request, answer, (tenant) => push(tenant, rows, announce, body, answer));
        case "POST /api/client/sync/pull":
          return authorized(request, answer, (tenant) => pull(tenant, rows, body, answer, false));
        case "POST /api/client/sync/pull-pending":
          return authorized(request, answer, (tenant) => pull(tenant, rows, body, answer, true));
        default:
          return answer(404, { success: false, message: "Route not found" });
      }
    } catch (error) {
      answer(500, { success: false, error: error.message });
    }
  };
}

// The parsed body; null when it is too large or no JSON.
async function read(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size <= BODY_LIMIT) chunks.push(chunk);
  }
  if (size > BODY_LIMIT) return null;
  try {
    return JSON.parse(Buffer.concat(chunks).toString() || "{}");
  } catch {
    return null;
  }
}

function login(customer, { email, password }, answer) {
  if (email !== customer.email || password !== customer.password) {
    return answer(401, { success: false, message: "Invalid credentials" });
  }
  const { password: _, ...shown } = customer;
  answer(200, { success: true, data: { token: mint(customer), customer: shown } });
}

function authorized(request, answer, serve) {
  const token = (request.headers.authorization ?? "").replace(/^Bearer\s*/i, "");
  if (token === "") return answer(401, { success: false, error: "No token provided" });
  const tenant = tenantOf(token);
  if (tenant === null) return answer(401, { success: false, error: "Unauthorized" });
  serve(tenant);
}

function push(tenant, rows, announce, body, answer) {
  if (Object.keys(body).join() !== "changes") return answer(400, { success: false, error: '"table" is required' });
  const data = [];
  for (const [type, entities] of Object.entries(body.changes)) {
    for (const entity of entities) {
      const { row, existed } = rows.upsert(tenant, type, entity);
      data.push(row);
      announce(
        tenant,
        existed
          ? { type: "sync_complete", entityType: type, entityId: row.id, message: `${type} synced`, data: row }
          : { type: "data_available", entityType: type, entityId: row.id, message: `New ${type} data available` },
      );
    }
  }
  const batch = { count: data.length, entityTypes: Object.keys(body.changes) };
  announce(tenant, { type: "sync_complete", entityType: "batch", message: `${data.length} changes`, data: batch });
  answer(200, { success: true, data, syncTimestamp: new Date().toISOString() });
}

function pull(tenant, rows, body, answer, pendingOnly) {
  const foreign = Object.keys(body).find((key) => key !== "lastSyncTimestamp" && key !== "entityTypes");
  if (foreign) return answer(400, { success: false, error: `"${foreign}" is not allowed` });
  if (!body.lastSyncTimestamp) {
    return answer(400, { success: false, error: '"value" must contain at least one of [lastSyncTimestamp, lastSync]' });
  }
  const data = {};
  for (const type of body.entityTypes ?? []) {
    const time = pendingOnly ? 0 : Date.parse(body.lastSyncTimestamp);
    data[type] = pendingOnly && type === "end_user" ? [] : rows.changedAfter(tenant, type, time);
  }
  answer(200, { success: true, data, syncTimestamp: new Date().toISOString() });
}
