"""Contests between a night of cold storage and whoever writes, deletes or reads meanwhile. None lost."""

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
from tests.faults.cold.environment import DRESSED, FILM, LARGE, TEXT, Cellar, Thing
from tests.faults.cold.table import ACTS
from tests.faults.race import Arena, Race, Report
from tests.support.runs import apply

DELAY = 0.03  # seconds, before each request that changes an object
WRITES = {"PUT BUCKET/processed": 2 * DELAY}
TURNS, TURN = 400, 0.02  # tries for the lock, and seconds between two
LONG = Thing(LARGE.key, LARGE.data[: 3 << 20])


def _client(arena: Arena) -> Any:
    return connect.endpoint(arena.ground.settings).minio()


def _write(arena: Arena, key: str, data: bytes) -> None:
    _client(arena).put_object(arena.ground.settings.bucket, key, io.BytesIO(data), len(data))


def _reads(cellar: Cellar, key: ObjectKey) -> bytes:
    return b"".join(decompressing_reader.read(cellar.stores.rewriter, key))


# --- overwritten -----------------------------------------------------------------------------------
def overwritten_while_compressing(arena: Arena, report: Report, number: int) -> None:
    """A writer puts new bytes while the old are compressed: the new ones stay, never older after them."""
    cellar = _laid(arena, TEXT, DRESSED)
    arena.delays = WRITES
    key, new = arena.chance.choice((TEXT.key, DRESSED.key)), f"new {number}\n".encode() * 300
    run_id = arena.decide(job("compress"), f"round{number}")
    arena.contest(run_id, [lambda: _write(arena, key, new)])
    report.won += _skipped(arena, run_id) > 0
    report.violations += _only_new(cellar, key, new)
    again = arena.decide(job("compress"), f"again{number}")
    apply(again, arena.stores)  # and now the new one is what is compressed
    report.violations += _only_new(cellar, key, new)


def _overwritten_while_moving(arena: Arena, report: Report, number: int) -> None:
    """A writer puts new bytes between the look, the request to move and the move: the new ones stay."""
    cellar = _laid(arena, TEXT, DRESSED, FILM)
    arena.delays, tiering.PATIENCE = WRITES, 0.2
    key, new = arena.chance.choice(list(cellar.things)), f"new {number}\n".encode() * 300
    run_id = arena.decide(job("transition"), f"round{number}")
    arena.contest(run_id, [lambda: _write(arena, key, new)])
    report.won += _skipped(arena, run_id) > 0
    report.violations += _only_new(cellar, key, new)
    if TIER_TAG in cellar.stores.mover.tags(key) and cellar.memories()[key].tier_state != "asked":
        report.violations.append(f"{key} bears our tag, and nobody knows of it")


def _only_new(cellar: Cellar, key: ObjectKey, new: bytes) -> Iterator[str]:
    if (found := _reads(cellar, key)) != new:
        yield f"{key} was written anew, and reads as {found[:30]!r}..., {len(found)} bytes"
    for other in cellar.things.keys() - {key}:
        yield from cellar.wrong(other)


def _skipped(arena: Arena, run_id: str) -> int:
    run = arena.ground.stores.runs.get(run_id)
    return run.skipped.count if run else 0


def _written_first(arena: Arena, request: str, key: str, new: bytes) -> None:
    """Let a writer come immediately before the first request whose name holds that."""
    left = [True]

    def writes(kind: str, what: str) -> None:
        if request in what and left:
            left.clear()
            _write(arena, key, new)

    arena.instead = writes


def overwritten_just_before_the_write(arena: Arena, report: Report, number: int) -> None:
    """Everything was read and proven, then new bytes come: they stay."""
    cellar, new = _laid(arena, TEXT), f"new {number}\n".encode() * 300
    run_id = arena.decide(job("compress"), f"round{number}")
    _written_first(arena, f"PUT BUCKET/{TEXT.key}", TEXT.key, new)
    arena.contest(run_id, [])
    report.won += _skipped(arena, run_id) > 0
    report.violations += _only_new(cellar, TEXT.key, new)


def overwritten_just_before_the_tag(arena: Arena, report: Report, number: int) -> None:
    """The tag falls on another object than the one that was looked at: it is taken off again."""
    cellar, new = _laid(arena, TEXT), f"new {number}\n".encode() * 300
    run_id, tiering.PATIENCE = arena.decide(job("transition"), f"round{number}"), 0.2
    _written_first(arena, f"PUT BUCKET/{TEXT.key}?tagging", TEXT.key, new)
    arena.contest(run_id, [])
    report.won += _skipped(arena, run_id) > 0
    report.violations += _only_new(cellar, TEXT.key, new)
    if TIER_TAG in cellar.stores.mover.tags(TEXT.key):
        report.violations.append("the new object bears our tag")


