"""Small disks that can be filled in an instant and emptied again.

A small tmpfs answers ENOSPC as any full disk does, which PostgreSQL reports as 53100. A limit on the size of
files would not do: that is EFBIG, which has another SQLSTATE. The mounts are in a namespace of the process
(unshare), so they vanish with it, however it ends; a process that is not root enters a user namespace first.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from tests.faults.fork import Say, forked

_NEWNS, _NEWUSER = 0x00020000, 0x10000000  # flags of unshare
_REC, _PRIVATE = 1 << 14, 1 << 18  # flags of mount
_DETACH = 2  # flag of umount2
_libc = ctypes.CDLL(None, use_errno=True)
BALLAST = "ballast"


def refused() -> str:
    """Return why this machine cannot mount a small disk; empty when it can."""

    def work(say: Say) -> None:
        try:
            own_mounts()
            mount(Path("/tmp"), 1)
        except OSError as error:
            say(str(error).encode())

    return forked(work, 10)[0].decode()


def own_mounts() -> None:
    """Enter a mount namespace: only this process and its children see its later mounts. Raises OSError."""
    root, user, group = os.geteuid() == 0, os.geteuid(), os.getegid()
    _done(_libc.unshare(_NEWNS if root else _NEWNS | _NEWUSER), "unshare")
    if not root:  # keep the uid and gid, and gain the right to mount
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _done(_libc.mount(None, b"/", None, _REC | _PRIVATE, None), "mount --make-rprivate /")


def mount(folder: Path, mib: int) -> None:
    """Mount a disk of ``mib`` MiB on an empty folder, which every user may enter. Raises OSError."""
    options = f"size={mib}m,mode=0711".encode()
    _done(_libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options), f"mount {folder}")


def _done(code: int, what: str) -> None:
    if code:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unmount(folder: Path) -> None:
    """Unmount the folder's disk and discard its contents, if it has one."""
    _libc.umount2(os.fsencode(folder), _DETACH)


def fill(folder: Path) -> None:
    """Fill the small disk mounted on the folder. Raises OSError when none is mounted there."""
    if not folder.is_mount():
        raise OSError(f"{folder} has no disk of its own")
    file = os.open(folder / BALLAST, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        while free := (answer := os.fstatvfs(file)).f_bavail * answer.f_frsize:
            os.posix_fallocate(file, os.fstat(file).st_size, free)
    finally:
        os.close(file)


def clear(folder: Path) -> None:
    (folder / BALLAST).unlink(missing_ok=True)
