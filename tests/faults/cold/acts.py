"""Acts on cold data: each with the objects it is done to and the state required afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from storage import connect
from storage.cli import cold as commands_cold
from storage.cold import restore, tiering
from storage.cold.journal import memory_of
from storage.cold.model import Saving, class_of, compression_of
from storage.cold.policy import ColdObjects
from storage.cold.s3.replace import S3ObjectReplacer
from storage.core.clock import utcnow
from storage.core.errors import ActionsFailed
from storage.core.model import JobId, ObjectKey
from storage.engine.job import MaintenanceJob
from storage.engine.sweep import plan
from storage.installation import Installation
from storage.lifecycle import apply as lifecycle_apply
from storage.lifecycle.apply import Lifecycle
from storage.lifecycle.document import read
from storage.lifecycle.postgres import PostgresVersions
from storage.lifecycle.s3 import S3Lifecycle
from storage.stores.postgres.connection import connect as connect_engine
from storage.stores.s3.bucket import S3Bucket
from tests.faults.cleanup.scenarios import job
from tests.faults.cold.environment import ColdEnvironment
from tests.faults.cold.things import JOB, Thing
from tests.faults.effects import Injector
from tests.faults.transports import http_client, watch_sql
from tests.support import remote_tier as remote
from tests.support.runs import apply

SMALLEST_PART = 5 << 20  # bytes; S3 accepts a smaller part only as the last one


@dataclass(frozen=True)
class At:
    """Context of an act: it is done in a child, with watched stores, as the run of that name."""

    stores: Installation
    injector: Injector
    cold_env: ColdEnvironment
    run: str


Does = Callable[[At], None]
Prepares = Callable[[ColdEnvironment], None]


def _nothing(cold_env: ColdEnvironment) -> None:
    """Prepare nothing: leave the objects as they were written."""


def _no_more(cold_env: ColdEnvironment) -> Iterator[str]:
    yield from ()


@dataclass(frozen=True, kw_only=True)
class Act:
    """``does`` gets the fault; in the end the named objects are ``compressed``, ``moved`` or ``skipped``.

    ``before`` prepares the environment, ``between`` is what happens outside before the act is repeated,
    ``then`` names the further nights it needs. ``skipped``: objects that do not shrink. ``ledger``: kinds
    entered for each object. ``by_hand``: the nightly job does not do it.
    """

    name: str
    kind: str
    things: tuple[Thing, ...]
    does: Does
    before: Prepares = _nothing
    between: Prepares = _nothing
    then: tuple[str, ...] = ()
    compressed: tuple[Thing, ...] = ()
    moved: tuple[Thing, ...] = ()
    skipped: tuple[Thing, ...] = ()
    ledger: tuple[str, ...] = ()
    by_hand: bool = False
    more: Callable[[ColdEnvironment], Iterator[str]] = _no_more

    def wrong(self, cold_env: ColdEnvironment) -> Iterator[str]:
        """Yield what was not done, or was done twice."""
        records = cold_env.records()
        for one in self.things:
            seen = cold_env.details(one.key)
            coded = compression_of(one.key, seen.attributes) is not None
            if coded != (one in self.compressed):
                yield f"{one.key} is {'' if coded else 'not '}compressed"
            if (seen.info.storage_class == cold_env.target) != (one in self.moved):
                yield f"{one.key} is in {seen.info.storage_class}"
            if one in self.skipped and (one.key not in records or records[one.key].compression != "skipped"):
                yield f"of {one.key} it is not remembered why it stays as it is"
        if cold_env.ledger() != self._ledger():
            yield f"the ledger has {dict(cold_env.ledger())}"
        yield from self.more(cold_env)

    def _ledger(self) -> Counter[tuple[str, str]]:
        """Return the expected entries: one per object and kind; ``ledger`` names the kinds of all objects."""
        entries = [(str(one.key), kind) for one in self.things for kind in self.ledger]
        entries += [(str(one.key), "compress") for one in self.compressed if "compress" not in self.ledger]
        entries += [(str(one.key), "transition") for one in self.moved if "transition" not in self.ledger]
        return Counter(entries)


# --- nights ----------------------------------------------------------------------------------------
def nightly(*steps: str) -> Does:
    """Return a run of the catalogued job with these steps; tagged objects have moved before its next look."""

    def does(at: At) -> None:
        _taken_at_once(at.cold_env)
        name = f"cold_storage-{at.run}"
        if at.run != "first" or at.stores.runs.get(name) is None:
            plan(job_of(*steps), at.stores, utcnow(), run_id=name)
        apply(name, at.stores)

    return does


def job_of(*steps: str) -> MaintenanceJob:
    """Return the catalogued job, limited to these steps."""
    return job("cold_storage", lambda: ColdObjects(steps=steps))


COMPRESS, MOVE, NIGHT = nightly("compress"), nightly("transition"), nightly("compress", "transition")


def _taken_at_once(cold_env: ColdEnvironment) -> None:
    """Wait for the remote tier before the first look, so that every run makes the same number of looks."""
    awaited = tiering._awaited

    def patient(sent: Any, stores: Any, pool: Any) -> Any:
        if cold_env.environment.kind == "minio":
            cold_env.until_moved([one.move.key for one in sent])
        return awaited(sent, stores, pool)

    tiering._awaited = patient


def in_parts(at: At) -> None:
    """Compress with parts so small that the object has two."""
    bucket = at.stores.objects
    assert isinstance(bucket, S3Bucket)
    replacer = S3ObjectReplacer(
        bucket,
        conditional=lambda: True,
        counts_tags=lambda: at.stores.control.capabilities().counts_tags is True,
        uploads=at.stores.uploads,
        part_size=SMALLEST_PART,
    )
    COMPRESS(replace(at, stores=replace(at.stores, replacer=replacer)))


def planned(*steps: str) -> Prepares:
    """Return a preparation that makes tonight's plan, so that the fault hits its apply."""

    def prepares(cold_env: ColdEnvironment) -> None:
        plan(job_of(*steps), cold_env.stores, utcnow(), run_id="cold_storage-first")

    return prepares


