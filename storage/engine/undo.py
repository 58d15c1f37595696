"""Undo of a run's tombstones that have not been reaped."""

from __future__ import annotations

from storage.core.errors import NoSuchRun
from storage.core.model import Outcome, Tombstone
from storage.core.ports import Stores
from storage.engine.actions.files import put_back


def undo(run_id: str, stores: Stores) -> list[tuple[Tombstone, Outcome]]:
    """Undo every tombstone of the run that reap has not begun, and rename its files back.

    May be repeated: a file whose tombstone was undone before a crash is still renamed back.
    """
    run = stores.runs.get(run_id)
    if run is None:
        raise NoSuchRun(run_id)
    with stores.runs.lock(run.job):
        tombstones = list(stores.tombstones.of_run(run_id))
        lifted = stores.tombstones.undo(
            [tombstone.id for tombstone in tombstones if tombstone.state == "condemned"]
        )
        result = [(tombstone, _one(tombstone, tombstone.id in lifted, stores)) for tombstone in tombstones]
        stores.audit.record("undo", run_id, {"lifted": len(lifted)})
    return result


def _one(tombstone: Tombstone, lifted: bool, stores: Stores) -> Outcome:
    aside = tombstone.kind == "file" and stores.files.look(tombstone.held_at) is not None
    if not lifted and tombstone.state != "undone" and not (aside and tombstone.state in ("kept", "reaped")):
        return Outcome("skipped", f"too late: {tombstone.state}", tombstone.size)
    if aside and not put_back(stores.files, tombstone.held_at, tombstone.key):
        return Outcome(
            "failed", f"a new file has its path; the condemned file is at {tombstone.held_at}", tombstone.size
        )
    if lifted or aside:
        return Outcome("done", "", tombstone.size)
    return Outcome("skipped", "undone before", tombstone.size)
