"""Observed capabilities of an object-store endpoint."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Capabilities observed by ``storage probe``. None: not probed yet, therefore not relied on."""

    server: str = ""
    versioned: bool | None = None
    conditional_put: bool | None = None
    conditional_delete: bool | None = None
    conditional_bulk_delete: bool | None = None
    lists_uploads_by_prefix: bool | None = None
    lists_uploads: bool | None = None
    lists_below_objects: bool | None = None
    checks_sha256: bool | None = None
    conditional_complete: bool | None = None
    conditional_copy: bool | None = None
    counts_tags: bool | None = None
    storage_classes: tuple[str, ...] = ()
    refused_keys: tuple[str, ...] = ()
    clock_skew_seconds: float | None = None
    file_leases: bool | None = None
