"""In-memory temp folder: entries with times, inodes and open state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Literal

from storage.core.errors import FileGone, FileInTheWay, TempFolderUnsafe
from storage.core.model import CONDEMNED, LocalFile


class MemoryFiles:
    """In-memory FileStore. A rename sets the ctime, a change inside a folder sets the folder's mtime."""

    def __init__(self, now: Callable[[], datetime], root: str = "/data/temp") -> None:
        self.root = root
        self.unsafe = ""
        self.opened: set[str] = set()
        self.entries: dict[str, LocalFile] = {}
        self._now = now
        self._inodes = 0

    def add(
        self,
        path: str,
        size: int = 1,
        changed: datetime | None = None,
        *,
        kind: Literal["file", "link", "folder", "other"] = "file",
        inode: int = 0,
        links: int = 1,
    ) -> LocalFile:
        """Add an entry and its parent folders, last changed at ``changed``."""
        at = changed or self._now()
        for folder in reversed(_above(path)):
            if folder not in self.entries:
                self._put(folder, 0, at, "folder", 0, 1)
        return self._put(path, size, at, kind, inode, links)

    def check(self) -> None:
        if self.unsafe:
            raise TempFolderUnsafe(self.unsafe)

    def now(self) -> datetime:
        return self._now()

    def walk(self) -> Iterator[LocalFile]:
        shown = [path for path in self.entries if path.split("/")[0] != CONDEMNED]
        # U+FFFF after every folder's name sorts it after all paths that begin with "name/"
        order = {path: path.split("/") + (["\uffff"] if self._is_folder(path) else []) for path in shown}
        for path in sorted(shown, key=order.__getitem__):
            yield self.entries[path]

    def look(self, path: str) -> LocalFile | None:
        return self.entries.get(path)

    def busy(self, path: str) -> str | None:
        return "open in some process" if path in self.opened else None

    def move(self, source: str, target: str) -> None:
        if source not in self.entries:
            raise FileGone(source)
        if target in self.entries:
            raise FileInTheWay(target)
        moved = self.entries.pop(source)
        self._touch(source)
        at = self._now()
        self.add(target, changed=at)
        self.entries[target] = replace(moved, path=target, ctime_ns=_ns(at), changed=max(moved.changed, at))
        if source in self.opened:
            self.opened.discard(source)
            self.opened.add(target)
        self._touch(target)

    def unlink(self, path: str) -> None:
        if self.entries.pop(path, None):
            self._touch(path)

    def rmdir(self, path: str) -> bool:
        if any(other.startswith(f"{path}/") for other in self.entries):
            return False
        if path in self.entries:
            self.unlink(path)
        return True

    def _is_folder(self, path: str) -> bool:
        return self.entries[path].kind == "folder"

    def _touch(self, path: str) -> None:
        at = self._now()
        for folder in _above(path)[:1]:
            held = self.entries[folder]
            self.entries[folder] = replace(held, changed=at, mtime_ns=_ns(at), ctime_ns=_ns(at))

    def _put(
        self,
        path: str,
        size: int,
        at: datetime,
        kind: Literal["file", "link", "folder", "other"],
        inode: int,
        links: int,
    ) -> LocalFile:
        self._inodes += 1
        entry = LocalFile(path, kind, size, at, _ns(at), _ns(at), inode or 10_000 + self._inodes, links)
        self.entries[path] = entry
        return entry


def _ns(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000


def _above(path: str) -> list[str]:
    """Return the parent folders of a path, nearest first."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:depth]) for depth in range(len(parts), 0, -1)]
