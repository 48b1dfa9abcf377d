"""Who an app is to the daemon: `aectl clients` shows it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any, Dict, Optional

VERSION = "0.1.0"
"""Of this package."""


@dataclass(frozen=True)
class Greeting:
    """An app's name and version; without them the program's name, and this package's version."""

    name: Optional[str] = None
    version: Optional[str] = None

    def params(self) -> Dict[str, Any]:
        """The params of ``hello``."""
        version = f"aesync-python/{VERSION}" if self.version is None else self.version
        return {"client": {"name": program() if self.name is None else self.name, "version": version}, "protocol": 1}


def program() -> str:
    """The name of the program that runs: its script, or the package of `python -m`."""
    path = (getattr(sys, "argv", None) or [""])[0]
    if os.path.basename(path) == "__main__.py":
        path = os.path.dirname(path)
    name = os.path.basename(path)
    # A file's name need not be UTF-8.
    return "python" if name in ("", "-", "-c", "-m") else os.fsencode(name).decode("utf-8", "replace")
