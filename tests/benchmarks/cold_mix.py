"""Content of the objects to compress: 70 % media and 30 % text by bytes, always the same.

Media are headers and frames in their formats, around incompressible bytes. They are short, of 200 KiB to 1.5
MiB: for films of an hour the cost of three samples would be negligible. Texts are playlists, metadata and
transcripts of an hour, in two languages and four formats, with word frequencies as in speech. In addition to
this mix there are long texts: transcripts with the time of every word, of two hours and of a day.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from struct import pack
from typing import Literal

from devstack.sample_content import written
from tests.benchmarks.backup_rows import WORDS

JOBS = 60
FORMATS = ("json", "srt", "vtt", "txt")
RENDITIONS = ("360p", "720p", "1080p")
KIB = 1 << 10
WORDS_KEYS, DAYS_KEYS = "transcription/words-", "transcription/day-"
TWO_HOURS, A_DAY = (14_000, 24_000), (168_000, 288_000)  # words
FILES_OF_WORDS, JOBS_WITH_A_DAY = 4, 12
WORDS_A_SENTENCE = (4, 18)
_VOCABULARY = WORDS.split()
_FREQUENCY = [((n + 1) / len(_VOCABULARY)) ** 0.5 for n in range(len(_VOCABULARY))]  # cumulative


Group = Literal["mix", "words", "days"]


@dataclass(frozen=True)
class Thing:
    """One object; ``sha256`` is of its bytes."""

    key: str
    size: int
    sha256: str
    text: bool

    @property
    def group(self) -> Group:
        """The comparison that the object belongs to."""
        if WORDS_KEYS in self.key:
            return "words"
        return "days" if DAYS_KEYS in self.key else "mix"


def job_ids() -> list[str]:
    """Return the ids of the jobs that own the objects."""
    return [f"bench-{number:04}" for number in range(JOBS)]


def contents(job: str) -> Iterator[tuple[str, bytes]]:
    """Yield key and bytes of each object of a job, the long texts last."""
    chance, home = random.Random(job), f"processed/{job}/"
    for name, data in (*_media(chance), *_texts(chance, job)):
        yield home + name, data
    for number in range(FILES_OF_WORDS):
        yield f"{home}{WORDS_KEYS}{number}.json", _every_word(chance, *TWO_HOURS)
    if job in job_ids()[:JOBS_WITH_A_DAY]:
        yield f"{home}{DAYS_KEYS}0.json", _every_word(chance, *A_DAY)


def thing(key: str, data: bytes) -> Thing:
    """Return an object's size, hash and kind."""
    text = not key.endswith((".mp4", ".mp3", ".ts"))
    return Thing(key, len(data), hashlib.sha256(data).hexdigest(), text)


def _media(chance: random.Random) -> Iterator[tuple[str, bytes]]:
    for name, least, most in (
        ("raw/source.mp4", 900, 1500),
        ("720p/video_720p.mp4", 450, 750),
        ("360p/video_360p.mp4", 250, 350),
        ("audio/audio.mp3", 250, 350),
        *((f"segments/seg_{number:03}.ts", 200, 280) for number in range(3)),
    ):
        noise = chance.randbytes(chance.randint(least * KIB, most * KIB))
        yield name, _FRAMES[name[-3:]](noise)


def _mp4(noise: bytes) -> bytes:
    kind = b"ftypisom\0\0\2\0isomiso2avc1mp41"
    return pack(">I", 4 + len(kind)) + kind + pack(">I4s", 8 + len(noise), b"mdat") + noise


def _mp3(noise: bytes) -> bytes:
    """Wrap the bytes in frames of 128 kbit/s."""
    return b"".join(b"\xff\xfb\x90\x64" + noise[at : at + 413] for at in range(0, len(noise), 413))


def _ts(noise: bytes) -> bytes:
    """Wrap the bytes in packets of 188 bytes, each with its counter."""
    packets = enumerate(range(0, len(noise) - 183, 184))
    return b"".join(b"\x47\x01\x00" + bytes([0x10 | n & 15]) + noise[at : at + 184] for n, at in packets)


_FRAMES = {"mp4": _mp4, "mp3": _mp3, ".ts": _ts}


def _texts(chance: random.Random, job: str) -> Iterator[tuple[str, bytes]]:
    for language in ("en", "nl"):
        sentences = _sentences(chance)
        for name in (f"transcription/transcript.{language}.{kind}" for kind in FORMATS):
            yield name, written(name, sentences).encode()
    for rendition in RENDITIONS:
        yield f"segments/{rendition}.m3u8", _playlist(chance, rendition)
    yield "metadata.json", _metadata(chance, job)


def _sentences(chance: random.Random) -> list[tuple[float, float, str]]:
    """Return about an hour of speech. Some words are far more frequent than others."""
    start, found = 0.0, []
    for _ in range(chance.randint(950, 3150)):
        said = chance.choices(_VOCABULARY, cum_weights=_FREQUENCY, k=chance.randint(*WORDS_A_SENTENCE))
        end = round(start + chance.uniform(1.5, 5), 3)
        found.append((start, end, " ".join(said).capitalize() + "."))
        start = end
    return found


def _playlist(chance: random.Random, rendition: str) -> bytes:
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:7"]
    for number in range(chance.randint(200, 600)):
        lines += [f"#EXTINF:{chance.uniform(5, 7):.6f},", f"{rendition}_{number:05}.ts"]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""]).encode()


def _metadata(chance: random.Random, job: str) -> bytes:
    frames = [{"at": 10 * n, "luma": round(chance.uniform(16, 235), 2)} for n in range(60)]
    value = {"job_id": job, "codecs": {"video": "h264", "audio": "aac"}, "scenes": frames}
    return json.dumps(value, indent=2, sort_keys=True).encode()


def _every_word(chance: random.Random, fewest: int, most: int) -> bytes:
    start, found = 0.0, []
    for word in chance.choices(_VOCABULARY, cum_weights=_FREQUENCY, k=chance.randint(fewest, most)):
        end = round(start + chance.uniform(0.1, 0.6), 2)
        sure = round(chance.uniform(0.5, 1), 3)
        found.append({"word": word, "start": start, "end": end, "probability": sure})
        start = end
    return json.dumps({"language": "en", "words": found}).encode()


def text_only(things: Sequence[Thing]) -> list[Thing]:
    """Return the texts, which are the compressible objects."""
    return [one for one in things if one.text]
