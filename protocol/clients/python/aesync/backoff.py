"""How long to wait before the next attempt to connect."""

from __future__ import annotations

import random
from typing import Callable

FIRST_SECONDS = 0.05
MAX_SECONDS = 5.0


class Backoff:
    """Doubles from 50 ms to 5 s. Half of each delay is random, so that apps do not all come back in the same instant."""

    def __init__(self, uniform: Callable[[], float] = random.random) -> None:
        self._uniform = uniform
        self._failures = 0

    def succeeded(self) -> None:
        """Starts again from the shortest delay."""
        self._failures = 0

    def next_delay(self) -> float:
        """Seconds to wait after one more failure."""
        ceiling = min(MAX_SECONDS, FIRST_SECONDS * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return ceiling * (0.5 + 0.5 * self._uniform())
