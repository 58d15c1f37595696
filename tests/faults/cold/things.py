"""The objects of the cold-data fault campaign, as their owner writes them."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from storage.core.model import ObjectKey

JOB = "old"
CHANCE = random.Random(5)


@dataclass(frozen=True)
class Thing:
    """One object as its owner writes it; ``carried`` are boto's arguments for headers, metadata and tags."""

    key: ObjectKey
    data: bytes
    carried: Mapping[str, Any] = field(default_factory=dict)


def _thing(name: str, data: bytes, **carried: Any) -> Thing:
    return Thing(ObjectKey(f"processed/{JOB}/{name}"), data, carried)


TEXT = _thing("transcription/transcript.json", json.dumps([f"word {n}" for n in range(900)]).encode())
DRESSED = _thing(
    "transcription/transcript.vtt", b"WEBVTT\n\n" + b"00:01.000 --> 00:02.000\nHello there.\n\n" * 60,
    ContentType="text/vtt; charset=utf-8", CacheControl="max-age=60", ContentDisposition="inline",
    ContentLanguage="en", Metadata={"made-by": "transcoder", "job": JOB}, Tagging="team=video&kind=a%20b",
)  # fmt: skip
FILM = _thing("360p/output.mp4", CHANCE.randbytes(6_000), ContentType="video/mp4")
TINY = _thing("tiny.txt", b"x")
#: Its compressed form is larger than the smallest part that S3 accepts.
LARGE = _thing("transcription/large.txt", base64.b64encode(CHANCE.randbytes(5_600_000)), Tagging="team=video")
