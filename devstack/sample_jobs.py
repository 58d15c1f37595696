"""The sample's job rows: fixed test cases first, then as many ordinary jobs as requested."""

from __future__ import annotations

import hashlib
import random
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from devstack.sample_values import UNENDED, ApiKey, Content, Job

VARIANTS = 4
_GIB = 1024**3
_HOUR = 1.0
_DAY = 24.0
_WEIGHTS = {
    "completed": 78,
    "failed": 10,
    "queued": 7,
    "processing": 3,
    "transcoding": 3,
    "uploading": 2,
    "cleaned_up": 3,
}
_ERRORS = (
    "ffmpeg exited with code 1: moov atom not found",
    "ffmpeg exited with code 183: Invalid data found when processing input",
    "Transcription failed: no audio stream in the source",
    "Upload of 720p/video_720p.mp4 failed after 3 attempts: connection reset",
    "Source exceeds the maximum duration of 4 hours",
)
_SHORT = {
    "360p": ("output_360p", "360p/video_360p.mp4"),
    "720p": ("output_720p", "720p/video_720p.mp4"),
    "audio": ("output_audio", "audio/audio.mp3"),
}


@dataclass(frozen=True)
class _Role:
    """A fixed test case of the cast; an id that starts with `*` is replaced by a random UUID."""

    id: str
    status: str
    hours: float
    borrows: str = ""


# The first ten cover all seven statuses and a prefix pair, so that even `--jobs 10` is complete.
# `_` and `%` are legal in ids and wildcards in LIKE; some ids are prefixes of others.
CAST = (
    _Role("job-1", "failed", 8 * _DAY),
    _Role("job-10", "completed", 10 * _DAY),
    _Role("*queued-fresh", "queued", 0.2),
    _Role("*processing-stuck", "processing", 30),
    _Role("*transcoding-fresh", "transcoding", 0.5),
    _Role("*uploading-stuck", "uploading", 26),
    _Role("*cleaned", "cleaned_up", 20 * _DAY),
    _Role("*queued-fresh-2", "queued", 2),
    _Role("*queued-stuck", "queued", 27),
    _Role("*completed", "completed", 5 * _DAY),
    _Role("job_a_1", "failed", 9 * _DAY),
    _Role("jobaZ1", "completed", 40 * _DAY),
    _Role("jobXaZ1", "completed", 41 * _DAY),
    _Role("job%1", "failed", 10 * _DAY),
    _Role("jobber1", "completed", 11 * _DAY),
    _Role("job-100%", "failed", 12 * _DAY),
    _Role("job-100", "completed", 12 * _DAY),
    _Role("donor-1", "failed", 15 * _DAY),
    _Role("borrower-1", "completed", 14 * _DAY, borrows="donor-1"),
    _Role("donor-2", "failed", 60 * _DAY),
    _Role("borrower-2", "completed", 3 * _DAY, borrows="donor-2"),
    _Role("borrower-3", "completed", 2 * _DAY, borrows="donor-2"),
    *(
        _Role(f"*failed-{hours:g}", "failed", hours)
        for hours in (_HOUR, 2 * _DAY, 5 * _DAY, 6 * _DAY, 167, 168, 169, 8 * _DAY, 30 * _DAY, 100 * _DAY)
    ),
    _Role("*transcoding-stuck", "transcoding", 5 * _DAY),
    _Role("*transcoding-stuck-2", "transcoding", 25),
    _Role("*processing-stuck-2", "processing", 9 * _DAY),
    _Role("*uploading-stuck-2", "uploading", 3 * _DAY),
    _Role("*queued-stuck-2", "queued", 4 * _DAY),
    _Role("*processing-fresh", "processing", 23),
    _Role("*queued-fresh-3", "queued", 23.5),
    _Role("*queued-fresh-4", "queued", 6),
)


def make_api_keys(rng: random.Random) -> tuple[ApiKey, ...]:
    """Generate ten API keys: some without a quota, one with a zero quota, some with small or large ones."""
    quotas = (None, None, 0, 200 * 1024, 1024**2, 5 * 1024**2, _GIB, 10 * _GIB, 100 * _GIB, 1024 * _GIB)
    return tuple(ApiKey(hashlib.sha256(rng.randbytes(16)).hexdigest(), quota) for quota in quotas)


