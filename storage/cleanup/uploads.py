"""Policies for unfinished uploads: multipart uploads, ``*.partN`` groups, and uploads without a job."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby, islice

from storage.cleanup.failed_jobs import NIGHT
from storage.cleanup.temp import whose
from storage.core.model import PROTECTED_PREFIXES, ObjectInfo, Owned, Prefix, UploadInfo, UploadPart, owner_of
from storage.core.ports import Stores
from storage.engine.actions import AbortUpload, Action, Keep
from storage.engine.policy import LOOK_UP, NOTICE, condemn, span, with_jobs

UPLOADS = Prefix("uploads/")
NO_FOLDER = "in no job's folder, so no job can be missing"
PART = re.compile(r"(?P<whole>.+)\.part\d+", re.DOTALL)


@dataclass(frozen=True, slots=True)
class OpenUpload:
    """An incomplete multipart upload; ``parts`` is None if the store no longer has it."""

    upload: UploadInfo
    parts: tuple[UploadPart, ...] | None
    heartbeat: datetime | None


@dataclass(frozen=True, kw_only=True)
class StaleUploads:
    """Policy that aborts uploads begun ``older_than`` ago, quiet for half of it; condemns old ``*.partN``."""

    older_than: timedelta

    def select(self, stores: Stores, as_of: datetime) -> Iterator[OpenUpload | Owned]:
        yield from self._native(stores, as_of)
        yield from with_jobs(
            (info for info in stores.objects.scan(UPLOADS) if PART.fullmatch(info.key)),
            lambda info: owner_of(info.key, UPLOADS),
            stores,
            stores.tombstones,
        )

    def _native(self, stores: Stores, as_of: datetime) -> Iterator[OpenUpload]:
        """Stream uploads, the journal's first, as a store may omit some; read parts only of old uploads."""
        seen = set()
        for source in (stores.uploads.open(), stores.objects.uploads()):
            for upload in source:
                if upload.upload_id in seen:
                    continue
                seen.add(upload.upload_id)
                old = upload.initiated <= as_of - self.older_than
                parts = stores.objects.parts(upload.key, upload.upload_id) if old else []
                beat = stores.uploads.heartbeats([upload.upload_id]).get(upload.upload_id) if old else None
                yield OpenUpload(upload, None if parts is None else tuple(parts), beat)

    def plan(self, items: Iterable[OpenUpload | Owned], as_of: datetime) -> Iterator[Action[Stores] | Keep]:
        for kind, group in groupby(items, type):
            if kind is OpenUpload:
                yield from (self._upload(item, as_of) for item in group)  # type: ignore[arg-type]
            else:
                yield from self._part_groups(group, as_of)  # type: ignore[arg-type]

    def _upload(self, item: OpenUpload, as_of: datetime) -> Action[Stores] | Keep:
        upload, quiet_since = item.upload, as_of - self.older_than / 2
        size = sum(part.size for part in item.parts or ())
        if upload.key.startswith(PROTECTED_PREFIXES):
            return Keep(upload.key, size, "under a protected prefix")
        if item.parts is None:
            return Keep(upload.key, 0, "already completed or aborted")
        if upload.initiated > as_of - self.older_than:
            return Keep(upload.key, size, f"upload begun {span(as_of - upload.initiated)} ago")
        signs = [part.last_modified for part in item.parts] + ([item.heartbeat] if item.heartbeat else [])
        if signs and max(signs) > quiet_since:
            return Keep(upload.key, size, f"a part arrived {span(as_of - max(signs))} ago")
        return AbortUpload(
            key=upload.key,
            upload_id=upload.upload_id,
            size=size,
            quiet_since=quiet_since,
            reason=f"upload begun {span(as_of - upload.initiated)} ago and never completed",
        )

    def _part_groups(self, items: Iterable[Owned], as_of: datetime) -> Iterator[Action[Stores] | Keep]:
        """Decide on each group as a whole, by its newest part. Its parts share a folder, in any order."""
        for _, folder in groupby(items, lambda item: _info(item).key.rpartition("/")[0]):
            members = list(folder)
            newest: dict[str, datetime] = {}
            for item in members:
                came = _info(item).last_modified
                newest[_whole(item)] = max(came, newest.get(_whole(item), came))
            yield from (self._part(item, as_of - newest[_whole(item)], as_of) for item in members)

    def _part(self, item: Owned, quiet: timedelta, as_of: datetime) -> Action[Stores] | Keep:
        info = _info(item)
        if item.condemned:
            return Keep(info.key, info.size, "already condemned")
        if item.job and not item.job.ended:
            return Keep(info.key, info.size, item.job.unended)
        if quiet < self.older_than:
            return Keep(info.key, info.size, f"a part of {_whole(item)} arrived {span(quiet)} ago")
        why = f"part of an upload that stopped {span(quiet)} ago; {whose(item)}"
        return condemn(info, as_of + NOTICE, why, item.owner, item.job)


@dataclass(frozen=True, kw_only=True)
class OrphanUploads:
    """Policy that condemns ``uploads/`` objects without a job row, due ``older_than`` after their write.

    Objects of a job that an operator adopted after a restore are kept, even without a row; so are objects in
    no folder that a job could have, for which no row says anything.
    """

    older_than: timedelta

    def select(self, stores: Stores, as_of: datetime) -> Iterator[Owned]:
        uploads = stores.objects.scan(UPLOADS)
        owned = with_jobs(uploads, lambda info: owner_of(info.key, UPLOADS), stores, stores.tombstones)
        return _with_verdicts(owned, stores)

    def plan(self, items: Iterable[Owned], as_of: datetime) -> Iterator[Action[Stores] | Keep]:
        lead = min(self.older_than, NOTICE + NIGHT)
        for item in items:
            info = _info(item)
            if item.job:
                yield Keep(info.key, info.size, f"belongs to job {item.job.id}, which is {item.job.status}")
            elif item.adopted:
                yield Keep(info.key, info.size, f"job {item.owner} was adopted after a restore")
            elif item.condemned:
                yield Keep(info.key, info.size, "already condemned")
            elif PART.fullmatch(info.key):
                yield Keep(info.key, info.size, "part of an upload: abort_uploads decides")
            elif item.owner is None:
                yield Keep(info.key, info.size, NO_FOLDER, NO_FOLDER)
            elif info.last_modified > as_of - self.older_than + lead:
                age = span(as_of - info.last_modified)
                why = f"written {age} ago; {whose(item)}; the job may still be created"
                yield Keep(info.key, info.size, why)
            else:
                due = max(info.last_modified + self.older_than, as_of + NOTICE)
                why = f"written {span(as_of - info.last_modified)} ago; {whose(item)}"
                yield condemn(info, due, why, item.owner, item.job)


def _with_verdicts(items: Iterator[Owned], stores: Stores) -> Iterator[Owned]:
    """Yield the items unchanged, except that ``adopted`` is set if an orphan's owner was adopted."""
    while chunk := list(islice(items, LOOK_UP)):
        orphaned = {item.owner for item in chunk if item.owner and not item.job}
        verdicts = stores.verdicts.of(orphaned) if orphaned else {}
        kept = {owner for owner, verdict in verdicts.items() if verdict.ruling == "adopt"}
        for item in chunk:
            yield replace(item, adopted=True) if item.owner in kept else item


def _info(item: Owned) -> ObjectInfo:
    assert isinstance(item.thing, ObjectInfo)
    return item.thing


def _whole(item: Owned) -> str:
    match = PART.fullmatch(_info(item).key)
    assert match
    return match["whole"]
