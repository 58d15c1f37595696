"""The sample's temp folder: job folders, loose files, links and names that are hard to handle.

A program cannot set a file's change time (ctime), and the platform takes max(mtime, ctime) as the age of an
entry. So every entry created here is young for the platform, whatever its mtime: a demo that deletes entries
uses a short temp age (seconds) and waits that long. The old mtimes test that mtime alone, which `tar -x`,
`cp -p` and `rsync -t` can set, does not make an entry old.

Links out of the temp folder point to `<temp folder>.outside`, which must survive.
"""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from devstack.sample_values import MARKER, UNENDED, Job, TempEntry

OUTSIDE = b"@outside"
_HOSTILE = (
    b"new\nline.tmp",
    b"invalid-\xff\xfe-utf8.tmp",
    "日本語-\U0001f3ac.tmp".encode(),
    b"with space ",
    b"-rf",
    b"quote'\"$(id);.tmp",
)


def outside_of(temp: Path) -> Path:
    """Return the folder beside the temp folder to which the sample's links point."""
    return temp.with_name(temp.name + ".outside")


def make_temp(jobs: tuple[Job, ...], rng: random.Random, as_of: datetime) -> tuple[TempEntry, ...]:
    """Generate all entries, each folder before its contents."""
    old, young = as_of - timedelta(days=3), as_of - timedelta(minutes=10)
    moving = [job for job in jobs if job.status in UNENDED]
    ended = [job for job in jobs if job.status not in UNENDED]
    picked = [*moving[:40], *ended[:12]]
    found = [TempEntry(MARKER, "file", young)]
    for number, job in enumerate(picked):
        found += _folder(job.id.encode(), young if number % 2 else old, rng)
    for moment in (old, young):
        found += _folder(str(uuid.UUID(int=rng.getrandbits(128), version=4)).encode(), moment, rng)
        mark = b"old" if moment == old else b"young"
        found += [TempEntry(b"loose-" + mark + b".tmp", "file", moment, 2000)]
    return (*found, *_links(old), *_oddities(old))


def _folder(name: bytes, moment: datetime, rng: random.Random) -> Iterator[TempEntry]:
    yield TempEntry(name, "dir", moment)
    yield TempEntry(name + b"/source.mp4", "file", moment, rng.randrange(1000, 9000))
    yield TempEntry(name + b"/frames", "dir", moment)
    yield TempEntry(name + b"/frames/deep", "dir", moment)
    for number in range(rng.randrange(1, 4)):
        yield TempEntry(name + b"/frames/deep/frame-%03d.png" % number, "file", moment, 400)


def _links(moment: datetime) -> Iterator[TempEntry]:
    yield TempEntry(b"link-to-outside-file", "symlink", moment, target=OUTSIDE + b"/precious.txt")
    yield TempEntry(b"link-to-outside-folder", "symlink", moment, target=OUTSIDE + b"/folder")
    yield TempEntry(b"broken-link", "symlink", moment, target=b"nowhere/at/all")
    yield TempEntry(b"linked", "dir", moment)
    yield TempEntry(b"linked/escape", "symlink", moment, target=OUTSIDE + b"/folder")
    yield TempEntry(b"linked/first.bin", "file", moment, 3000)
    yield TempEntry(b"linked/second.bin", "hardlink", moment, target=b"linked/first.bin")


def _oddities(moment: datetime) -> Iterator[TempEntry]:
    yield TempEntry(b"empty", "dir", moment)
    yield TempEntry(b"pipe", "fifo", moment)
    yield TempEntry(b"odd", "dir", moment)
    for name in _HOSTILE:
        yield TempEntry(b"odd/" + name, "file", moment, 120)
    yield TempEntry(b"empty-file.tmp", "file", moment)


def write_temp(entries: tuple[TempEntry, ...], temp: Path) -> int:
    """Create the entries and set their mtimes; folders last, because creating a child updates them."""
    outside = outside_of(temp)
    (outside / "folder").mkdir(parents=True, exist_ok=True)
    (outside / "precious.txt").write_text("outside the temp folder: must stay\n")
    (outside / "folder" / "keep.txt").write_text("reached only through a link: must stay\n")
    temp.mkdir(parents=True, exist_ok=True)
    for entry in entries:
        _create(entry, temp, outside)
    for entry in reversed(entries):
        seconds = entry.modified.timestamp()
        os.utime(temp / os.fsdecode(entry.path), (seconds, seconds), follow_symlinks=False)
    return len(entries)


def _create(entry: TempEntry, temp: Path, outside: Path) -> None:
    path = temp / os.fsdecode(entry.path)
    if path.is_symlink() or path.exists():
        return  # such as the marker of a folder that is already in use
    if entry.kind == "dir":
        path.mkdir()
    elif entry.kind == "symlink":
        path.symlink_to(os.fsdecode(entry.target.replace(OUTSIDE, os.fsencode(outside))))
    elif entry.kind == "hardlink":
        path.hardlink_to(temp / os.fsdecode(entry.target))
    elif entry.kind == "fifo":
        os.mkfifo(path)
    else:
        path.write_bytes(random.Random(entry.path).randbytes(entry.size))
