"""Metadata backups: everything in a bucket except its media.

A backup holds an inventory of every object, the jobs' metadata.json documents and the bucket's configuration.
One listing pass, streamed. A key is JSON text and never a path.

Parts, each JSON Lines in key order: ``objects-00001`` and following, at most LINES objects a part; the
documents found in it are in ``documents-00001`` and following. ``configuration`` is one JSON object.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from typing import Any, TypeVar

from storage.backup import manifest as manifests
from storage.backup.context import BackupContext, Progress, entered, finish, part
from storage.backup.encryption import recipients, seal
from storage.backup.errors import BackupDamaged, ListingDeviates, NoSuchBackup
from storage.backup.model import Backup, BackupId, Manifest, MetadataFacts, Part
from storage.core.attributes import Document
from storage.core.errors import ListingBroken, ObjectMissing
from storage.core.model import ObjectInfo, Prefix, owner_of
from storage.core.ports import ObjectStore

LINES, DOCUMENTS = 100_000, 10_000  # maximum lines and documents of a part; it ends at either
MOST = 16 << 20  # bytes of the largest document that is backed up
THREADS, AHEAD, HELD = 16, 32, 64 << 20  # concurrent requests, waiting results and their bytes
DEVIATION, FROM = 0.2, 100  # tolerated change in objects outside temp/, checked from this many
NAMED = 100  # left-out documents that the manifest names
PREFIXES = 1000  # prefixes that the manifest counts individually
PROCESSED, TEMP = Prefix("processed/"), Prefix("temp/")

Item = TypeVar("Item")
Result = TypeVar("Result")


def backup_minio_metadata(
    context: BackupContext, *, details: bool = False, accept: bool = False, progress: Progress | None = None
) -> Backup:
    """Back up the bucket's metadata. The backup is complete, and not yet proven.

    ``details`` adds content type, user metadata and tags of every object, by two requests each. Raises
    ListingDeviates, unless ``accept``, or errors of store and database; the row then turns to failed, and no
    manifest exists.
    """
    id, objects, tally = context.new_id(), context.stores.objects, Tally()
    with entered(context, "metadata", id):
        began, store_time = context.stores.clock(), objects.server_time()
        completed = context.stores.jobs.counts().get("completed", 0)
        parts = (_configuration(context, id), *_contents(context, id, tally, details, progress))
        facts = MetadataFacts(
            bucket=objects.bucket,
            identity=objects.identity(),
            taken_at=began,
            ended_at=context.stores.clock(),
            store_time=store_time,
            missing_documents=max(0, completed - tally.completed),
            **tally.facts(),
        )
        if not accept:
            _compare(context, facts)
        to = tuple(str(recipient) for recipient in recipients(context.settings.backup_recipients))
        manifest = Manifest(id=id, kind="metadata", parts=parts, facts=facts, recipients=to)
        return finish(context, manifest, facts.objects)


class Tally:
    """Running counts of the objects, and of the documents among them."""

    def __init__(self) -> None:
        self.objects = self.bytes = self.documents = self.left_out = self.completed = 0
        self.first_key = self.last_key = ""
        self.by_prefix: dict[str, tuple[int, int]] = {}
        self.left_out_why: dict[str, str] = {}

    def add(self, info: ObjectInfo) -> None:
        self.first_key, self.last_key = self.first_key or info.key, info.key
        self.objects, self.bytes = self.objects + 1, self.bytes + info.size
        head, slash, _ = info.key.partition("/")
        name = head + slash if slash else ""
        if name not in self.by_prefix and len(self.by_prefix) >= PREFIXES and name != TEMP:
            name = "others"
        count, size = self.by_prefix.get(name, (0, 0))
        self.by_prefix[name] = (count + 1, size + info.size)

    def leave_out(self, info: ObjectInfo, why: str) -> None:
        self.left_out += 1
        if self.left_out <= NAMED:
            self.left_out_why[info.key] = why

    def facts(self) -> dict[str, Any]:
        """Return the counts as arguments of MetadataFacts."""
        return {name: value for name, value in vars(self).items() if name != "completed"}


def _contents(
    context: BackupContext, id: BackupId, tally: Tally, details: bool, progress: Progress | None
) -> Iterator[Part]:
    """Yield the parts of the inventory, each followed by the part of the documents found in it."""
    store = context.stores.objects
    listing = _in_order(context.settings.bucket, store.inventory())
    for number, first in enumerate(listing, 1):
        met: list[ObjectInfo] = []
        chunk = _chunk(chain([first], listing), met, tally, progress)
        lines = ahead(lambda info: _described(store, info), chunk) if details else map(_line, chunk)
        yield _part(context, id, f"objects-{number:05}", lines)
        if met:
            yield _part(context, id, f"documents-{number:05}", _documents(store, met, tally))
            tally.completed += _completed(context, met)


def _in_order(bucket: str, listing: Iterable[ObjectInfo]) -> Iterator[ObjectInfo]:
    last = ""
    for info in listing:
        if info.key <= last:
            raise ListingBroken(bucket, f"{info.key!r} was listed after {last!r}")
        last = info.key
        yield info


def _chunk(
    listing: Iterable[ObjectInfo], met: list[ObjectInfo], tally: Tally, progress: Progress | None
) -> Iterator[ObjectInfo]:
    """Yield the objects of one part; collect the documents among them in ``met``."""
    for count, info in enumerate(listing, 1):
        tally.add(info)
        if info.key.startswith(PROCESSED) and info.key.endswith("/metadata.json"):
            met.append(info)
        if progress and tally.objects % 1000 == 0:
            progress("objects listed", tally.objects)
        yield info
        if count == LINES or len(met) == DOCUMENTS:
            return


def _line(info: ObjectInfo, **more: Any) -> bytes:
    values = {
        "key": info.key,
        "size": info.size,
        "etag": info.etag,
        "class": info.storage_class,
        "last_modified": info.last_modified.isoformat(),
    }
    return _json(values | more)


def _described(store: ObjectStore, info: ObjectInfo) -> bytes:
    try:
        found, tags = store.attributes(info.key)
    except ObjectMissing:
        return _line(info)  # deleted between listing and request
    return _line(info, content_type=found.content_type, metadata=dict(found.metadata), tags=tags)


def _documents(store: ObjectStore, met: Sequence[ObjectInfo], tally: Tally) -> Iterator[bytes]:
    fetched = ahead(lambda info: _fetched(store, info), met, lambda info: min(info.size, MOST))
    for info, found in zip(met, fetched, strict=True):
        if isinstance(found, Document):
            tally.documents += 1
            yield _document_line(found)
        else:
            tally.leave_out(info, found)


def _fetched(store: ObjectStore, info: ObjectInfo) -> Document | str:
    """Return the document, or the reason why it is left out."""
    try:
        found = store.document(info.key, MOST) if info.size <= MOST else None
    except ObjectMissing:
        return "gone since it was listed"
    return found or f"over {MOST >> 20} MiB"


def _document_line(document: Document) -> bytes:
    carried = document.attributes
    return _json(
        {
            "key": document.key,
            "etag": document.etag,
            "md5": document.md5,
            "size": len(document.body),
            "content_type": carried.content_type,
            "content_encoding": carried.content_encoding,
            "metadata": dict(carried.metadata),
            "body": base64.b64encode(document.body).decode(),
        }
    )


def _completed(context: BackupContext, met: Sequence[ObjectInfo]) -> int:
    """Return the number of completed jobs whose document is in ``met``."""
    owners = ((owner_of(info.key, PROCESSED), info.key) for info in met)
    ids = [id for id, key in owners if id and key == f"{PROCESSED}{id}/metadata.json"]
    pages = (ids[start : start + 1000] for start in range(0, len(ids), 1000))
    jobs = (job for page in pages for job in context.stores.jobs.get(page).values())
    return sum(job.status == "completed" for job in jobs)


def _configuration(context: BackupContext, id: BackupId) -> Part:
    return _part(context, id, "configuration", iter([_json(context.stores.objects.configuration())]))


def _part(context: BackupContext, id: BackupId, name: str, lines: Iterator[bytes]) -> Part:
    with part(context, "metadata", id, name) as writer:
        seal(_Stream(lines), writer.sink, recipients(context.settings.backup_recipients))
    return writer.part


def _json(values: Mapping[str, Any]) -> bytes:
    """Return one line of ASCII JSON. All that a key may hold is escaped, a line feed too."""
    return json.dumps(values, separators=(",", ":"), default=str).encode() + b"\n"


class _Stream:
    """Byte stream over lines."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines, self._held = lines, bytearray()

    def read(self, size: int = -1) -> bytes:
        while (size < 0 or len(self._held) < size) and (line := next(self._lines, None)) is not None:
            self._held += line
        end = len(self._held) if size < 0 else size
        data = bytes(memoryview(self._held)[:end])
        del self._held[:end]
        return data


