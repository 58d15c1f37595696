"""Scenarios of the jobs under test: each with a small initial state and the required final state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from storage import catalog
from storage.cleanup.temp import EndedTempFiles, EndedTempObjects, TempFiles, TempObjects
from storage.cleanup.uploads import OrphanUploads, StaleUploads
from storage.engine.job import MaintenanceJob
from storage.engine.policy import Policy
from storage.engine.sweep import plan
from storage.engine.undo import undo
from storage.installation import Installation
from tests.faults.cleanup import records
from tests.faults.cleanup.environment import OLD, Environment, Row, World, as_of
from tests.support.runs import apply

DAY = timedelta(days=1)
Act = Callable[[Installation, str], None]
Check = Callable[[Environment], Iterable[str]]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """``act`` gets the fault; all that is not named in ``gone`` stays, byte by byte, at every instant.

    ``later`` are the later nightly runs when the faulted run is not repeated; ``then`` are the rows' states
    at the end, ``condemned`` the tombstones left open, by kind and key. The last two yield violations.
    """

    name: str
    world: World
    act: Act
    setup: Callable[[Environment], None] = lambda environment: None
    later: tuple[Act, ...] = ()
    gone: frozenset[str] = frozenset()
    gone_folders: frozenset[str] = frozenset()
    then: dict[str, str] = field(default_factory=dict)
    condemned: frozenset[tuple[str, str]] = frozenset()
    at_any_time: Check = lambda environment: ()
    at_the_end: Check = lambda environment: ()

    @property
    def nights(self) -> tuple[Act, ...]:
        return self.later or (self.act,)


def job(name: str, policy: Callable[[], Policy] | None = None) -> MaintenanceJob:
    """Return a catalogued job; ``policy`` replaces its own, with ages as short as the trials need."""
    found = catalog.get(name)
    return replace(found, policy=policy, parameters=()) if policy else found


def runs(one: MaintenanceJob) -> Act:
    """Return an act that plans and applies under a run id, as Airflow does: a repeat reuses the plan."""

    def act(stores: Installation, run_id: str) -> None:
        planned = plan(one, stores, as_of(), run_id=f"{one.name}-{run_id}")
        apply(planned.id, stores)

    return act


TEMP_FILES = runs(job("cleanup_temp_files", lambda: TempFiles(older_than=OLD, hold=timedelta(0))))
ENDED_FILES = runs(
    job("cleanup_ended_temp_files", lambda: EndedTempFiles(older_than=OLD, hold=timedelta(0), window=DAY))
)
TEMP_OBJECTS = runs(job("cleanup_temp_objects", lambda: TempObjects(older_than=OLD)))
ENDED_OBJECTS = runs(job("cleanup_ended_temp_objects", lambda: EndedTempObjects(older_than=OLD, window=DAY)))
UPLOADS = runs(job("abort_uploads", lambda: StaleUploads(older_than=OLD)))
ORPHANS = runs(job("cleanup_orphan_uploads", lambda: OrphanUploads(older_than=2 * DAY + OLD)))
FAILED, STUCK, REAP = (runs(job(name)) for name in ("cleanup_failed_jobs", "cleanup_stuck_jobs", "reap"))
RECORDS = runs(job("prune_records"))

_ROWS = (
    Row(id="done", status="completed", output="processed/done/v.mp4"),
    Row(id="busy", status="processing"),
)
_OBJECTS = World(
    rows=_ROWS,
    objects=(
        "temp/done/a.ts", "temp/done/sub/b.ts", "temp/none/c.ts",
        "temp/busy/x.ts", "temp/young.ts", "temporary/near.ts", "processed/done/v.mp4", "uploads/done/in.mp4",
    ),
    young=frozenset({"temp/young.ts"}),
)  # fmt: skip
_FILES = World(
    rows=_ROWS,
    files=("done/a.ts", "done/sub/b.ts", "loose.tmp", "busy/x.ts", "young.ts"),
    links=("done/link",),
    young=frozenset({"young.ts"}),
)
_UPLOADS = World(
    rows=_ROWS,
    objects=("uploads/done/in.mp4.part1", "uploads/done/in.mp4.part2", "uploads/busy/in.mp4.part1",
             "uploads/done/whole.mp4"),
    uploads=("uploads/done/native.mp4", "uploads/none/native.mp4", "uploads/busy/beating.mp4"),
    young=frozenset({"uploads/busy/beating.mp4"}),
)  # fmt: skip
_ORPHANS = World(
    rows=_ROWS,
    objects=("uploads/none/in.mp4", "uploads/no-one/in.mp4", "uploads/done/in.mp4", "uploads/new/in.mp4",
             "uploads/none/in.mp4.part1", "processed/none/v.mp4"),
    young=frozenset({"uploads/new/in.mp4"}),
)  # fmt: skip
_OF_J = ("processed/j/a.mp4", "processed/j/shared.mp4", "temp/j/b.ts", "failed/j/log.txt")
_FAILED = World(
    rows=(Row(id="j", status="failed", age=6 * DAY), Row(id="k", status="failed", age=9 * DAY),
          Row(id="late", status="failed", age=DAY), Row(id="j0", status="completed", age=9 * DAY)),
    objects=(*_OF_J, "uploads/k/in.mp4", "processed/j0/a.mp4", "uploads/late/in.mp4", "processed/jk/a.mp4"),
)  # fmt: skip
_STUCK = World(
    rows=(Row(id="q", status="queued", age=2 * DAY), Row(id="p", status="processing", age=3 * DAY),
          Row(id="u", status="uploading", age=2 * DAY), Row(id="live", status="processing"),
          Row(id="done", status="completed", age=9 * DAY)),
    objects=("uploads/q/in.mp4", "temp/live/a.ts"),
)  # fmt: skip
_REAP = World(
    rows=(Row(id="j", status="failed", age=6 * DAY), Row(id="again", status="failed", age=6 * DAY),
          Row(id="other", status="completed", output="processed/j/shared.mp4"),
          Row(id="busy", status="processing")),
    objects=(*_OF_J, "processed/again/a.mp4", "processed/j0/a.mp4", "uploads/none/in.mp4",
             "uploads/came/in.mp4"),
    files=("loose.tmp", "none/x.ts", "busy/y.ts"),
)  # fmt: skip
_UNDO = replace(_FAILED, objects=_OF_J, files=_FILES.files, links=_FILES.links, young=_FILES.young, rows=(
    *_FAILED.rows[:1], *_ROWS))  # fmt: skip


def _condemn_all(environment: Environment) -> None:
    """Condemn with the product itself and make all due; then retry one job, and insert an orphan's row."""
    for act in (FAILED, ORPHANS, TEMP_FILES):
        act(environment.stores, "setup")
    environment.sql("UPDATE maintenance.tombstones SET delete_after = now() - interval '1 hour'")
    environment.sql("UPDATE jobs SET status = 'queued', updated_at = now() WHERE id = 'again'")
    environment.sql("INSERT INTO jobs (id, status) VALUES ('came', 'queued')")


