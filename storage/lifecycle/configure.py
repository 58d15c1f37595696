"""The lifecycle face applications know: the pipeline documents' function, over declared rules."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from storage.core.settings import Settings
from storage.lifecycle.apply import apply, plan
from storage.lifecycle.connect import lifecycle


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecycleReport:
    """What was configured. ``waits``: the SHA-256 to approve, where nothing was done for want of it.

    ``changed``: ids of the rules put, changed or taken away. ``left_out``: id to why this store has it not.
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
    """Bring the bucket's rules up to what is declared, beside those of others, which stay as they are.

    ``include`` names rules on request: ``delete-temp-files``, ``delete-failed-jobs``, ``archive-old-jobs``.
    A plan that deletes is only shown until its SHA-256 comes back in ``approve``. Settings are those of the
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
