"""What is done with cold data, each act with the things it is done to and what must be true afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from storage import connect
from storage.cli import cold as commands_cold
from storage.cold import restore, tiering
from storage.cold.journal import memory_of
from storage.cold.model import Saving, class_of, coding_of
from storage.cold.policy import ColdObjects
from storage.cold.s3.replace import S3Rewriter
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
from tests.faults.cold.environment import JOB, Cellar, Thing
from tests.faults.effects import Injector
from tests.faults.transports import http_client, watch_sql
from tests.support import remote_tier as remote
from tests.support.runs import apply

SMALLEST_PART = 5 << 20  # bytes; S3 takes no smaller one but the last


@dataclass(frozen=True)
class At:
    """Where an act is done: in a child, with watched stores, as the run of that name."""

    stores: Installation
    injector: Injector
    cellar: Cellar
    run: str


Does = Callable[[At], None]
Prepares = Callable[[Cellar], None]


def _nothing(cellar: Cellar) -> None:
    """As the things were laid."""


def _no_more(cellar: Cellar) -> Iterator[str]:
    yield from ()


@dataclass(frozen=True, kw_only=True)
class Act:
    """``does`` is struck; at last those things are ``compressed``, ``moved``, and found not to shrink.

    ``before`` prepares what was laid, ``between`` is what the world does before the act is repeated, ``then``
    names the further nights it needs. ``ledger``: kinds entered of each thing. ``by_hand``: no night does it.
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
    more: Callable[[Cellar], Iterator[str]] = _no_more

    def wrong(self, cellar: Cellar) -> Iterator[str]:
        """What is not done, or done twice."""
        memories = cellar.memories()
        for one in self.things:
            seen = cellar.details(one.key)
            coded = coding_of(one.key, seen.attributes) is not None
            if coded != (one in self.compressed):
                yield f"{one.key} is {'' if coded else 'not '}compressed"
            if (seen.info.storage_class == cellar.target) != (one in self.moved):
                yield f"{one.key} is in {seen.info.storage_class}"
            if one in self.skipped and (one.key not in memories or memories[one.key].coding != "skipped"):
                yield f"of {one.key} it is not remembered why it stays as it is"
        if cellar.ledger() != self._ledger():
            yield f"the ledger has {dict(cellar.ledger())}"
        yield from self.more(cellar)

    def _ledger(self) -> Counter[tuple[str, str]]:
        """Each kind once for each thing it was done to; what is done to all of them stands in ``ledger``."""
        entries = [(str(one.key), kind) for one in self.things for kind in self.ledger]
        entries += [(str(one.key), "compress") for one in self.compressed if "compress" not in self.ledger]
        entries += [(str(one.key), "transition") for one in self.moved if "transition" not in self.ledger]
        return Counter(entries)


# --- nights ----------------------------------------------------------------------------------------
def nightly(*steps: str) -> Does:
    """A run of the catalogued job, of these steps; what it tags has been taken when it looks again."""

    def does(at: At) -> None:
        _taken_at_once(at.cellar)
        name = f"cold_storage-{at.run}"
        if at.run != "first" or at.stores.runs.get(name) is None:
            plan(job_of(*steps), at.stores, utcnow(), run_id=name)
        apply(name, at.stores)

    return does


def job_of(*steps: str) -> MaintenanceJob:
    """The catalogued job, cut down to these steps."""
    return job("cold_storage", lambda: ColdObjects(steps=steps))


COMPRESS, MOVE, NIGHT = nightly("compress"), nightly("transition"), nightly("compress", "transition")


def _taken_at_once(cellar: Cellar) -> None:
    """A remote tier has its objects before the first look: how often it is looked varies no run then."""
    awaited = tiering._awaited

    def patient(sent: Any, stores: Any, pool: Any) -> Any:
        if cellar.ground.kind == "minio":
            cellar.until_moved([one.move.key for one in sent])
        return awaited(sent, stores, pool)

    tiering._awaited = patient


def in_parts(at: At) -> None:
    """The same with parts so small that the object has two."""
    bucket = at.stores.objects
    assert isinstance(bucket, S3Bucket)
    rewriter = S3Rewriter(
        bucket,
        conditional=lambda: True,
        counts_tags=lambda: at.stores.control.capabilities().counts_tags is True,
        uploads=at.stores.uploads,
        part_size=SMALLEST_PART,
    )
    COMPRESS(replace(at, stores=replace(at.stores, rewriter=rewriter)))


