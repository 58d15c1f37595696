"""Races between a nightly cold-storage run and concurrent writers, deleters and readers: nothing is lost."""

from __future__ import annotations

import io
import multiprocessing
import random
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import urllib3
import zstandard

from storage import connect
from storage.cold import decompressing_reader, restore, tiering
from storage.core.clock import utcnow
from storage.core.errors import JobBusy, ObjectMissing
from storage.core.model import ObjectKey
from storage.core.tiers import TIER_TAG
from storage.engine.sweep import plan
from storage.installation import open_installation
from tests.faults.cold.acts import job_of as job
from tests.faults.cold.acts import send
from tests.faults.cold.environment import ColdEnvironment
from tests.faults.cold.table import ACTS
from tests.faults.cold.things import DRESSED, FILM, LARGE, TEXT, Thing
from tests.faults.race import Race, RaceHarness, Report
from tests.support.runs import apply

DELAY = 0.03  # seconds, before each request that changes an object
WRITES = {"PUT BUCKET/processed": 2 * DELAY}
TURNS, TURN = 400, 0.02  # tries for the lock, and seconds between two
LONG = Thing(LARGE.key, LARGE.data[: 3 << 20])


def _client(harness: RaceHarness) -> Any:
    return connect.endpoint(harness.environment.settings).minio()


def _write(harness: RaceHarness, key: str, data: bytes) -> None:
    _client(harness).put_object(harness.environment.settings.bucket, key, io.BytesIO(data), len(data))


def _reads(cold_env: ColdEnvironment, key: ObjectKey) -> bytes:
    return b"".join(decompressing_reader.read(cold_env.stores.replacer, key))


# --- overwritten -----------------------------------------------------------------------------------
def overwritten_while_compressing(harness: RaceHarness, report: Report, number: int) -> None:
    """A writer puts new bytes while the old are compressed: the new ones are never replaced by older ones."""
    cold_env = _laid(harness, TEXT, DRESSED)
    harness.delays = WRITES
    key, new = harness.chance.choice((TEXT.key, DRESSED.key)), f"new {number}\n".encode() * 300
    run_id = harness.decide(job("compress"), f"round{number}")
    harness.contest(run_id, [lambda: _write(harness, key, new)])
    report.count(_skipped(harness, run_id) > 0)
    report.violations += _only_new(cold_env, key, new)
    again = harness.decide(job("compress"), f"again{number}")
    apply(again, harness.stores)  # now the new object is compressed
    report.violations += _only_new(cold_env, key, new)


def _overwritten_while_moving(harness: RaceHarness, report: Report, number: int) -> None:
    """A writer puts new bytes between the check, the request to move and the move: the new ones stay."""
    cold_env = _laid(harness, TEXT, DRESSED, FILM)
    harness.delays, tiering.TIMEOUT = WRITES, 0.2
    key, new = harness.chance.choice(list(cold_env.things)), f"new {number}\n".encode() * 300
    run_id = harness.decide(job("transition"), f"round{number}")
    harness.contest(run_id, [lambda: _write(harness, key, new)])
    report.count(_skipped(harness, run_id) > 0)
    report.violations += _only_new(cold_env, key, new)
    record = cold_env.records().get(key)
    asked = record is not None and record.tier_state == "asked"
    if TIER_TAG in cold_env.stores.tier_store.tags(key) and not asked:
        report.violations.append(f"{key} bears our tag, and nobody knows of it")


def _only_new(cold_env: ColdEnvironment, key: ObjectKey, new: bytes) -> Iterator[str]:
    if (found := _reads(cold_env, key)) != new:
        yield f"{key} was written anew, and reads as {found[:30]!r}..., {len(found)} bytes"
    for other in cold_env.things.keys() - {key}:
        yield from cold_env.wrong(other)


def _skipped(harness: RaceHarness, run_id: str) -> int:
    run = harness.environment.stores.runs.get(run_id)
    return run.skipped.count if run else 0


