"""Request counter of the fakes, with a hook before each request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from threading import Lock


class Traffic:
    """Counter of requests by name. ``before`` is called before each: it may raise, or change state."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.before: Callable[[str], None] = lambda name: None
        self._lock = Lock()

    def __call__(self, name: str) -> None:
        self.before(name)
        with self._lock:
            self.requests[name] += 1
