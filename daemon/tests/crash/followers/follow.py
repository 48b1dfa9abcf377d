"""Follows the change feed of the socket that is given, until its input ends; says each position, and at the end what it has folded."""

import json
import sys
import threading
from typing import Dict, Tuple

from aesync import Change, Client, Connected, Disconnected

records: Dict[Tuple[str, str], object] = {}
with Client(sys.argv[1]) as client, client.subscribe(["change"], since=0) as events:

    def close_at_the_end() -> None:
        sys.stdin.read()
        events.close()

    threading.Thread(target=close_at_the_end, daemon=True).start()
    for event in events:
        if isinstance(event, Change):
            if event.op == "delete":
                del records[event.entity_type, event.id]
            else:
                records[event.entity_type, event.id] = event.record
            print(event.seq, flush=True)
        elif isinstance(event, Connected):
            print("connected", flush=True)
        elif not isinstance(event, Disconnected):
            sys.exit(f"not asked for: {event}")
print(json.dumps([[entity_type, id, record] for (entity_type, id), record in records.items()]))
