"""Action that compresses an object in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar

from storage.cold import compress as rewrite
from storage.cold import decompressing_reader
from storage.cold.errors import CompressorErred, ContentDamaged
from storage.cold.model import ColdRecord, Details, Saving, compression_of
from storage.cold.ports import ColdStores
from storage.core.errors import ObjectMissing, PreconditionFailed, StorageError, Unreachable
from storage.core.model import Job, JobId, ObjectKey, Outcome
from storage.core.tiers import ARCHIVED, CodecName, ObjectClass
from storage.engine import guard
from storage.engine.actions.base import BatchSize, Touches, Work, changed_owner

RECHECK_BYTES = 32 << 20  # bytes processed between two checks of job rows and kill switch
MIN_RELISTED_SIZE = 4 << 10  # bytes; from this size on an object without a record is examined every night
READ_BACK = 256 << 20  # stored bytes; larger objects were verified before the write, and are not read again


@dataclass(slots=True)
class _Findings:
    """Results of a batch, to be persisted together."""

    records: list[ColdRecord] = field(default_factory=list)
    savings: list[Saving] = field(default_factory=list)

    def write(self, stores: ColdStores) -> None:
        """Write the ledger first: an object recorded as compressed is never examined again."""
        if self.savings:
            stores.cold.enter(self.savings)
        if self.records:
            stores.cold.save_records(self.records)


class _Looks:
    """Recently read kill switch and job rows of a batch."""

    def __init__(self, batch: Sequence[CompressObject], work: Work[ColdStores]) -> None:
        self._owners = sorted({JobId(action.owner) for action in batch if action.owner})
        self._work, self._left = work, 0
        self._jobs: dict[JobId, Job] = {}

    def before(self, action: CompressObject) -> dict[JobId, Job]:
        """Return the job rows, read again after every RECHECK_BYTES of work. Raises Paused."""
        if self._left <= 0:
            guard.running(self._work.stores)
            self._jobs = self._work.stores.jobs.get(self._owners) if self._owners else {}
            self._left = RECHECK_BYTES
        self._left -= action.size
        return self._jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressObject:
    """Replace one object by its compressed form, if it is still the planned object and shrinks enough.

    The result of an earlier, killed run is detected and recorded; nothing is done or counted twice.
    """

    verb: ClassVar[str] = "compress"
    touches: ClassVar[Touches] = "object"
    batch_size: ClassVar[BatchSize] = BatchSize(16, 16 << 20)  # large objects in parallel

    key: str
    size: int
    etag: str
    last_modified: datetime
    codec: CodecName
    level: int | None
    object_class: ObjectClass
    reason: str
    owner: str | None = None
    owner_updated_at: datetime | None = None

    @classmethod
    def apply(cls, batch: Sequence[CompressObject], work: Work[ColdStores]) -> list[Outcome]:
        known = work.stores.cold.get_records([action.key for action in batch])
        findings, looks = _Findings(), _Looks(batch, work)
        try:
            return [
                action._apply(work, looks.before(action), known.get(action.key), findings) for action in batch
            ]
        finally:
            findings.write(work.stores)  # also the results before a pause or a fault

    def _apply(
        self, work: Work[ColdStores], jobs: Mapping[JobId, Job], known: ColdRecord | None, findings: _Findings
    ) -> Outcome:
        if why := changed_owner(self.owner, self.owner_updated_at, jobs):
            return Outcome("skipped", why, self.size)
        try:
            made = rewrite.compress(
                work.stores.replacer,
                ObjectKey(self.key),
                self.size,
                self.etag,
                self.codec,
                self.level,
                lambda size: self._note_begun(size, work.stores, known),
            )
        except Unreachable:
            raise
        except StorageError as error:
            return Outcome("failed", str(error), self.size)
        return self._found(made, work, known, findings)

    def _found(
        self, made: rewrite.Rewritten, work: Work[ColdStores], known: ColdRecord | None, findings: _Findings
    ) -> Outcome:
        if made.status == "overtaken":
            return Outcome("skipped", made.why, self.size)
        record = self._remembered(known, made)
        if made.status == "skipped":
            findings.records.append(
                replace(record, etag=self.etag, size=self.size, compression="skipped", skipped=made.why)
            )
            return Outcome("failed" if made.damaged else "skipped", made.why, self.size)
        assert made.after and made.compression
        now, saving = made.after.info, self._saving(made, work)
        findings.savings.append(saving)  # no record without its saving: it would not be examined again
        findings.records.append(
            replace(record, etag=now.etag, size=now.size, compression="compressed", skipped="")
        )
        return Outcome("done", bytes=self.size)

    def _remembered(self, known: ColdRecord | None, made: rewrite.Rewritten) -> ColdRecord:
        """Return the known record if it is of these bytes, to keep their tier state; else a new record."""
        same = {self.etag, made.after.info.etag if made.after else ""}
        if known and known.etag in same:
            return known
        return self._begun

    def _note_begun(self, size: int, stores: ColdStores, known: ColdRecord | None) -> None:
        """Record the start: after a kill, a very small compressed form would never be examined again."""
        if size >= MIN_RELISTED_SIZE:
            return
        if known is None or (known.etag != self.etag and not known.tier_state):
            stores.cold.save_records([self._begun])

    @property
    def _begun(self) -> ColdRecord:
        return ColdRecord(
            key=ObjectKey(self.key),
            etag=self.etag,
            size=self.size,
            object_class=self.object_class,
            owner=self._owner,
        )

    @property
    def _owner(self) -> JobId | None:
        return JobId(self.owner) if self.owner else None

    def _saving(self, made: rewrite.Rewritten, work: Work[ColdStores]) -> Saving:
        assert made.after and made.compression
        return Saving(
            run_id=work.run_id,
            key=ObjectKey(self.key),
            object_class=self.object_class,
            owner=self._owner,
            kind="compress",
            etag=made.after.info.etag,
            before=made.compression.size,
            after=made.after.info.size,
            left_behind=made.compression.size if work.stores.replacer.versioned() else 0,
            codec=made.compression.codec,
        )

    def holds(self, stores: ColdStores) -> bool:
        """Return True if the stored object decompresses to the original, or another object replaced it."""
        key = ObjectKey(self.key)
        try:
            now = stores.replacer.details(key)
            compression = compression_of(key, now.attributes)
            if compression is None:
                return now.info.etag != self.etag
            if _readable(now):
                decompressing_reader.check(stores.replacer, now, compression)
        except (ObjectMissing, PreconditionFailed):
            return True  # deleted or overwritten since
        except (ContentDamaged, CompressorErred):
            return False
        return True


def _readable(now: Details) -> bool:
    """Return True if the object can be read back at acceptable cost."""
    return now.info.size <= READ_BACK and now.info.storage_class not in ARCHIVED
