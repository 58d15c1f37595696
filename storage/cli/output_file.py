"""The file of ``storage get -o FILE``: a complete one appears, and nothing else is ever replaced."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from storage.core.errors import UsageError

_DESCRIPTOR = re.compile(r"/proc/(\d+)(?:/task/\d+)?/fd/(\d+)")


@contextmanager
def sink(name: str) -> Iterator[BinaryIO]:
    """Yield stdout for "" or "-"; a device, FIFO or open descriptor to write into; else a temporary file.

    That takes its place only after a complete write. A symbolic link is followed. A file that exists keeps
    its mode, owner and hard links. Raises UsageError for a folder, and for what cannot be written.
    """
    if name in ("", "-"):
        yield sys.stdout.buffer
        return
    try:
        descriptor, target = _descriptor(name), Path(name).resolve()
        writes_into = descriptor is not None or _writes_into(target, name)
        made = (
            nullcontext("") if writes_into else TemporaryDirectory(dir=target.parent, prefix=".storage-get-")
        )
        file = _opened(Path(name), descriptor) if writes_into else None
    except (OSError, RuntimeError) as error:  # of symbolic links in a circle
        why = getattr(error, "strerror", error)
        raise UsageError(f"-o {name} cannot be written: {why}. Name another file.") from error
    with made as folder:
        part = Path(folder, "part")
        with file or part.open("xb") as out:  # a new file has the mode that the umask gives
            yield out
        if file is None:
            _give_place(part, target)


def _descriptor(name: str) -> re.Match[str] | None:
    """Return process and number of the open descriptor that a path such as /dev/stdout or /dev/fd/3 means.

    Followed step by step: the last step leads from the descriptor to the file that is open there.
    """
    path = Path(name).absolute()
    for _ in range(40):  # as many links as the kernel follows
        path = path.parent.resolve() / path.name
        if (found := _DESCRIPTOR.fullmatch(str(path))) or not path.is_symlink():
            return found
        path = path.parent / path.readlink()
    return None


def _writes_into(target: Path, name: str) -> bool:
    """Return True for what exists and is no regular file. Raises UsageError for what cannot be a target."""
    if not target.parent.is_dir():
        folder = shlex.quote(str(target.parent))
        raise UsageError(f"-o {name}: there is no folder {target.parent}. Create it: mkdir -p {folder}")
    if not target.exists():
        return False
    mode = target.stat().st_mode
    if stat.S_ISDIR(mode):
        raise UsageError(f"-o {name} is a folder; name a file.")
    if not os.access(target, os.W_OK):
        raise PermissionError(0, "it may not be written by this user")
    return not stat.S_ISREG(mode)


def _opened(path: Path, descriptor: re.Match[str] | None) -> BinaryIO:
    """Open without creating: what is there stays what it is. An own descriptor goes on where it stands."""
    own = descriptor is not None and int(descriptor[1]) == os.getpid()
    return os.fdopen(os.dup(int(descriptor[2])) if descriptor and own else os.open(path, os.O_WRONLY), "wb")


def _give_place(part: Path, target: Path) -> None:
    """Put the complete file in the target's place; copy it into the target if a rename would lose anything.

    Its other names (hard links), its owner, ACL or extended attributes, or a special file made meanwhile.
    """
    if not target.exists() or _kept_by_rename(part, target):
        part.replace(target)
        return
    existing = os.open(target, os.O_WRONLY | os.O_TRUNC)
    with part.open("rb") as source, os.fdopen(existing, "wb") as into:
        shutil.copyfileobj(source, into, 1 << 20)


def _kept_by_rename(part: Path, target: Path) -> bool:
    """Give the new file the target's owner and mode. Return True if it then has all that the target has."""
    old = target.stat()
    if not stat.S_ISREG(old.st_mode) or old.st_nlink > 1 or _attributes(target):
        return False
    with suppress(PermissionError):
        os.chown(part, old.st_uid, old.st_gid)
        part.chmod(stat.S_IMODE(old.st_mode))  # after it: a new owner clears set-user-ID
    new = part.stat()
    return (new.st_uid, new.st_gid, new.st_mode) == (old.st_uid, old.st_gid, old.st_mode)


def _attributes(target: Path) -> list[str]:
    """Return the names of its extended attributes, such as an ACL; none where the file system has none."""
    with suppress(OSError):
        return os.listxattr(target)
    return []
