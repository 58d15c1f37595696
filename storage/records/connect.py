"""Build the stores of the records from settings."""

from __future__ import annotations

from typing import TypedDict

from sqlalchemy import Engine

from storage.core.retention import Retention
from storage.core.settings import Settings
from storage.records.ports import Records
from storage.records.postgres import PostgresRecords


class Members(TypedDict):
    """Members that :class:`storage.records.ports.RecordStores` adds to the engine's stores."""

    records: Records
    retention: Retention


def members(settings: Settings, engine: Engine) -> Members:
    return Members(records=PostgresRecords(engine), retention=settings.retention)
