// Follows the change feed of the socket that is given, until its input ends; says each position, and at the end what it has folded.

import { Client } from "../../../../protocol/clients/node/src/index.js";

const records = new Map();
const client = new Client({ path: process.argv[2] });
const events = client.subscribe({ channels: ["change"], since: 0 });
process.stdin.on("end", () => events.close()).resume();
for await (const event of events) {
  if (event.channel === "change") {
    const { seq, op, entityType, id, record } = event.change;
    const place = JSON.stringify([entityType, id]);
    if (op === "delete" && !records.delete(place)) throw new Error(`change ${seq} deletes ${place}, which was not there`);
    if (op === "upsert") records.set(place, record);
    process.stdout.write(`${seq}\n`);
  } else if (event.channel === "connected") {
    process.stdout.write("connected\n");
  } else if (event.channel !== "disconnected") {
    throw new Error(`not asked for: ${JSON.stringify(event)}`);
  }
}
process.stdout.write(`${JSON.stringify([...records].map(([place, record]) => [...JSON.parse(place), record]))}\n`);
client.close();
