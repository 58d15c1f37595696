"""Database restored to yesterday's state beside a kept copy of today's, as a swap leaves them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from sqlalchemy import Engine

from devstack.postgres import Postgres
from storage.backup.context import BackupContext

Keep = Callable[[], str]
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


@contextmanager
def copies(engine: Engine, server: Postgres) -> Iterator[Keep]:
    """Yield a function that copies the live database and returns the copy's name; drop the copies at exit."""
    made = []

    def copy() -> str:
        engine.dispose()  # a database with open connections cannot be copied
        name = f"kept_{secrets.token_hex(6)}"
        with server.connect() as session, session.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{engine.url.database}" OWNER maintainer')
        made.append(name)
        return name

    yield copy
    for name in made:
        gone(server, name)


def gone(server: Postgres, name: str) -> None:
    with server.connect() as session, session.cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def begin(context: BackupContext, now: datetime, kept: str) -> None:
    """Open the restore epoch of a restore made just now from a backup of a day ago."""
    answer = {"backup": "20260307T020000Z-0a1b2c3d", "taken_at": (now - DAY).isoformat(), "kept": kept}
    context.stores.control.write("restore_epoch", json.dumps(answer | {"restored_at": now.isoformat()}))
    context.stores.control.write("paused", "restored from backup")
