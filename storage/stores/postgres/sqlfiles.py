"""SQL files: numbered migrations, and named queries (``-- name: x`` before each)."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def folder() -> Path:
    """Return the ``sql`` folder: next to the package in a checkout, inside it when installed."""
    installed = Path(__file__).parents[2] / "_sql"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "sql"


@cache
def queries(file: str) -> dict[str, str]:
    """Read the statements of ``sql/queries/<file>.sql`` by name."""
    _, *parts = _NAME.split((folder() / "queries" / f"{file}.sql").read_text())
    return {name: body.strip().rstrip(";") for name, body in zip(parts[::2], parts[1::2], strict=True)}
