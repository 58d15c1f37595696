"""Backups of the database and of the bucket's metadata: taking, proving, pruning and restoring.

:class:`BackupManager`, the class of the pipeline documents, is exported here but imported on first use: a
program that only plans needs no vendor's client library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.backup.manager import BackupManager

__all__ = ["BackupManager"]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module("storage.backup.manager"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
