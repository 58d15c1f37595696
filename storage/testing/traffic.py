"""What is asked of a fake, counted; and a place to stand between two requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from threading import Lock


class Traffic:
    """Counts requests by name. ``before`` is called ahead of each one: let it raise, or move the world."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.before: Callable[[str], None] = lambda name: None
        self._lock = Lock()

    def __call__(self, name: str) -> None:
        self.before(name)
        with self._lock:
            self.requests[name] += 1
