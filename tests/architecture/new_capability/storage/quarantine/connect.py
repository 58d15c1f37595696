"""Make the stores of quarantine from settings."""

from __future__ import annotations

from typing import TypedDict

from sqlalchemy import Engine

from storage.core.ports import Stores
from storage.quarantine.ports import QuarantineLog
from storage.quarantine.postgres import PostgresQuarantine


class Members(TypedDict):
    """Name the members that quarantine adds to the engine's stores."""

    quarantine: QuarantineLog


def members(shared: Stores, engine: Engine) -> Members:
    """Make the stores of quarantine beside the shared ones, on an open database."""
    return Members(quarantine=PostgresQuarantine(engine, shared.objects.bucket))
