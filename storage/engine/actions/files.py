"""Verbs on local temp files: condemn (rename to quarantine), reap (unlink), remove an emptied folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import ClassVar

from storage.core.errors import FileFault, FileGone, FileInTheWay
from storage.core.model import CONDEMNED, JobId, LocalFile, Outcome, Tombstone
from storage.core.ports import FileStore, Stores
from storage.engine.actions.base import BatchSize, Touches, Work, changed_owner, tombstone_of


@dataclass(frozen=True, slots=True, kw_only=True)
class CondemnFile:
    """Rename a file into ``.condemned/`` if it is unchanged and not open; reap unlinks it later.

    The tombstone is written before the rename, so a crash in between leaves the file in its place.
    """

    verb: ClassVar[str] = "condemn-file"
    touches: ClassVar[Touches] = "file"
    batch_size: ClassVar[BatchSize] = BatchSize(200)

    key: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    delete_after: datetime
    notice_seconds: float
    reason: str
    owner: str | None = None
    owner_updated_at: datetime | None = None

    @classmethod
    def apply(cls, batch: Sequence[CondemnFile], work: Work[Stores]) -> list[Outcome]:
        work.stores.files.check()
        tombstones = work.stores.tombstones
        jobs = work.stores.jobs.get({JobId(action.owner) for action in batch if action.owner})
        blocked = {
            action.key: why
            for action in batch
            if (why := changed_owner(action.owner, action.owner_updated_at, jobs) or action._changed(work))
        }
        blocked |= tombstones.condemn(
            [action._tombstone(work) for action in batch if action.key not in blocked]
        )
        return [
            Outcome("skipped", blocked[action.key], action.size)
            if action.key in blocked
            else _attempt(partial(action._move, work), action.size)
            for action in batch
        ]

    def _changed(self, work: Work[Stores]) -> str | None:
        files = work.stores.files
        now = files.look(self.key)
        if now is None:
            return None if files.look(held_at(work.run_id, self.key)) else "already gone"
        if (now.mtime_ns, now.ctime_ns, now.inode) != (self.mtime_ns, self.ctime_ns, self.inode):
            return "written to since the plan"
        return files.busy(self.key)

    def _move(self, work: Work[Stores]) -> Outcome:
        files, aside = work.stores.files, held_at(work.run_id, self.key)
        if files.look(aside) is None:
            files.move(self.key, aside)
        busy, now = files.busy(aside), files.look(aside)  # in this order: a writer may have just closed it
        if now and _same(now, self.mtime_ns, self.inode) and not busy:
            return Outcome("done", bytes=self.size)
        back = put_back(files, aside, self.key)
        open_now = [s.id for s in work.stores.tombstones.of_run(work.run_id) if s.key == self.key]
        work.stores.tombstones.undo(open_now)
        why = "opened while it was moved aside"
        return Outcome("skipped", f"{why}; put back", self.size) if back else _stranded(why, aside, self.size)

    def _tombstone(self, work: Work[Stores]) -> Tombstone:
        aside = held_at(work.run_id, self.key)
        return tombstone_of(
            self, work, "file", work.stores.files.root, f"{self.mtime_ns} {self.inode}", aside
        )

    def holds(self, stores: Stores) -> bool:
        now = stores.files.look(self.key)
        return now is None or now.inode != self.inode


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveFolder:
    """Remove a folder that is empty after its files were condemned. A folder that is not empty stays."""

    verb: ClassVar[str] = "remove-folder"
    touches: ClassVar[Touches] = "file"
    batch_size: ClassVar[BatchSize] = BatchSize(200)

    key: str
    reason: str
    owner: str | None = None
    owner_updated_at: datetime | None = None
    size: int = 0

    @classmethod
    def apply(cls, batch: Sequence[RemoveFolder], work: Work[Stores]) -> list[Outcome]:
        work.stores.files.check()
        jobs = work.stores.jobs.get({JobId(action.owner) for action in batch if action.owner})
        outcomes = []
        for action in batch:
            if why := changed_owner(action.owner, action.owner_updated_at, jobs):
                outcomes.append(Outcome("skipped", why))
            else:
                gone = work.stores.files.rmdir(action.key)
                outcomes.append(Outcome("done") if gone else Outcome("skipped", "not empty"))
        return outcomes

    def holds(self, stores: Stores) -> bool:
        return stores.files.look(self.key) is None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReapFile:
    """Unlink a condemned file that is due, if it is unchanged and not open; otherwise rename it back."""

    verb: ClassVar[str] = "unlink"
    touches: ClassVar[Touches] = "file"
    batch_size: ClassVar[BatchSize] = BatchSize(200)

    tombstone: int
    key: str
    held_at: str
    size: int
    mtime_ns: int
    inode: int
    reason: str

    @classmethod
    def apply(cls, batch: Sequence[ReapFile], work: Work[Stores]) -> list[Outcome]:
        work.stores.files.check()  # files missing from an empty mount point must not count as reaped
        begun = work.stores.tombstones.begin([action.tombstone for action in batch])
        ends: dict[tuple[str, str], list[int]] = {}
        outcomes = [
            _attempt(partial(action._reap, work.stores.files, ends), action.size)
            if action.tombstone in begun
            else Outcome("skipped", "no longer condemned", action.size)
            for action in batch
        ]
        for (state, note), tombstones in ends.items():
            work.stores.tombstones.finish(tombstones, state, note)
        for folder in {action.held_at.rpartition("/")[0] for action in batch}:
            work.stores.files.rmdir(folder)  # removed with the last file of its run
        return outcomes

    def _reap(self, files: FileStore, ends: dict[tuple[str, str], list[int]]) -> Outcome:
        """Unlink or rename back; add the tombstone's final state to ``ends``, which the batch records."""

        def end(state: str, note: str = "") -> None:
            ends.setdefault((state, note), []).append(self.tombstone)

        busy, now = files.busy(self.held_at), files.look(self.held_at)  # in this order, see _move
        if now is None:
            in_place = files.look(self.key)
            moved = in_place is None or in_place.inode != self.inode
            end("reaped" if moved else "kept", "it was not in .condemned/")
            return Outcome("skipped", "already gone" if moved else "it had not been moved aside", self.size)
        if not _same(now, self.mtime_ns, self.inode) or busy:
            back = put_back(files, self.held_at, self.key)
            end("kept", "in use again; put back" if back else "in use again")
            if back:
                return Outcome("skipped", "in use again; put back", self.size)
            return _stranded("in use again", self.held_at, self.size)
        files.unlink(self.held_at)
        end("reaped")
        return Outcome("done", bytes=self.size)

    def holds(self, stores: Stores) -> bool:
        return stores.files.look(self.held_at) is None


def _attempt(act: Callable[[], Outcome], size: int) -> Outcome:
    """Act on one file; an error of one file does not stop the others."""
    try:
        return act()
    except FileGone:
        return Outcome("skipped", "already gone", size)
    except (FileInTheWay, FileFault) as error:
        return Outcome("failed", str(error), size)


def _stranded(why: str, aside: str, size: int) -> Outcome:
    return Outcome("failed", f"{why}, but a new file has its path: the condemned file is at {aside}", size)


def held_at(run_id: str, path: str) -> str:
    """Return the quarantine path of a condemned file: always the same for a given run."""
    return f"{CONDEMNED}/{run_id}/{hashlib.sha256(path.encode()).hexdigest()[:24]}"


def put_back(files: FileStore, aside: str, path: str) -> bool:
    """Rename a condemned file back unless its path is taken; return True if it was renamed."""
    if files.look(aside) is None or files.look(path) is not None:
        return False
    files.move(aside, path)
    return True


def _same(now: LocalFile, mtime_ns: int, inode: int) -> bool:
    return (now.mtime_ns, now.inode) == (mtime_ns, inode)
