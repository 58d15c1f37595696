"""All stores of an installation, for programs that run any job: the command line and Airflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from storage import connect
from storage.backup import connect as backup
from storage.backup.ports import BackupStores
from storage.cold import connect as cold
from storage.cold.ports import ColdStores
from storage.core.clock import utcnow
from storage.core.settings import Settings
from storage.records import connect as records
from storage.records.ports import RecordStores


@dataclass(frozen=True, kw_only=True)
class Installation(BackupStores, ColdStores, RecordStores):
    """The stores of every capability."""


@contextmanager
def open_installation(
    settings: Settings,
    clock: Callable[[], datetime] = utcnow,
    *,
    engine: Engine | None = None,
    http: Any = None,
) -> Iterator[Installation]:
    """Open all stores. ``engine`` and ``http`` replace the connections, for example in tests."""
    with connect.database(settings, engine) as connected:
        shared = connect.shared(settings, clock, connected, http)
        yield Installation(
            **vars(shared),
            **backup.members(settings, shared, connected, http),
            **cold.members(settings, shared, connected),
            **records.members(settings, connected),
        )