# --- move requested, not done yet ------------------------------------------------------------------
def rule_is_gone(cold_env: ColdEnvironment) -> None:
    """Plan, then remove the lifecycle rule: objects tagged afterwards are not moved."""
    planned("transition")(cold_env)
    cold_env.install(managed=False)


def sent_earlier(cold_env: ColdEnvironment) -> None:
    """Move the objects as an earlier night that did not see them arrive, then plan."""
    send(cold_env, held=False)
    planned("transition")(cold_env)


def ask(at: At) -> None:
    """Apply the plan without waiting for the moves; later nights are normal runs."""
    if at.run != "first":
        MOVE(at)
        return
    tiering.TIMEOUT = 0.0
    apply("cold_storage-first", at.stores)


def rule_is_back(cold_env: ColdEnvironment) -> None:
    cold_env.install()
    taken(cold_env)


def taken(cold_env: ColdEnvironment) -> None:
    """Wait until the tagged objects are in the remote tier."""
    cold_env.until_moved(cold_env.things)


# --- by hand ---------------------------------------------------------------------------------------
def bring_back(at: At) -> None:
    """Restore all objects as ``storage tier restore`` does."""
    done = [found for _, found in restore.bring_back(list(at.cold_env.things), at.stores, at.run)]
    if failed := [one.detail for one in done if one.status == "failed"]:
        raise ActionsFailed(len(failed), len(done), failed[0])


def decompress(at: At) -> None:
    """Decompress all objects as ``storage decompress KEY ... --apply`` does."""
    found = list(commands_cold._compressed(at.stores, at.cold_env.things))
    done = list(commands_cold._restore(at.stores, found))
    if failed := [one["why"] for one in done if one["status"] == "failed"]:
        raise ActionsFailed(len(failed), len(done), failed[0])


def compress_first(cold_env: ColdEnvironment) -> None:
    """Compress the objects with the product, without faults."""
    apply(plan(job_of("compress"), cold_env.stores, utcnow(), run_id="setup").id, cold_env.stores)


def send(cold_env: ColdEnvironment, *, held: bool = True) -> None:
    """Move all objects to the cold tier; record them as held there, or as only asked to move."""
    for key in cold_env.things:
        if cold_env.environment.kind == "minio":
            cold_env.stores.tier_store.put_tags(key, {**cold_env.stores.tier_store.tags(key), "tier": "cold"})
        else:
            cold_env.stores.tier_store.copy_in_place(cold_env.details(key), cold_env.target)
    if cold_env.environment.kind == "minio":
        cold_env.until_moved(cold_env.things)
    for key in cold_env.things:
        now = cold_env.details(key)
        made = replace(memory_of(now, cold_env.records().get(key)), tier="cold", asked_at=utcnow())
        cold_env.stores.cold.save_records([replace(made, tier_state="held" if held else "asked")])
        if held:
            cold_env.stores.cold.enter([_entered(key, now.info.etag, now.info.size)])


def _entered(key: ObjectKey, etag: str, size: int) -> Saving:
    return Saving(
        run_id="setup", key=key, object_class=class_of(key), owner=JobId(JOB), kind="transition", etag=etag,
        before=size, after=size, tier="cold",
    )  # fmt: skip


# --- lifecycle -------------------------------------------------------------------------------------
def lifecycle(at: At) -> None:
    """Apply the lifecycle rules as ``storage lifecycle apply --apply`` does."""
    settings = at.cold_env.environment.settings
    engine = connect_engine(settings.database_url)
    watch_sql(at.injector, engine)
    rules = S3Lifecycle(connect.endpoint(settings), at.stores.objects.bucket, http=http_client(at.injector))
    versions = PostgresVersions(engine, rules.bucket)
    context = Lifecycle(stores=at.stores, tiers=settings.cold_settings, rules=rules, versions=versions)
    lifecycle_apply.apply(context, lifecycle_apply.plan(context), "the campaign")
    engine.dispose()


def ours_stand(cold_env: ColdEnvironment) -> Iterator[str]:
    ours = set(read(cold_env.lifecycle.get()).ours)
    wanted = (
        {remote.RULE}
        if cold_env.environment.kind == "minio"
        else {"storage-platform:abort-incomplete-uploads"}
    )
    if ours != wanted:
        yield f"of our rules there stand {sorted(ours)}"
    states = [state for (state,) in cold_env.environment.sql(_STATES)]
    if states[-1:] != ["applied"]:
        yield f"the versions are {states}"


_STATES = "SELECT state FROM maintenance.lifecycle_versions WHERE state <> 'found' ORDER BY number"
