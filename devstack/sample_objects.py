"""The sample's objects: outputs, leftovers, uploads and keys that only look like leftovers."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta

from devstack.sample_values import UNENDED, Content, Job, OpenUpload, StoredObject

_OUTPUTS = {
    "360p": ("360p/video_360p.mp4",),
    "720p": ("720p/video_720p.mp4",),
    "audio": ("audio/audio.mp3",),
    "segments": ("360p/segments/playlist.m3u8", "360p/segments/seg_000.ts", "360p/segments/seg_001.ts"),
    "transcription": tuple(f"transcription/transcript.{kind}" for kind in ("txt", "srt", "vtt", "json")),
}
# Keys that a careless prefix, LIKE pattern or suffix would match. All are old: only their names protect them.
SURVIVORS = (
    ("temporary/keep.bin", "filler", 4096),
    ("temp-keep/x", "filler", 512),
    ("tempo.txt", "text", 0),
    ("Temp/part-0000.tmp", "filler", 256),
    ("uploads-archive/video.mp4.part1", "filler", 1024),
    ("failed-notes.txt", "text", 0),
    ("processed_old/job-1/metadata.json", "metadata", 0),
    ("old/processed/job-1/360p/video_360p.mp4", "filler", 2048),
    ("backups/keep.dump", "filler", 16384),
    ("models/m/1/model.pt", "filler", 65536),
    ("audit/log.jsonl", "log", 0),
)
# Valid keys that break shells, URLs, XML, logs and path functions. A store may refuse some: MinIO refuses
# empty and dot segments. `temp/../backups/keep.dump` must never reach backups/keep.dump.
HOSTILE = (
    "temp/loose name with spaces.tmp",
    "temp/loose-\"double\" & 'single' <b>.tmp",
    "temp/loose-new\nline.tmp",
    "temp/loose-tab\there.tmp",
    "temp/loose-100%25+plus=a&b?c#d.tmp",
    "temp/loose-back\\slash.tmp",
    "temp/loose-*?[a].tmp",
    "temp/-rf",
    "temp/loose-日本語-\U0001f3ac.tmp",
    "temp/loose-caf\u00e9.tmp",
    "temp/loose-cafe\u0301.tmp",
    "temp/ leading and trailing ",
    "temp//double.tmp",
    "temp/./dot.tmp",
    "temp/../backups/keep.dump",
)


def make_objects(jobs: tuple[Job, ...], rng: random.Random, as_of: datetime) -> tuple[StoredObject, ...]:
    """Generate all objects of the sample, each key once."""
    found: dict[str, StoredObject] = {}
    for job in jobs:
        for item in _of_job(job, rng, as_of):
            found[item.key] = item
    for item in (*_of_no_job(rng, as_of), *_survivors(as_of)):
        found[item.key] = item
    return tuple(found.values())


def make_open_uploads(jobs: tuple[Job, ...], rng: random.Random) -> tuple[OpenUpload, ...]:
    """Generate five open uploads: of a job in progress, of an ended job, of no job, and without any part."""
    moving = next(job.id for job in jobs if job.status in UNENDED)
    failed = next(job.id for job in jobs if job.status == "failed")
    return (
        OpenUpload(f"uploads/{moving}/camera.mp4", 2),
        OpenUpload(f"uploads/{_unknown(rng)}/abandoned.mp4", 1),
        OpenUpload(f"processed/{failed}/720p/video_720p.mp4", 2),
        OpenUpload("temp/unfinished.tmp", 1),
        OpenUpload(f"uploads/{_unknown(rng)}/no parts at all.mp4", 0),
    )


def _unknown(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _of_job(job: Job, rng: random.Random, as_of: datetime) -> Iterator[StoredObject]:
    if job.status == "completed":
        yield from _outputs(job, rng)
        if rng.random() < 0.4:
            yield _stored(f"processed/{job.id}/raw/video_original.mp4", job.source, job.created_at)
    elif job.status == "failed":
        yield from _outputs(job, rng)
        yield _stored(f"failed/{job.id}/error.log", Content("log", "error", salt=job.id), job.updated_at)
    elif job.status in UNENDED:
        yield from _outputs(job, rng)
    if job.status in UNENDED or (job.status == "failed" and rng.random() < 0.4):
        yield _stored(f"uploads/{job.id}/source.mp4", job.source, job.created_at)
    yield from _temp_of(job, rng, as_of)


def _outputs(job: Job, rng: random.Random) -> Iterator[StoredObject]:
    folder = f"processed/{job.id}/"
    if job.status == "completed":
        variant = job.source.variant if job.source else 0
        yield _stored(
            folder + "metadata.json", Content("metadata", "metadata", variant, job.id), job.updated_at
        )
    if job.paths and not job.paths[0][1].startswith(folder):
        return  # a repeated upload: its outputs are the other job's objects
    for stem, content in job.made:
        moment = job.updated_at - timedelta(seconds=rng.randrange(1, 90))
        for path in _OUTPUTS[stem]:
            name = path.rpartition("/")[2]
            kind = "text" if stem == "transcription" else "media"
            salt = job.id if kind == "text" else content.salt
            yield _stored(folder + path, Content(kind, name, content.variant, salt), moment)


def _stored(key: str, content: Content | None, modified: datetime) -> StoredObject:
    return StoredObject(key, content or Content("filler", key, size=1024), modified)


def _temp_of(job: Job, rng: random.Random, as_of: datetime) -> Iterator[StoredObject]:
    """Generate temp parts of jobs in progress (also old: a long transcode) and leftovers of ended jobs."""
    moving = job.status in UNENDED and as_of - job.updated_at < timedelta(hours=24)
    chance = 0.6 if job.status in UNENDED else 0.05
    if rng.random() >= chance:
        return
    young = rng.random() < (0.7 if moving else 0.25)
    hours = rng.uniform(0.1, 20) if young else rng.uniform(30, 40 * 24)
    for number in range(rng.randrange(1, 4)):
        key = f"temp/{job.id}/part-{number:04}.tmp"
        yield _filler(key, rng.randrange(500, 6000), as_of - timedelta(hours=hours))


def _filler(key: str, size: int, modified: datetime) -> StoredObject:
    return StoredObject(key, Content("filler", "filler", salt=key, size=size), modified)


def _of_no_job(rng: random.Random, as_of: datetime) -> Iterator[StoredObject]:
    """Generate loose temp objects, orphan uploads and groups of parts; old and young of each."""
    for number, hours in enumerate((0.2, 3, 22, 26, 50, 24 * 7, 24 * 33)):
        moment = as_of - timedelta(hours=hours)
        yield _filler(f"temp/loose-{number}.tmp", 700 + number, moment)
        yield _filler(f"temp/{_unknown(rng)}/part-0000.tmp", 900, moment)
        yield StoredObject(f"uploads/{_unknown(rng)}/source.mp4", _source(rng), moment)
    for hours in (1, 24 * 4):
        folder = f"uploads/{_unknown(rng)}/"
        for part in (1, 2, 3):
            yield _filler(f"{folder}video.mp4.part{part}", 3000, as_of - timedelta(hours=hours))
    # A group with one fresh part: it is still being written, so none of its parts is abandoned.
    folder = f"uploads/{_unknown(rng)}/"
    for part, hours in ((1, 24 * 4), (2, 24 * 3), (3, 0.1)):
        yield _filler(f"{folder}video.mp4.part{part}", 3000, as_of - timedelta(hours=hours))
    for number, key in enumerate(HOSTILE):
        yield _filler(key, 300 + number, as_of - timedelta(days=3 + number))
    yield _filler(
        f'uploads/{_unknown(rng)}/my holiday\'s "best" video (1).mp4', 800, as_of - timedelta(days=9)
    )


def _source(rng: random.Random) -> Content:
    return Content("media", "source.mp4", rng.randrange(4))


def _survivors(as_of: datetime) -> Iterator[StoredObject]:
    for key, kind, size in SURVIVORS:
        name = "transcript.txt" if kind == "text" else "audit" if kind == "log" else kind
        yield StoredObject(key, Content(kind, name, salt=key, size=size), as_of - timedelta(days=100))
