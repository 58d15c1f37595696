"""Locks on every table of a database, taken before the snapshot that is dumped.

TRUNCATE and every ALTER that rewrites a table ignore snapshots. Between the snapshot and the locks of pg_dump
they leave a table empty in the dump that never was empty. Under ACCESS SHARE they cannot commit; reading
and writing go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from sqlalchemy import Connection

from storage.backup.errors import TableBusy, TablesChanging
from storage.core.errors import SchemaMissing, TransientFault
from storage.stores.postgres.connection import LOCK_NOT_AVAILABLE, Statements, translated

WAIT = "5s"  # for one table
DEADLOCK = "40P01"
TRIES, PAUSE = 12, 5.0  # pause in seconds


def locked_snapshot(
    sql: Statements, session: Connection, pause: Callable[[float], object] = time.sleep
) -> None:
    """Take the snapshot of ``session`` with every table that is in it locked.

    ``session`` is in REPEATABLE READ and outside a transaction. Raises TableBusy for a table that another
    session keeps locked, TablesChanging if tables are created and dropped all the time.
    """
    fault: TransientFault = TablesChanging()
    for number in range(TRIES):
        if number:
            pause(PAUSE)
        try:
            with translated():
                _lock(session, (str(row["name"]) for row in sql.rows("lockable", unlocked=False)))
                # The first query takes the snapshot. A table created since the list was read has no lock.
                if not sql.rows_in(session, "lockable", unlocked=True):
                    return
            fault = TablesChanging()
        except SchemaMissing:  # dropped or renamed since the list was read
            fault = TablesChanging()
        except TableBusy as busy:
            fault = busy
        session.rollback()
    raise fault


def _lock(session: Connection, names: Iterable[str]) -> None:
    """Lock tables, whose names come quoted by the server. Neither statement takes a snapshot."""
    session.exec_driver_sql(f"SET LOCAL lock_timeout = '{WAIT}'")
    for name in names:
        try:
            with translated():
                session.exec_driver_sql(f"LOCK TABLE ONLY {name.replace('%', '%%')} IN ACCESS SHARE MODE")
        except TransientFault as error:
            if error.vendor_code in (LOCK_NOT_AVAILABLE, DEADLOCK):
                raise TableBusy(name) from error
            raise
    session.exec_driver_sql("SET LOCAL lock_timeout = '10min'")
