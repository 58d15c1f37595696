"""Temp folder access through descriptors only: no path is resolved twice, no link is followed."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from storage.core.errors import FileFault, FileGone, FileInTheWay, TempFolderUnsafe
from storage.core.model import CONDEMNED, LocalFile, path_bytes, path_text
from storage.stores.file_walk import FOLDER, Walk, entry, mounts_below, stat_in, time_of

MARKER = b".transcode-flow-temp"
_NEVER = ("/", "/tmp", "/var", "/var/tmp", "/home", "/root", "/etc", "/usr", "/data", "/opt", "/srv", "/mnt")
_F_SETSIG, _CAP_LEASE, _RENAME_NOREPLACE = 10, 28, 1
_libc = ctypes.CDLL(None, use_errno=True)
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class TempFolder:
    """A :class:`storage.core.ports.FileStore` on a folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def root(self) -> str:
        return str(self._root)

    def check(self) -> None:
        """Raise TempFolderUnsafe unless the folder exists, has the marker file and supports leases.

        Leases are how open files are detected.
        """
        real = os.path.realpath(self._root)
        unfit = not self._root.is_absolute() or ".." in self._root.parts or self._root == Path.home()
        if unfit or real in _NEVER or str(self._root) in _NEVER or str(self._root).startswith("//"):
            raise TempFolderUnsafe(
                f"{self._root} must not be swept. Set STORAGE_TEMP_DIR to the temp folder."
            )
        if self._root.is_symlink():
            raise TempFolderUnsafe(
                f"{self._root} is a link, and links are never followed. Set STORAGE_TEMP_DIR to {real}."
            )
        try:
            with self._folder(b"") as top:
                names = os.listdir(top)  # noqa: PTH208 - of a descriptor
        except OSError as error:
            raise TempFolderUnsafe(
                f"{self._root} cannot be opened ({error.strerror}). Create it, or set STORAGE_TEMP_DIR."
            ) from error
        if os.fsdecode(MARKER) not in names:
            raise TempFolderUnsafe(
                f"{self._root} has no marker file. If it is the pipeline's temp folder, run "
                f"`touch {self._root}/{os.fsdecode(MARKER)}`."
            )
        self._check_leases()

    def _check_leases(self) -> None:
        with self._folder(b"") as top:
            names = os.listdir(top)  # noqa: PTH208 - of a descriptor
            owners = {seen.st_uid for name in names if (seen := stat_in(top, os.fsencode(name)))}
        strangers = owners - {os.geteuid()}
        if strangers and not _may_lease_all():
            raise TempFolderUnsafe(
                f"{self._root} holds files of other users (uid {min(strangers)}), so open files cannot be "
                "detected. Run the worker as their owner, or give it CAP_LEASE."
            )
        try:
            with self._probe() as probe:
                _lease(probe)
        except OSError as error:
            raise TempFolderUnsafe(
                f"open files in {self._root} cannot be detected ({error.strerror}): leases need a local file "
                "system, and this worker must be able to write. Set STORAGE_TEMP_DIR to such a folder."
            ) from error

    def now(self) -> datetime:
        with self._probe() as probe:
            return time_of(os.fstat(probe).st_mtime_ns)

    @contextmanager
    def _probe(self) -> Iterator[int]:
        """Create a file without a name, which ends with the block."""
        probe = os.open(self._root, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC)
        try:
            yield probe
        finally:
            os.close(probe)

    def walk(self) -> Iterator[LocalFile]:
        skipped = (MARKER, os.fsencode(CONDEMNED))
        yield from Walk(self._open, mounts_below(self.root), skipped)

    def _open(self, path: bytes) -> int:
        with self._folder(path) as folder:
            return os.dup(folder)

    def look(self, path: str) -> LocalFile | None:
        raw = path_bytes(path)
        try:
            with self._parent(raw) as (folder, name):
                seen = stat_in(folder, name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return entry(raw, seen) if seen else None

    def busy(self, path: str) -> str | None:
        try:
            with self._parent(path_bytes(path)) as (folder, name):
                seen = stat_in(folder, name)
                if seen is None or not stat.S_ISREG(seen.st_mode):
                    return None
                fd = os.open(name, _FILE, dir_fd=folder)
        except FileNotFoundError:
            return None
        except PermissionError:
            return "not readable by this worker, so its use cannot be detected"
        try:
            _lease(fd)
        except BlockingIOError:
            return "open in some process"
        except PermissionError:
            return "owned by another user, so its use cannot be detected"
        finally:
            os.close(fd)
        return None

    def move(self, source: str, target: str) -> None:
        with (
            _translate_errors(source, target),
            self._parent(path_bytes(source)) as (from_fd, from_name),
            self._parent(path_bytes(target), make=True) as (to_fd, to_name),
        ):
            _rename(from_fd, from_name, to_fd, to_name)

    def unlink(self, path: str) -> None:
        with suppress(FileGone), _translate_errors(path), self._parent(path_bytes(path)) as (folder, name):
            os.unlink(name, dir_fd=folder)

    def rmdir(self, path: str) -> bool:
        try:
            with self._parent(path_bytes(path)) as (folder, name):
                os.rmdir(name, dir_fd=folder)
        except OSError:
            return self.look(path) is None
        return True

    @contextmanager
    def _parent(self, path: bytes, make: bool = False) -> Iterator[tuple[int, bytes]]:
        """Open the folder that holds ``path``, one component at a time; yield it and the last component."""
        *folders, name = path.split(b"/")
        if not name or any(part in (b"", b".", b"..") for part in (*folders, name)):
            raise TempFolderUnsafe(f"{path_text(path)} is not a path below the temp folder.")
        with self._folder(b"/".join(folders), make) as folder:
            yield folder, name

    @contextmanager
    def _folder(self, path: bytes, make: bool = False) -> Iterator[int]:
        fd = os.open(self._root, FOLDER)
        try:
            for part in filter(None, path.split(b"/")):
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, 0o700, dir_fd=fd)
                inner = os.open(part, FOLDER, dir_fd=fd)
                os.close(fd)
                fd = inner
            yield fd
        finally:
            os.close(fd)


def _lease(fd: int) -> None:
    """Take and release a write lease: only possible while no other process has the file open.

    If a process opens it in between, the kernel sends a signal that is ignored by default.
    """
    fcntl.fcntl(fd, _F_SETSIG, signal.SIGURG)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)


@contextmanager
def _translate_errors(path: str, target: str = "") -> Iterator[None]:
    """Translate OSErrors into the platform's errors, with the file's name."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileGone(path) from error
    except FileExistsError as error:
        raise FileInTheWay(target) from error
    except OSError as error:
        raise FileFault(path, error.strerror or str(error)) from error


def _may_lease_all() -> bool:
    """Return True if this process has CAP_LEASE, as root has outside a restricted container."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_LEASE & 1)
    return False


def _rename(from_fd: int, from_name: bytes, to_fd: int, to_name: bytes) -> None:
    """Rename without overwriting: renameat2 with RENAME_NOREPLACE, which Python does not offer."""
    if _libc.renameat2(from_fd, from_name, to_fd, to_name, _RENAME_NOREPLACE) == 0:
        return
    code = ctypes.get_errno()
    if code not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(code, os.strerror(code), os.fsdecode(from_name))
    if stat_in(to_fd, to_name) is not None:  # a file system without the flag: check first, then rename
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fsdecode(to_name))
    os.rename(from_name, to_name, src_dir_fd=from_fd, dst_dir_fd=to_fd)