def _written_first(harness: RaceHarness, request: str, key: str, new: bytes) -> None:
    """Write new bytes immediately before the first request whose name contains ``request``."""
    left = [True]

    def writes(kind: str, what: str) -> None:
        if request in what and left:
            left.clear()
            _write(harness, key, new)

    harness.instead = writes


def overwritten_just_before_the_write(harness: RaceHarness, report: Report, number: int) -> None:
    """The compressed form is proven, then new bytes are written: they stay."""
    cold_env, new = _laid(harness, TEXT), f"new {number}\n".encode() * 300
    run_id = harness.decide(job("compress"), f"round{number}")
    _written_first(harness, f"PUT BUCKET/{TEXT.key}", TEXT.key, new)
    harness.contest(run_id, [])
    report.won += _skipped(harness, run_id) > 0
    report.violations += _only_new(cold_env, TEXT.key, new)


def overwritten_just_before_the_tag(harness: RaceHarness, report: Report, number: int) -> None:
    """The tag lands on a newer object than the one that was checked: it is removed again."""
    cold_env, new = _laid(harness, TEXT), f"new {number}\n".encode() * 300
    run_id, tiering.TIMEOUT = harness.decide(job("transition"), f"round{number}"), 0.2
    _written_first(harness, f"PUT BUCKET/{TEXT.key}?tagging", TEXT.key, new)
    harness.contest(run_id, [])
    report.won += _skipped(harness, run_id) > 0
    report.violations += _only_new(cold_env, TEXT.key, new)
    if TIER_TAG in cold_env.stores.tier_store.tags(TEXT.key):
        report.violations.append("the new object bears our tag")


def overwritten_just_before_it_is_back(harness: RaceHarness, report: Report, number: int) -> None:
    """An object is restored, and new bytes are written before the copy replaces it: they stay."""
    cold_env, new = _laid(harness, TEXT), f"new {number}\n".encode() * 300
    send(cold_env)
    _written_first(harness, f"POST BUCKET/{TEXT.key}?uploadId", TEXT.key, new)
    [(_, found)] = restore.bring_back([TEXT.key], harness.stores, f"round{number}")
    report.won += found.status == "failed"
    report.violations += _only_new(cold_env, TEXT.key, new)


# --- deleted ---------------------------------------------------------------------------------------
def _deleted_while_moving(harness: RaceHarness, report: Report, number: int) -> None:
    """An object is deleted while it is moved to a tier: it stays deleted, also after another run."""
    cold_env = _laid(harness, TEXT, DRESSED, FILM)
    harness.delays, tiering.TIMEOUT = {**WRITES, "HEAD BUCKET": DELAY}, 0.2
    key = harness.chance.choice(list(cold_env.things))
    run_id = harness.decide(job("transition"), f"round{number}")
    harness.contest(
        run_id, [lambda: _client(harness).remove_object(harness.environment.settings.bucket, key)]
    )
    report.count(_skipped(harness, run_id) > 0)
    apply(harness.decide(job("transition"), f"again{number}"), harness.stores)
    with suppress(ObjectMissing):
        cold_env.details(key)
        report.violations.append(f"{key} was deleted, and is back")
    report.violations += [one for other in cold_env.things.keys() - {key} for one in cold_env.wrong(other)]


# --- read ------------------------------------------------------------------------------------------
def streamed_while_replaced(harness: RaceHarness, report: Report, number: int) -> None:
    """Readers are in the middle of an object while its form is replaced: each gets a complete one."""
    cold_env = _laid(harness, LONG)
    harness.delays = WRITES
    run_id = harness.decide(job("compress"), f"round{number}")
    got: dict[str, bytes] = {}

    def by_the_read_api() -> None:
        got["the read API"] = b"".join(
            map(_slowly, decompressing_reader.read(cold_env.stores.replacer, LONG.key))
        )

    def by_a_link() -> None:
        encoding, got["a link"] = _fetched(harness, cold_env)
        report.count(bool(encoding))

    harness.contest(run_id, [by_the_read_api, by_a_link])
    for how in ("the read API", "a link"):
        if got.get(how) != LONG.data:
            report.violations.append(f"by {how} there came {len(got.get(how, b''))} bytes, or others")


