#!/usr/bin/env python3
"""Notes that can be taken offline: `notes.py add TITLE [TEXT]`, `list`, `show ID`, `delete ID`."""

from __future__ import annotations

import argparse
import sys
import uuid
from datetime import datetime, timezone

from aesync import AesyncError, Client

TYPE = "interactions"


def add(client: Client, title: str, text: str) -> None:
    # The id is made here, so that the same note can't become two.
    note = {
        "id": str(uuid.uuid4()),
        "type": "note",
        "title": title,
        # The server takes no empty one.
        "description": text or title,
        "date": datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "is_deleted": 0,
    }
    client.push({TYPE: [note]})
    show_line(client, note["id"])


def show_line(client: Client, id: object) -> None:
    found = client.get(TYPE, str(id))
    print(line(found["record"], found["pending"]))


def list_notes(client: Client) -> None:
    for listed in notes(client):
        print(line(listed[0], listed[1]))


def show(client: Client, start: str) -> None:
    note = find(client, start)
    print(f"{note['title']}\n\n{note['description']}")


def delete(client: Client, start: str) -> None:
    client.push({TYPE: [{**find(client, start), "is_deleted": 1}]})


def notes(client: Client) -> "list[tuple[dict[str, object], bool]]":
    records, _ = client.load(TYPE)
    found = [(listed["record"], listed["pending"]) for listed in records if listed["record"].get("type") == "note"]
    return sorted(found, key=lambda note: str(note[0].get("date")))


def find(client: Client, start: str) -> "dict[str, object]":
    found = [note for note, _ in notes(client) if str(note["id"]).startswith(start)]
    if len(found) != 1:
        raise SystemExit(f"{len(found)} notes have an id that begins with {start}; `notes.py list` shows them")
    return found[0]


def line(note: "dict[str, object]", pending: bool) -> str:
    return f"{str(note['id'])[:8]}  {'waits' if pending else 'sent '}  {note.get('title')}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Notes that can be taken offline.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    adding = verbs.add_parser("add", help="take a note")
    adding.add_argument("title")
    adding.add_argument("text", nargs="?", default="")
    verbs.add_parser("list", help="one line for each note, the oldest first")
    for verb, meaning in (("show", "print one note"), ("delete", "delete one note")):
        verbs.add_parser(verb, help=meaning).add_argument("id", help="the beginning of its id")
    asked = parser.parse_args()
    try:
        with Client() as client:
            if asked.verb == "add":
                add(client, asked.title, asked.text)
            elif asked.verb == "list":
                list_notes(client)
            elif asked.verb == "show":
                show(client, asked.id)
            else:
                delete(client, asked.id)
    except AesyncError as error:
        sys.exit(f"notes: {error}")


if __name__ == "__main__":
    main()
