"""Walk over the temp folder, of any depth. What no job may move or delete is shown with the reason.

A mount point is found in the kernel's table of mounts: bind mounts have the device of their surroundings, and
on an overlay a file may have another device than its folder although nothing is mounted there.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from storage.core.model import LocalFile, path_text

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MOUNTED = "a mount point: another file system, or a bind mount"
OTHER_DEVICE = "on another file system"
UNREADABLE = "a folder that this worker cannot read"
REPLACED = "replaced while the folder was read"
OPEN = 64  # folders held open at once; those further up are opened again on the way back
_BLOCK = 512  # bytes, the unit of st_blocks on every file system
_ESCAPED = re.compile(rb"\\([0-7]{3})")


@dataclass
class _Level:
    """A folder being read: its path ('' or ending in '/'), what it was when it was opened, what is left."""

    path: bytes
    seen: os.stat_result
    names: Iterator[bytes]
    fd: int
    unfit: str = ""

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Walk:
    """Iterator over the entries below a folder, folders after what they hold.

    ``open_folder`` opens a folder by its path below the root, following no link. Top-level names in
    ``skipped`` are left out, and so is what is below one of ``mounts``.
    """

    def __init__(
        self, open_folder: Callable[[bytes], int], mounts: Collection[bytes], skipped: Collection[bytes]
    ) -> None:
        self._open, self._mounts, self._skipped = open_folder, mounts, skipped
        self._levels: list[_Level] = []

    def __iter__(self) -> Iterator[LocalFile]:
        root = self._open(b"")
        self._levels = [_Level(b"", os.fstat(root), _names(root, self._skipped), root)]
        with closing(self):
            while self._levels:
                yield from self._step(self._levels[-1])

    def close(self) -> None:
        for level in self._levels:
            level.close()

    def _step(self, level: _Level) -> Iterator[LocalFile]:
        """Read one name of the innermost folder, or leave that folder."""
        name = next(level.names, None)
        if name is None:
            self._levels.pop().close()
            if self._levels:
                yield self._left(level)
        elif self._reopened(level) and (seen := stat_in(level.fd, name)):
            path = level.path + name
            unfit = MOUNTED if path in self._mounts else ""
            if not unfit and stat.S_ISDIR(seen.st_mode):
                unfit = self._enter(level, name, seen)
                if not unfit:
                    return
            yield entry(path, seen, unfit)

    def _enter(self, level: _Level, name: bytes, seen: os.stat_result) -> str:
        """Open a folder as the innermost one; return why it cannot be entered, or ''."""
        try:
            fd = os.open(name, FOLDER, dir_fd=level.fd)
        except (FileNotFoundError, NotADirectoryError):
            return REPLACED
        except OSError:
            return UNREADABLE
        now = os.fstat(fd)
        unfit = REPLACED if now.st_ino != seen.st_ino else ""
        if now.st_dev != self._levels[0].seen.st_dev:
            unfit = OTHER_DEVICE
        try:
            names = iter(()) if unfit else _names(fd)
        except OSError:
            unfit = UNREADABLE
        if unfit:
            os.close(fd)
            return unfit
        self._levels.append(_Level(level.path + name + b"/", now, names, fd))
        if len(self._levels) > OPEN:
            self._levels[-OPEN - 1].close()
        return ""

    def _left(self, level: _Level) -> LocalFile:
        """Return the entry of a folder whose contents have been shown."""
        path = level.path[:-1]
        above = self._levels[-1]
        seen = stat_in(above.fd, path.rpartition(b"/")[2]) if self._reopened(above) else None
        return entry(path, seen or level.seen, level.unfit)

    def _reopened(self, level: _Level) -> bool:
        """Open the innermost folder again if it is closed; False if it is no longer the same: it is left.

        Some folders above it are opened with it, for they are needed next.
        """
        if level.fd >= 0:
            return True
        above: _Level | None = None
        for one in self._levels[-OPEN // 2 :]:
            if one.fd < 0 and not self._open_again(one, above):
                level.names, level.unfit = iter(()), REPLACED
                return False
            above = one
        return True

    def _open_again(self, level: _Level, above: _Level | None) -> bool:
        """Open a folder, in the one above if that is open; False if another one is there now."""
        path = level.path[:-1]
        try:
            if above is None:
                fd = self._open(path)
            else:
                fd = os.open(path.rpartition(b"/")[2], FOLDER, dir_fd=above.fd)
        except OSError:
            return False
        if not os.path.samestat(os.fstat(fd), level.seen):
            os.close(fd)
            return False
        level.fd = fd
        return True


def _names(folder: int, skipped: Collection[bytes] = ()) -> Iterator[bytes]:
    with os.scandir(folder) as entries:
        names = (os.fsencode(found.name) for found in entries)
        return iter(sorted(name for name in names if name not in skipped))


def mounts_below(root: str) -> frozenset[bytes]:
    """Return the paths below ``root`` at which this process sees something mounted."""
    above = os.path.realpath(os.fsencode(root)) + b"/"
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    points = (_ESCAPED.sub(lambda code: bytes([int(code[1], 8)]), line.split(b" ")[4]) for line in lines)
    return frozenset(point.removeprefix(above) for point in points if point.startswith(above))


def stat_in(folder: int, name: bytes) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def entry(path: bytes, seen: os.stat_result, unfit: str = "") -> LocalFile:
    return LocalFile(
        path=path_text(path),
        kind=_kind(seen.st_mode),
        size=_size(seen) if stat.S_ISREG(seen.st_mode) else 0,
        changed=time_of(max(seen.st_mtime_ns, seen.st_ctime_ns)),
        mtime_ns=seen.st_mtime_ns,
        ctime_ns=seen.st_ctime_ns,
        inode=seen.st_ino,
        links=seen.st_nlink,
        unfit=unfit,
    )


def _size(seen: os.stat_result) -> int:
    """Return the bytes that deleting the file frees: without its holes, with space reserved beyond its end.

    The rounding up of its last block does not count.
    """
    allocated = seen.st_blocks * _BLOCK
    return seen.st_size if 0 <= allocated - seen.st_size < seen.st_blksize else allocated


def _kind(mode: int) -> Literal["file", "link", "folder", "other"]:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISLNK(mode):
        return "link"
    return "folder" if stat.S_ISDIR(mode) else "other"


def time_of(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
