// The tenants' rows, kept in a file so that they outlive a killed server.

import { randomUUID } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

const COLUMNS = {
  end_user: ["email", "name", "phone", "password", "address", "is_deleted"],
  interactions: ["type", "title", "description", "date", "status", "is_deleted"],
};

const REQUIRED = {
  end_user: ["email"],
  interactions: ["type", "title", "description", "date"],
};

export class Rows {
  #file;
  #tenants;

  constructor(file) {
    this.#file = file;
    this.#tenants = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {};
  }

  #table(tenant, type) {
    const types = (this.#tenants[tenant] ??= {});
    return (types[type] ??= []);
  }

  // Stores one entity unless its row exists: then only updatedAt moves, for the server wins.
  upsert(tenant, type, entity) {
    const columns = COLUMNS[type];
    if (!columns) throw new Error(`Entity type ${type} not registered`);
    const rows = this.#table(tenant, type);
    const id = UUID.test(entity.id) ? entity.id.toLowerCase() : randomUUID();
    let row = rows.find((candidate) => candidate.id === id);
    const existed = row !== undefined;
    if (existed) {
      row.pushes += 1;
    } else {
      row = this.#create(rows, type, id, entity);
    }
    row.updatedAt = new Date().toISOString();
    this.#save();
    return { row: shown(row), existed };
  }

  #create(rows, type, id, entity) {
    const missing = REQUIRED[type].find((column) => entity[column] === undefined || entity[column] === null);
    if (missing === "email") throw new Error("Email is required for ClientUser");
    if (missing) throw new Error(`null value in column "${missing}" of relation "${type}" violates not-null constraint`);
    if (type === "end_user" && rows.some((row) => row.email === entity.email)) {
      throw new Error('duplicate key value violates unique constraint "UQ_end_user_email"');
    }
    const row = { id, pushes: 1, sync_status: "synced", createdAt: new Date().toISOString() };
    for (const column of COLUMNS[type]) row[column] = entity[column] ?? null;
    rows.push(row);
    return row;
  }

  // What a pull returns: visible rows that changed after that time, the newest first.
  changedAfter(tenant, type, time) {
    return this.#table(tenant, type)
      .filter((row) => row.is_deleted === 0 && Date.parse(row.updatedAt) > time)
      .sort((one, other) => Date.parse(other.updatedAt) - Date.parse(one.updatedAt))
      .map(shown);
  }

  // How often each row was pushed.
  pushes(tenant, type) {
    return Object.fromEntries(this.#table(tenant, type).map((row) => [row.id, row.pushes]));
  }

  // Whole or not at all: the server may be killed at any moment.
  #save() {
    writeFileSync(`${this.#file}.new`, JSON.stringify(this.#tenants));
    renameSync(`${this.#file}.new`, this.#file);
  }
}

function shown({ pushes, ...row }) {
  return row;
}