def _condemn_two(environment: Environment) -> None:
    for act in (FAILED, TEMP_FILES):
        act(environment.stores, "setup")


def _undo(stores: Installation, run_id: str) -> None:
    for name in ("cleanup_failed_jobs-setup", "cleanup_temp_files-setup"):
        undo(name, stores)


def _tombstones(kind: str, keys: tuple[str, ...]) -> frozenset[tuple[str, str]]:
    return frozenset((kind, key) for key in keys)


_GONE_FILES = ("done/a.ts", "done/sub/b.ts", "done/link", "loose.tmp")
_ENDED_FILES = _GONE_FILES[:3]
_PARTS = ("uploads/done/in.mp4.part1", "uploads/done/in.mp4.part2")
ALL = (
    Scenario(
        name="cleanup_temp_files", world=_FILES, act=TEMP_FILES, later=(TEMP_FILES, REAP, TEMP_FILES),
        gone=frozenset(_GONE_FILES), gone_folders=frozenset({"done", "done/sub"}),
        condemned=_tombstones("file", _GONE_FILES),
    ),
    Scenario(
        name="cleanup_ended_temp_files", world=_FILES, act=ENDED_FILES,
        later=(ENDED_FILES, REAP, ENDED_FILES),
        gone=frozenset(_ENDED_FILES), gone_folders=frozenset({"done", "done/sub"}),
        condemned=_tombstones("file", _ENDED_FILES),
    ),
    Scenario(
        name="cleanup_temp_objects", world=_OBJECTS, act=TEMP_OBJECTS, gone=frozenset(_OBJECTS.objects[:3])
    ),
    Scenario(
        name="cleanup_ended_temp_objects", world=_OBJECTS, act=ENDED_OBJECTS,
        gone=frozenset(_OBJECTS.objects[:2]),
    ),
    Scenario(
        name="abort_uploads", world=_UPLOADS, act=UPLOADS, gone=frozenset(_UPLOADS.uploads[:2]),
        condemned=_tombstones("object", _PARTS),
    ),
    Scenario(
        name="cleanup_orphan_uploads", world=_ORPHANS, act=ORPHANS,
        condemned=_tombstones("object", _ORPHANS.objects[:2]),
    ),
    Scenario(
        name="cleanup_failed_jobs", world=_FAILED, act=FAILED,
        condemned=_tombstones("job", ("j", "k")) | _tombstones("object", (*_OF_J, "uploads/k/in.mp4")),
    ),
    Scenario(
        name="cleanup_stuck_jobs", world=_STUCK, act=STUCK,
        then={"q": "failed", "p": "failed", "u": "failed"},
    ),
    Scenario(
        name="reap", world=_REAP, act=REAP, setup=_condemn_all,
        then={"j": "cleaned_up", "again": "queued", "came": "queued"},
        gone=frozenset({"processed/j/a.mp4", "temp/j/b.ts", "failed/j/log.txt", "uploads/none/in.mp4",
                        "loose.tmp", "none/x.ts"}),
        gone_folders=frozenset({"none"}),
    ),
    Scenario(name="undo", world=_UNDO, act=_undo, setup=_condemn_two),
    Scenario(
        name="prune_records", world=World(rows=_ROWS, objects=("processed/done/v.mp4",)), act=RECORDS,
        setup=records.lay, at_any_time=records.known, at_the_end=records.pruned,
    ),
)  # fmt: skip