def make_jobs(count: int, rng: random.Random, keys: tuple[ApiKey, ...], as_of: datetime) -> tuple[Job, ...]:
    """Generate `count` rows: as much of the cast as fits, then ordinary jobs by weight."""
    roles = [*CAST[:count], *(_ordinary(rng) for _ in range(count - len(CAST)))]
    return tuple(_job(number, role, rng, keys, as_of) for number, role in enumerate(roles))


def _ordinary(rng: random.Random) -> _Role:
    status = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    if status in UNENDED:
        # A mostly healthy pipeline: most jobs in progress were updated within the last hours.
        late = rng.random() < 0.12
        return _Role("*", status, rng.uniform(25, 12 * _DAY) if late else rng.uniform(0.05, 20))
    if status == "cleaned_up":
        return _Role("*", status, rng.uniform(8 * _DAY, 120 * _DAY))
    return _Role("*", status, rng.uniform(0.5, 120 * _DAY))


def _job(number: int, role: _Role, rng: random.Random, keys: tuple[ApiKey, ...], as_of: datetime) -> Job:
    drawn = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    job_id = drawn if role.id.startswith("*") else role.id
    updated = as_of - timedelta(hours=role.hours)
    variant = rng.randrange(VARIANTS)
    # Every fifth source is unique; the others share four clips, like repeated uploads of one video.
    salt = job_id if number % 5 == 0 else ""
    made = _made(role, rng, variant, salt)
    return Job(
        id=job_id,
        api_key=keys[rng.randrange(len(keys))].key_hash,
        status=role.status,
        created_at=updated - timedelta(minutes=rng.uniform(2, 90)),
        updated_at=updated,
        completed_at=updated if role.status == "completed" else None,
        error_message=rng.choice(_ERRORS) if role.status in ("failed", "cleaned_up") else None,
        source=Content("media", "source.mp4", variant, salt),
        made=made,
        paths=_paths(role.borrows or job_id, made) if role.status == "completed" else (),
    )


def _made(role: _Role, rng: random.Random, variant: int, salt: str) -> tuple[tuple[str, Content], ...]:
    """Choose the outputs by column stem; a donor has all of them, a borrower refers to the donor's."""
    named = not role.id.startswith("*")
    ended = role.status in ("completed", "failed", "cleaned_up")
    chances = {"360p": 1.0, "720p": 0.4, "audio": 0.4, "segments": 0.15, "transcription": 0.2}
    if not ended:
        chances = {"360p": 0.4 if role.status in ("transcoding", "uploading") else 0.0}
    elif role.status != "completed":
        chances = {"360p": 0.7, "720p": 0.2, "audio": 0.2}
    if role.borrows or role.id.startswith("donor"):
        chances = {"360p": 1.0, "720p": 1.0, "audio": 1.0, "transcription": 1.0}
    elif named and ended:
        chances["360p"] = 1.0
    drawn = {stem: rng.random() < chance for stem, chance in chances.items()}
    return tuple(
        (stem, Content("media" if stem in _SHORT else stem, _file(stem), variant, salt))
        for stem, wanted in drawn.items()
        if wanted
    )


def _file(stem: str) -> str:
    return _SHORT[stem][1].rpartition("/")[2] if stem in _SHORT else stem


def _paths(owner: str, made: tuple[tuple[str, Content], ...]) -> tuple[tuple[str, str], ...]:
    """Return the path columns of a completed job: its own objects, or those of the job it repeats."""
    found: list[tuple[str, str]] = []
    for stem, _ in made:
        if stem in _SHORT:
            column, path = _SHORT[stem]
            found.append((f"{column}_path", f"processed/{owner}/{path}"))
        elif stem == "transcription":
            found += [
                (f"transcription_{kind}_path", f"processed/{owner}/transcription/transcript.{kind}")
                for kind in ("txt", "srt", "vtt", "json")
            ]
    return tuple(found)
