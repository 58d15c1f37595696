"""Taking back what a run condemned, as far as it has not been reaped."""

from __future__ import annotations

from storage.core.errors import NoSuchRun
from storage.core.model import Outcome, Tombstone
from storage.core.ports import Stores
from storage.engine.actions.files import put_back


def undo(run_id: str, stores: Stores) -> list[tuple[Tombstone, Outcome]]:
    """Lift every tombstone of the run that reap has not begun on, and rename its files back.

    May be repeated: a file whose tombstone was lifted before a crash is still put back.
    """
    run = stores.runs.get(run_id)
    if run is None:
        raise NoSuchRun(run_id)
    with stores.runs.lock(run.job):
        stones = list(stores.tombstones.of_run(run_id))
        lifted = stores.tombstones.undo([stone.id for stone in stones if stone.state == "condemned"])
        result = [(stone, _one(stone, stone.id in lifted, stores)) for stone in stones]
        stores.audit.record("undo", run_id, {"lifted": len(lifted)})
    return result


def _one(stone: Tombstone, lifted: bool, stores: Stores) -> Outcome:
    aside = stone.kind == "file" and stores.files.look(stone.held_at) is not None
    if not lifted and stone.state != "undone" and not (aside and stone.state in ("kept", "reaped")):
        return Outcome("skipped", f"too late: {stone.state}", stone.size)
    if aside and not put_back(stores.files, stone.held_at, stone.key):
        return Outcome("failed", f"something new lies there; the file is at {stone.held_at}", stone.size)
    if lifted or aside:
        return Outcome("done", "", stone.size)
    return Outcome("skipped", "undone before", stone.size)