def overwritten_just_before_it_is_back(arena: Arena, report: Report, number: int) -> None:
    """An object is brought back, and new bytes come before the copy is put in its place: they stay."""
    cellar, new = _laid(arena, TEXT), f"new {number}\n".encode() * 300
    send(cellar)
    _written_first(arena, f"POST BUCKET/{TEXT.key}?uploadId", TEXT.key, new)
    [(_, found)] = restore.bring_back([TEXT.key], arena.stores, f"round{number}")
    report.won += found.status == "failed"
    report.violations += _only_new(cellar, TEXT.key, new)


# --- deleted ---------------------------------------------------------------------------------------
def _deleted_while_moving(arena: Arena, report: Report, number: int) -> None:
    """An object is deleted while it is sent to a tier: it stays deleted, also when others come back."""
    cellar = _laid(arena, TEXT, DRESSED, FILM)
    arena.delays, tiering.PATIENCE = {**WRITES, "HEAD BUCKET": DELAY}, 0.2
    key = arena.chance.choice(list(cellar.things))
    run_id = arena.decide(job("transition"), f"round{number}")
    arena.contest(run_id, [lambda: _client(arena).remove_object(arena.ground.settings.bucket, key)])
    report.won += _skipped(arena, run_id) > 0
    apply(arena.decide(job("transition"), f"again{number}"), arena.stores)
    with suppress(ObjectMissing):
        cellar.details(key)
        report.violations.append(f"{key} was deleted, and is back")
    report.violations += [one for other in cellar.things.keys() - {key} for one in cellar.wrong(other)]


# --- read ------------------------------------------------------------------------------------------
def streamed_while_replaced(arena: Arena, report: Report, number: int) -> None:
    """Readers are in the midst of an object while its form is replaced: each gets a whole one."""
    cellar = _laid(arena, LONG)
    arena.delays = WRITES
    run_id = arena.decide(job("compress"), f"round{number}")
    got: dict[str, bytes] = {}

    def by_the_read_api() -> None:
        got["the read API"] = b"".join(
            map(_slowly, decompressing_reader.read(cellar.stores.rewriter, LONG.key))
        )

    def by_a_link() -> None:
        encoding, got["a link"] = _fetched(arena, cellar)
        report.won += bool(encoding)

    arena.contest(run_id, [by_the_read_api, by_a_link])
    for how in ("the read API", "a link"):
        if got.get(how) != LONG.data:
            report.violations.append(f"by {how} there came {len(got.get(how, b''))} bytes, or others")


def _slowly(piece: bytes) -> bytes:
    threading.Event().wait(DELAY)
    return piece


def _fetched(arena: Arena, cellar: Cellar) -> tuple[str, bytes]:
    """What a plain client gets, chunk by chunk, and undoes as the answer's Content-Encoding says."""
    url = _client(arena).presigned_get_object(cellar.bucket, LONG.key)
    with closing(urllib3.PoolManager().request("GET", url, preload_content=False)) as answer:
        body = b"".join(map(_slowly, answer.stream(256 << 10, decode_content=False)))
        encoding = answer.headers.get("content-encoding", "")
    if encoding == "zstd":
        return encoding, zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return encoding, zlib.decompress(body, 31) if encoding == "gzip" else body


# --- two at once -----------------------------------------------------------------------------------
def two_nights(steps: tuple[str, ...], act: str) -> Race:
    def race(arena: Arena, report: Report, number: int) -> None:
        """Two processes run the job at once, each with a plan of its own: all is done, and entered once."""
        wanted = next(one for one in ACTS if one.name == act)
        cellar = _laid(arena, *wanted.things)
        fork = multiprocessing.get_context("fork")
        twins = [
            fork.Process(target=_twin, args=(arena, steps, f"{name}{number}", arena.chance.uniform(0, DELAY)))
            for name in ("one", "two")
        ]
        for twin in twins:
            twin.start()
        for twin in twins:
            twin.join()
        if codes := [twin.exitcode for twin in twins if twin.exitcode]:
            report.violations.append(f"a night failed: {codes}")
        both = [arena.ground.stores.runs.get(f"cold_storage-{name}{number}") for name in ("one", "two")]
        report.won += all(run is not None and run.planned.count > 0 for run in both)
        report.violations += [*cellar.always(), *wanted.wrong(cellar), *cellar.books()]

    return race


def _twin(arena: Arena, steps: tuple[str, ...], name: str, wait: float) -> None:
    time.sleep(wait)
    with open_installation(arena.ground.settings) as stores:
        run = plan(job(*steps), stores, utcnow(), run_id=f"cold_storage-{name}")
        for _ in range(TURNS):
            try:
                apply(run.id, stores)
                return
            except JobBusy:
                time.sleep(random.uniform(0, TURN))
    raise JobBusy("cold_storage")


def _laid(arena: Arena, *things: Thing) -> Cellar:
    arena.delays, arena.instead = {}, lambda kind, what: None
    cellar = Cellar(arena.ground)
    cellar.lay(things)
    return cellar


#: By the kind of the store: what a remote tier is asked by a tag, a class by a copy.
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
