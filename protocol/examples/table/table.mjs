// A live table of one type's records: node table.mjs TYPE COLUMN...

import { Client } from "../../clients/node/src/index.js";

// Changes that follow each other so closely are drawn at once.
const REST_MS = 50;

const [entityType, ...columns] = process.argv.slice(2);
if (!entityType || columns.length === 0) {
  console.error("usage: table.mjs TYPE COLUMN...");
  process.exit(2);
}

const rows = new Map();
let daemon = "connecting";
let drawing;

function draw() {
  drawing = undefined;
  const width = (column) => Math.max(column.length, ...[...rows.values()].map(({ record }) => cell(record, column).length));
  const line = (cells) => cells.map((text, at) => text.padEnd(width(columns[at]))).join("  ").trimEnd();
  const body = [...rows.values()].map(({ record, pending }) => `${pending ? "*" : " "} ${line(columns.map((column) => cell(record, column)))}`);
  if (process.stdout.isTTY) process.stdout.write("\x1b[2J\x1b[H");
  console.log([`  ${line(columns)}`, ...body.sort(), `${rows.size} rows of ${entityType}, ${daemon}`, ""].join("\n"));
}

// What comes from elsewhere must not steer the terminal.
const cell = (record, column) => String(record[column] ?? "").replace(/[\p{Cc}\p{Cf}]/gu, " ");

const client = new Client();
const events = client.subscribe({ entityTypes: [entityType], since: 0 });
process.on("SIGINT", () => events.close());
try {
  for await (const event of events) {
    if (event.channel === "reset") {
      const { records, seq } = await client.load(entityType);
      rows.clear();
      for (const { record, pending } of records) rows.set(record.id, { record, pending });
      events.loaded(seq);
    } else if (event.channel === "change") {
      const { op, id, record, pending } = event.change;
      if (op === "delete") rows.delete(id);
      else rows.set(id, { record, pending });
    } else if (event.channel === "connected") {
      daemon = "live";
    } else if (event.channel === "disconnected") {
      daemon = "the daemon is away";
    }
    drawing ??= setTimeout(draw, REST_MS);
  }
} catch (error) {
  console.error(`table: ${error.message}`);
  process.exitCode = 1;
} finally {
  clearTimeout(drawing);
  client.close();
}
