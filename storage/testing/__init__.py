"""In-memory fakes of the stores, with S3's semantics for objects and PostgreSQL's for rows.

The contract suite (``tests/contract``) runs against these and against the real adapters, so tests on the
fakes are valid for both. The fakes read no clock: ``now`` is a parameter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from storage.backup.ports import BackupStores
from storage.cold.ports import ColdStores
from storage.core.ports import FileStore
from storage.core.retention import Retention
from storage.core.tiers import ColdSettings
from storage.records.ports import RecordStores
from storage.testing.catalogue import MemoryCatalogue
from storage.testing.cold import MemoryCold
from storage.testing.control import MemoryControl, MemoryVerdicts
from storage.testing.database import Database, MemoryJobs
from storage.testing.files import MemoryFiles
from storage.testing.objects import MemoryObjects
from storage.testing.old_records import MemoryRecords
from storage.testing.records import MemoryAudit, MemoryProvenBackups, MemoryReferences
from storage.testing.replacer import MemoryObjectReplacer
from storage.testing.runs import MemoryRuns
from storage.testing.tier_store import MemoryTierStore
from storage.testing.tombstones import MemoryTombstones
from storage.testing.traffic import Traffic
from storage.testing.uploads import MemoryUploads

__all__ = [
    "MemoryStores",
    "MemoryProvenBackups",
    "MemoryReferences",
    "MemoryAudit",
    "Database",
    "MemoryCatalogue",
    "MemoryCold",
    "MemoryControl",
    "MemoryFiles",
    "MemoryJobs",
    "MemoryTierStore",
    "MemoryObjects",
    "MemoryObjectReplacer",
    "MemoryRecords",
    "MemoryRuns",
    "MemoryTombstones",
    "MemoryUploads",
    "MemoryVerdicts",
    "Traffic",
    "memory_stores",
]


@dataclass(frozen=True, kw_only=True)
class MemoryStores(BackupStores, ColdStores, RecordStores):
    """In-memory stores of every capability."""


def memory_stores(
    files: FileStore | None,
    now: Callable[[], datetime],
    *,
    objects: MemoryObjects | None = None,
    plans: MemoryObjects | None = None,
    database: Database | None = None,
) -> MemoryStores:
    """Create an in-memory installation, set up and adopted: its identity is recorded.

    Without ``files`` the temp folder is in memory too; tests that need the kernel pass a real one.
    """
    objects, database = objects or MemoryObjects(now), database or Database(now)
    objects.adopt(f"memory-{database.identity}")
    database.control["identity"] = f"{objects.identity()} {database.identity}"
    return MemoryStores(
        objects=objects,
        plans=plans or MemoryObjects(now, bucket="maintenance"),
        backup_bucket=MemoryObjects(now, bucket="backups"),
        catalogue=MemoryCatalogue(database),
        backup_uploads=MemoryUploads(Database(now)),
        jobs=MemoryJobs(database),
        files=files or MemoryFiles(now),
        runs=MemoryRuns(database),
        audit=MemoryAudit(database),
        references=MemoryReferences(database),
        proven=MemoryProvenBackups(database),
        control=MemoryControl(database),
        tombstones=MemoryTombstones(database),
        verdicts=MemoryVerdicts(database),
        uploads=MemoryUploads(database),
        replacer=MemoryObjectReplacer(objects),
        tier_store=MemoryTierStore(objects),
        cold=MemoryCold(database),
        cold_settings=ColdSettings(),
        records=MemoryRecords(database),
        retention=Retention(),
        clock=now,
    )
