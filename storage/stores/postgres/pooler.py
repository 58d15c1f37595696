"""Detection of a connection pooler that gives each transaction any session of the server.

Through one, an advisory lock belongs to whoever gets that session next, and settings made at the start may
not arrive. pgbouncer in transaction mode is the usual one.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg2

from storage.core.errors import PoolerInBetween

ROUNDS = 5  # of asking two sessions for the process that serves them


def refuse(session: Any) -> None:
    """Raise PoolerInBetween if the session's settings did not arrive, or if others share its process.

    A pooler makes up the number of the process that a session starts with: only where it is wrong, two more
    sessions are opened to find out what the pooler does.
    """
    pid, row_security = _asked(session, "SELECT pg_backend_pid(), current_setting('row_security')")
    if row_security != "off":
        raise PoolerInBetween("it drops the start-up parameter options, with row_security=off")
    if pid != session.info.backend_pid and _shares(session.dsn, session.info.password):
        raise PoolerInBetween("it is in transaction mode (one session of the server serves several clients)")


def _shares(dsn: str, password: str) -> bool:
    with (
        closing(psycopg2.connect(dsn, password=password)) as one,
        closing(psycopg2.connect(dsn, password=password)) as other,
    ):
        seen: dict[Any, set[int]] = {one: set(), other: set()}
        for session in (one, one, other) * ROUNDS:
            seen[session].add(_asked(session, "SELECT pg_backend_pid()")[0])
        return shared(seen[one], seen[other])


def shared(one: set[int], other: set[int]) -> bool:
    """Return True if two open sessions had not each a process of their own all the time."""
    return len(one) > 1 or len(other) > 1 or one == other


def _asked(session: Any, question: str) -> Any:
    """Ask in a transaction of its own, which leaves the session as it was."""
    with session.cursor() as cursor:
        cursor.execute(question)
        answer = cursor.fetchone()
    session.rollback()
    return answer
