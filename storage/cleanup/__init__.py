"""Clean-up: temp files and objects, unfinished uploads, failed and stuck jobs, and reaping.

The documents' class is exported here but imported lazily: a program that only plans needs no vendor
client.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.cleanup.facade import StorageCleanup

__all__ = ["StorageCleanup"]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module("storage.cleanup.facade"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
