"""Circuit breaker of a run: a cause that fails every action stops it early."""

from __future__ import annotations

from collections.abc import Sequence

from storage.core.errors import TooManyFailures
from storage.core.model import Outcome

MAX_CONSECUTIVE_FAILURES = 10
SHARE = 0.01  # of the actions tried, from 1,000 on


class Breaker:
    """Circuit breaker: stops a run after 10 consecutive failures, or when more than 1 % fail.

    Rows that the database refuses do not count: each was asked about, and none was changed.
    """

    def __init__(self) -> None:
        self.tried = self.failed = self.in_a_row = 0
        self.first = ""

    def count(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.of_row:
                continue
            self.tried += 1
            bad = outcome.status == "failed"
            self.failed += bad
            self.in_a_row = self.in_a_row + 1 if bad else 0
            self.first = self.first or (outcome.detail if bad else "")
            if self.in_a_row >= MAX_CONSECUTIVE_FAILURES:
                raise TooManyFailures(self.failed, self.tried, self.first)
        if self.tried >= 1000 and self.failed > SHARE * self.tried:
            raise TooManyFailures(self.failed, self.tried, self.first)