def _slowly(piece: bytes) -> bytes:
    threading.Event().wait(DELAY)
    return piece


def _fetched(harness: RaceHarness, cold_env: ColdEnvironment) -> tuple[str, bytes]:
    """Download as a plain client, chunk by chunk, and decode by the answer's Content-Encoding."""
    url = _client(harness).presigned_get_object(cold_env.bucket, LONG.key)
    with closing(urllib3.PoolManager().request("GET", url, preload_content=False)) as answer:
        body = b"".join(map(_slowly, answer.stream(256 << 10, decode_content=False)))
        encoding = answer.headers.get("content-encoding", "")
    if encoding == "zstd":
        return encoding, zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return encoding, zlib.decompress(body, 31) if encoding == "gzip" else body


# --- two at once -----------------------------------------------------------------------------------
def two_nights(steps: tuple[str, ...], act: str) -> Race:
    def race(harness: RaceHarness, report: Report, number: int) -> None:
        """Two processes run the job at once, each with its own plan: all is done, and entered once."""
        wanted = next(one for one in ACTS if one.name == act)
        cold_env = _laid(harness, *wanted.things)
        fork = multiprocessing.get_context("fork")
        twins = [
            fork.Process(
                target=_twin, args=(harness, steps, f"{name}{number}", harness.chance.uniform(0, DELAY))
            )
            for name in ("one", "two")
        ]
        for twin in twins:
            twin.start()
        for twin in twins:
            twin.join()
        if codes := [twin.exitcode for twin in twins if twin.exitcode]:
            report.violations.append(f"a night failed: {codes}")
        both = [
            harness.environment.stores.runs.get(f"cold_storage-{name}{number}") for name in ("one", "two")
        ]
        report.won += all(run is not None and run.planned.count > 0 for run in both)
        report.violations += [*cold_env.always(), *wanted.wrong(cold_env), *cold_env.books()]

    return race


def _twin(harness: RaceHarness, steps: tuple[str, ...], name: str, wait: float) -> None:
    time.sleep(wait)
    with open_installation(harness.environment.settings) as stores:
        run = plan(job(*steps), stores, utcnow(), run_id=f"cold_storage-{name}")
        for _ in range(TURNS):
            try:
                apply(run.id, stores)
                return
            except JobBusy:
                time.sleep(random.uniform(0, TURN))
    raise JobBusy("cold_storage")


def _laid(harness: RaceHarness, *things: Thing) -> ColdEnvironment:
    harness.delays, harness.instead = {}, lambda kind, what: None
    cold_env = ColdEnvironment(harness.environment)
    cold_env.lay(things)
    return cold_env


#: By kind of store: MinIO moves to a remote tier by a tag, ministack to a storage class by a copy.
RACES: dict[str, dict[str, Race]] = {
    "minio": {
        "overwritten while compressing": overwritten_while_compressing,
        "overwritten between tag and move": _overwritten_while_moving,
        "deleted while tiering by tag": _deleted_while_moving,
        "streamed while replaced": streamed_while_replaced,
        "overwritten just before the write": overwritten_just_before_the_write,
        "overwritten just before the tag": overwritten_just_before_the_tag,
        "overwritten just before it is back": overwritten_just_before_it_is_back,
        "two nights at once": two_nights(("compress",), "compress"),
    },
    "ministack": {
        "overwritten while moved by class": _overwritten_while_moving,
        "deleted while tiering by class": _deleted_while_moving,
        "two nights at once, both steps": two_nights(
            ("compress", "transition"), "compress and move by class"
        ),
    },
}