def ahead(
    work: Callable[[Item], Result], items: Iterable[Item], cost: Callable[[Item], int] = lambda item: 0
) -> Iterator[Result]:
    """Yield ``work`` of each item, in order, by THREADS. At most AHEAD results wait, costing at most HELD."""
    waiting: deque[tuple[int, Future[Result]]] = deque()
    held = 0
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            for item in items:
                while waiting and (len(waiting) >= AHEAD or held + cost(item) > HELD):
                    freed, done = waiting.popleft()
                    held -= freed
                    yield done.result()
                held += cost(item)
                waiting.append((cost(item), pool.submit(work, item)))
            while waiting:
                yield waiting.popleft()[1].result()
        finally:
            for _, late in waiting:
                late.cancel()


def _compare(context: BackupContext, facts: MetadataFacts) -> None:
    """Raise ListingDeviates if the bucket deviates from its newest backup."""
    for backup in context.stores.catalogue.all("metadata"):
        if backup.state not in ("complete", "proven"):
            continue
        with suppress(NoSuchBackup, BackupDamaged):  # compare with the backup before it instead
            before = manifests.read(backup.id, context.stores.backup_bucket)[0].metadata.lasting
            if before >= FROM and abs(facts.lasting - before) > DEVIATION * before:
                raise ListingDeviates(facts.lasting, backup.id, before)
            return
