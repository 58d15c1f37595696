"""Lifecycle interface for applications: the pipeline documents' function, over declared rules."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from storage.core.settings import Settings
from storage.lifecycle.apply import apply, plan
from storage.lifecycle.connect import lifecycle


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleReport:
    """Result of the configuration. ``waits``: the SHA-256 to approve, if nothing was done without it.

    ``changed``: ids of rules added, changed or removed. ``left_out``: id to why this store does not have it.
    """

    bucket: str
    changed: tuple[str, ...] = ()
    left_out: dict[str, str]
    waits: str = ""

    def __str__(self) -> str:
        if self.waits:
            return f"Lifecycle policies of {self.bucket} wait for approval: approve={self.waits!r}"
        return f"Lifecycle policies configured: {', '.join(self.changed) or 'nothing was to change'}"


def configure_lifecycle_policies(
    settings: Settings | None = None, *, include: Iterable[str] = (), approve: str = ""
) -> LifecycleReport:
    """Update the bucket's rules to the declared ones; rules of others are left unchanged.

    ``include`` names rules on request: ``delete-temp-files``, ``delete-failed-jobs``, ``archive-old-jobs``.
    A plan that deletes is not applied until its SHA-256 is passed in ``approve``. Settings are read from the
    environment unless given. Raises RulesRefused, LifecycleChanged, LifecycleNotHeld, AccessDenied.
    """
    with lifecycle(settings or Settings.from_env(os.environ)) as manager:
        wanted = plan(manager, include)
        left_out = {id: one.why for id, one in wanted.left_out.items()}
        if wanted.deletes and not approve and not wanted.findings:
            return LifecycleReport(bucket=wanted.bucket, left_out=left_out, waits=wanted.sha256)
        done = apply(manager, wanted, "configure_lifecycle_policies", approve)
        left_out = {id: one.why for id, one in done.left_out.items()}
        return LifecycleReport(bucket=wanted.bucket, changed=done.changed, left_out=left_out)


__all__ = ["LifecycleReport", "configure_lifecycle_policies"]