def planned(*steps: str) -> Prepares:
    """Tonight's plan is made: it is struck when it is carried out."""

    def prepares(cellar: Cellar) -> None:
        plan(job_of(*steps), cellar.stores, utcnow(), run_id="cold_storage-first")

    return prepares


# --- asked, and not moved yet ----------------------------------------------------------------------
def rule_is_gone(cellar: Cellar) -> None:
    """What is tagged after the plan was made stays where it is."""
    planned("transition")(cellar)
    cellar.install(managed=False)


def sent_earlier(cellar: Cellar) -> None:
    """An earlier night sent them, and did not see them arrive."""
    send(cellar, held=False)
    planned("transition")(cellar)


def ask(at: At) -> None:
    """Apply it, without patience; later nights are as any."""
    if at.run != "first":
        MOVE(at)
        return
    tiering.PATIENCE = 0.0
    apply("cold_storage-first", at.stores)


def rule_is_back(cellar: Cellar) -> None:
    cellar.install()
    taken(cellar)


def taken(cellar: Cellar) -> None:
    """What was tagged for it is in the remote tier."""
    cellar.until_moved(cellar.things)


# --- by hand ---------------------------------------------------------------------------------------
def bring_back(at: At) -> None:
    """As ``storage tier restore``."""
    done = [found for _, found in restore.bring_back(list(at.cellar.things), at.stores, at.run)]
    if failed := [one.detail for one in done if one.status == "failed"]:
        raise ActionsFailed(len(failed), len(done), failed[0])


def decompress(at: At) -> None:
    """As ``storage decompress KEY ... --apply``."""
    found = list(commands_cold._compressed(at.stores, at.cellar.things))
    done = list(commands_cold._restore(at.stores, found))
    if failed := [one["why"] for one in done if one["status"] == "failed"]:
        raise ActionsFailed(len(failed), len(done), failed[0])


def compress_first(cellar: Cellar) -> None:
    """By the product, undisturbed."""
    apply(plan(job_of("compress"), cellar.stores, utcnow(), run_id="setup").id, cellar.stores)


def send(cellar: Cellar, *, held: bool = True) -> None:
    """Let all things be in the cold, remembered as there or as on their way."""
    for key in cellar.things:
        if cellar.ground.kind == "minio":
            cellar.stores.mover.put_tags(key, {**cellar.stores.mover.tags(key), "tier": "cold"})
        else:
            cellar.stores.mover.copy_in_place(cellar.details(key), cellar.target)
    if cellar.ground.kind == "minio":
        cellar.until_moved(cellar.things)
    for key in cellar.things:
        now = cellar.details(key)
        made = replace(memory_of(now, cellar.memories().get(key)), tier="cold", asked_at=utcnow())
        cellar.stores.cold.remember([replace(made, tier_state="held" if held else "asked")])
        if held:
            cellar.stores.cold.enter([_entered(key, now.info.etag, now.info.size)])


def _entered(key: ObjectKey, etag: str, size: int) -> Saving:
    return Saving(
        run_id="setup", key=key, object_class=class_of(key), owner=JobId(JOB), kind="transition", etag=etag,
        before=size, after=size, tier="cold",
    )  # fmt: skip


# --- lifecycle -------------------------------------------------------------------------------------
def lifecycle(at: At) -> None:
    """As ``storage lifecycle apply --apply``."""
    settings = at.cellar.ground.settings
    engine = connect_engine(settings.database_url)
    watch_sql(at.injector, engine)
    rules = S3Lifecycle(connect.endpoint(settings), at.stores.objects.bucket, http=http_client(at.injector))
    versions = PostgresVersions(engine, rules.bucket)
    site = Lifecycle(stores=at.stores, tiers=settings.cold_site, rules=rules, versions=versions)
    lifecycle_apply.apply(site, lifecycle_apply.plan(site), "the campaign")
    engine.dispose()


def ours_stand(cellar: Cellar) -> Iterator[str]:
    ours = set(read(cellar.lifecycle.get()).ours)
    wanted = {remote.RULE} if cellar.ground.kind == "minio" else {"storage-platform:abort-incomplete-uploads"}
    if ours != wanted:
        yield f"of our rules there stand {sorted(ours)}"
    states = [state for (state,) in cellar.ground.sql(_STATES)]
    if states[-1:] != ["applied"]:
        yield f"the versions are {states}"


_STATES = "SELECT state FROM maintenance.lifecycle_versions WHERE state <> 'found' ORDER BY number"
