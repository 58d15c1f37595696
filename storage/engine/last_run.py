"""The last run that acted, named in the plan bucket as well: a database that does not know it went back.

A disk snapshot or a point-in-time recovery restores a database behind this platform's back. Its marks for
deletion are then of another day; some were withdrawn since. It opens a restore epoch by itself.

The run's row is set to applying before the object is written: a kill in between leaves an object that lags,
which is harmless. So the object is ahead of the database only if the database went back.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

from storage.core.errors import ObjectMissing
from storage.core.model import ACTED, ObjectKey, Run
from storage.core.ports import EngineStores

NOTICED = "went_back"  # control row: the unknown run for which an epoch was opened, once
LONGEST = 1000  # bytes of a run's name


def record(run: Run, stores: EngineStores) -> None:
    """Name the run in the plan bucket; its row is saved. A run without actions is not named."""
    if run.planned.count and (key := _key(stores)):
        stores.plans.create(key, run.id.encode(), over=True)


def check(stores: EngineStores) -> None:
    """Open a restore epoch if the database does not know that the run named last began; once for each."""
    if not (last := _named(stores)) or _acted(last, stores) or stores.control.read(NOTICED) == last:
        return
    if stores.control.read("restore_epoch") is None:
        epoch = {
            "backup": "",
            "taken_at": _known_until(stores).isoformat(),
            "restored_at": stores.clock().isoformat(),
            "kept": "",
        }
        stores.control.write("restore_epoch", json.dumps(epoch))
        stores.audit.record("went-back", last, epoch)
    stores.control.write(NOTICED, last)  # after it: a kill in between opens no epoch twice


def _acted(run_id: str, stores: EngineStores) -> bool:
    """Return True if the database knows that the run began, and not only its plan."""
    run = stores.runs.get(run_id)
    return run is not None and run.state in ACTED


def _key(stores: EngineStores) -> ObjectKey | None:
    """Return the object's key, one for each pair of bucket and database; None before the first set-up."""
    identity = stores.control.read("identity")
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16] if identity else ""
    return ObjectKey(f".maintenance/last-run-{digest}") if digest else None


def _named(stores: EngineStores) -> str:
    """Return the run that the plan bucket names; "" before the first run that acted."""
    key = _key(stores)
    if key is None:
        return ""
    try:
        found = stores.plans.document(key, LONGEST)
    except ObjectMissing:  # no run of this bucket and database has acted yet
        return ""
    return found.body.decode(errors="replace") if found else ""


def _known_until(stores: EngineStores) -> datetime:
    """Return an instant before which nothing is lost: the end of the last verified run that is known.

    No run was verified since the database went back: each would have opened the epoch first.
    """
    verified = (run.finished_at for run in stores.runs.latest(state="verified"))
    return max(filter(None, verified), default=datetime(1970, 1, 1, tzinfo=UTC))
