"""Policies for a transcode's leftovers: objects under ``temp/`` and files in the temp folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from storage.core.errors import InvalidName
from storage.core.model import JobId, LocalFile, ObjectInfo, Owned, Prefix, owner_of, path_bytes
from storage.core.ports import Stores
from storage.engine.actions import Action, CondemnFile, DeleteObject, Keep, RemoveFolder
from storage.engine.policy import span, with_jobs

TEMP = Prefix("temp/")
HOLD = timedelta(hours=1)  # time a condemned file stays in .condemned/ before reap


@dataclass(frozen=True, kw_only=True)
class TempObjects:
    """Policy that deletes objects under ``temp/`` unchanged for ``older_than``, except of unended jobs."""

    older_than: timedelta

    def select(self, stores: Stores, as_of: datetime) -> Iterator[Owned]:
        return with_jobs(stores.objects.scan(TEMP), lambda info: owner_of(info.key, TEMP), stores)

    def plan(self, items: Iterable[Owned], as_of: datetime) -> Iterator[Action[Stores] | Keep]:
        for item in items:
            info = item.thing
            assert isinstance(info, ObjectInfo)
            if why := stays(item, info.last_modified, as_of, self.older_than):
                yield Keep(info.key, info.size, why)
            else:
                yield DeleteObject(
                    key=info.key,
                    size=info.size,
                    etag=info.etag,
                    last_modified=info.last_modified,
                    reason=f"untouched for {span(as_of - info.last_modified)}; {whose(item)}",
                    owner=item.owner,
                    owner_updated_at=item.job.updated_at if item.job else None,
                )


@dataclass(frozen=True, kw_only=True)
class EndedTempObjects(TempObjects):
    """Policy that deletes ``temp/`` objects of jobs that ended within ``window``, soon after their end."""

    window: timedelta

    def select(self, stores: Stores, as_of: datetime) -> Iterator[Owned]:
        for job in stores.jobs.ended_since(as_of - self.window):
            for info in stores.objects.scan(Prefix(f"{TEMP}{job.id}/")):
                yield Owned(info, job.id, job)


@dataclass(frozen=True, kw_only=True)
class TempFiles:
    """Policy that condemns temp files unchanged for ``older_than`` and not open, and removes empty folders.

    A folder named after a job that has not ended is kept with all its files. A folder's own times never
    decide about its files, because appending to a file does not change them.
    """

    older_than: timedelta
    hold: timedelta = HOLD

    def select(self, stores: Stores, as_of: datetime) -> Iterator[Owned]:
        stores.files.check()
        return with_jobs(stores.files.walk(), top_folder, stores)

    def plan(self, items: Iterable[Owned], as_of: datetime) -> Iterator[Action[Stores] | Keep]:
        tree, emptied = _Tree(), list[RemoveFolder]()
        for item in items:
            file = item.thing
            assert isinstance(file, LocalFile)
            if unfit := file.unfit or _unfit(file):
                tree.keep(file.path)
                yield Keep(file.path, file.size, unfit, unfit)
            elif file.kind == "folder":
                decided = self._folder(item, file, tree, as_of)
                if isinstance(decided, Keep):
                    yield decided
                else:
                    emptied.append(decided)
                # yielded together, so that they form full batches
                if len(emptied) >= RemoveFolder.batch_size.actions:
                    yield from emptied
                    emptied.clear()
            elif why := stays(item, file.changed, as_of, self.older_than):
                tree.keep(file.path)
                yield Keep(file.path, file.size, why)
            else:
                tree.go(file.path)
                yield self._condemn(item, file, tree.freed(file), as_of)
        yield from emptied

    def _folder(self, item: Owned, folder: LocalFile, tree: _Tree, as_of: datetime) -> RemoveFolder | Keep:
        if tree.kept(folder.path):
            return Keep(folder.path, 0, "contains a file or folder that is kept")
        why = stays(item, folder.changed, as_of, self.older_than)
        if why and (item.job and not item.job.ended or not tree.emptied(folder.path)):
            tree.keep(folder.path)
            return Keep(folder.path, 0, why)
        tree.go(folder.path)
        return RemoveFolder(
            key=folder.path,
            reason="none of its files is kept",
            owner=item.owner,
            owner_updated_at=item.job.updated_at if item.job else None,
        )

    def _condemn(self, item: Owned, file: LocalFile, freed: int, as_of: datetime) -> CondemnFile:
        return CondemnFile(
            key=file.path,
            size=freed,
            mtime_ns=file.mtime_ns,
            ctime_ns=file.ctime_ns,
            inode=file.inode,
            delete_after=as_of + self.hold,
            notice_seconds=self.hold.total_seconds(),
            reason=f"untouched for {span(as_of - file.changed)}; {whose(item)}",
            owner=item.owner,
            owner_updated_at=item.job.updated_at if item.job else None,
        )


@dataclass(frozen=True, kw_only=True)
class EndedTempFiles(TempFiles):
    """Policy that condemns temp files of jobs that ended within ``window``, soon after their end."""

    window: timedelta

    def select(self, stores: Stores, as_of: datetime) -> Iterator[Owned]:
        for item in super().select(stores, as_of):
            if item.job and item.job.ended_since(as_of - self.window):
                yield item


def stays(item: Owned, changed: datetime, as_of: datetime, older_than: timedelta) -> str | None:
    """Return why a temp file or object is kept; None if not. Only job state and its own age decide."""
    if item.job and not item.job.ended:
        return item.job.unended
    if changed > as_of - older_than:
        return f"changed {span(as_of - changed)} ago; deleted once unchanged for {span(older_than)}"
    return None


def whose(item: Owned) -> str:
    if item.job:
        return f"job {item.job.id} is {item.job.status}"
    return f"no job {item.owner}" if item.owner else "of no job"


def top_folder(file: LocalFile) -> JobId | None:
    """Return the job a temp file belongs to: the name of its topmost folder."""
    head, slash, _ = file.path.partition("/")
    if not slash and file.kind != "folder":
        return None
    try:
        return JobId(path_bytes(head).decode())
    except (InvalidName, UnicodeDecodeError):
        return None


def _unfit(file: LocalFile) -> str | None:
    return "neither a file nor a link (socket, pipe or device)" if file.kind == "other" else None


@dataclass
class _Tree:
    """State of the folders walked so far; a folder is queried after all its contents."""

    keeping: set[str] = field(default_factory=set)
    empty: set[str] = field(default_factory=set)
    inodes: dict[int, int] = field(default_factory=dict)

    def keep(self, path: str) -> None:
        """Keep every folder above ``path``. Where one is kept already, so are those above it."""
        while (path := path.rpartition("/")[0]) and path not in self.keeping:
            self.keeping.add(path)

    def go(self, path: str) -> None:
        if folder := path.rpartition("/")[0]:
            self.empty.add(folder)

    def kept(self, folder: str) -> bool:
        held = folder in self.keeping
        self.keeping.discard(folder)
        return held

    def emptied(self, folder: str) -> bool:
        done = folder in self.empty
        self.empty.discard(folder)
        return done

    def freed(self, file: LocalFile) -> int:
        """Return the bytes freed by this name: a hard-linked file counts once, with its last name."""
        if file.links == 1:
            return file.size
        self.inodes[file.inode] = self.inodes.get(file.inode, 0) + 1
        return file.size if self.inodes[file.inode] == file.links else 0
