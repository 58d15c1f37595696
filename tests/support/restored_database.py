"""A database that went back to yesterday, with the one of today beside it, as a swap leaves them."""

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
    """A function that puts a copy of the live database beside it; its name. They go when the block ends."""
    made = []

    def copy() -> str:
        engine.dispose()  # a database that somebody is connected to is not copied
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
    """Open the epoch of a restore, just now, of what was backed up a day ago."""
    answer = {"backup": "20260307T020000Z-0a1b2c3d", "taken_at": (now - DAY).isoformat(), "kept": kept}
    context.stores.control.write("restore_epoch", json.dumps(answer | {"restored_at": now.isoformat()}))
    context.stores.control.write("paused", "restored from backup")
