"""Lifecycle rules: declare, lint, plan, install beside those of others, and read back.

The documented function is exported here but imported lazily: it needs the stores, and they the ports here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.lifecycle.configure import LifecycleReport, configure_lifecycle_policies

__all__ = ["LifecycleReport", "configure_lifecycle_policies"]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module("storage.lifecycle.configure"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
