"""A run of cold storage on real servers: compressed, moved, measured, and every byte preserved."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import urllib.request
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from devstack.objectstore import ObjectStore
from storage import catalog
from storage.cli.installation import probe_now
from storage.cold import decompressing_reader
from storage.core.clock import utcnow
from storage.core.model import ObjectKey, Run
from storage.core.settings import Settings
from storage.engine import sweep
from storage.installation import open_installation
from tests.conftest import Place
from tests.support.command_line import Person, environment
from tests.support.remote_tier import held_by, install

RULES = "all smallest=0"
SEED = random.Random(5)
CONTENT = {
    "metadata.json": json.dumps({"duration": 2, "codecs": ["h264"] * 300}).encode(),
    "raw/video_original.mp4": SEED.randbytes(300_000),
    "360p/segments/seg_000.ts": SEED.randbytes(90_000),
    "transcription/transcript.json": json.dumps(
        [{"text": f"word {SEED.random()}"} for _ in range(9_000)]
    ).encode(),
    "transcription/transcript.vtt": b"WEBVTT\n\n" + b"00:01.000 --> 00:02.000\nHello there.\n\n" * 400,
    "tiny.txt": b"x",
    "empty.txt": b"",
}
MEDIA = ("raw/video_original.mp4", "360p/segments/seg_000.ts")
COMPRESSED = ("metadata.json", "transcription/transcript.json", "transcription/transcript.vtt")


@dataclass(frozen=True)
class Night:
    """An environment with a cold tier for its objects. ``second`` is the remote store, on MinIO."""

    place: Place
    second: ObjectStore | None

    @property
    def settings(self) -> Settings:
        return self.place.settings

    def run(self, **params: Any) -> Run:
        with open_installation(self.settings) as stores:
            return sweep.run(catalog.get("cold_storage"), stores, utcnow(), params)

    def listed(self) -> dict[str, tuple[int, str]]:
        """Return stored size and storage class of each key, from a listing that does not use our code."""
        pages = self.place.boto.get_paginator("list_objects_v2").paginate(Bucket=self.settings.bucket)
        found = (one for page in pages for one in page.get("Contents", ()))
        return {one["Key"]: (one["Size"], one.get("StorageClass", "STANDARD")) for one in found}

    def originals(self) -> dict[str, str]:
        """Return the SHA-256 of what the read API returns for each key."""
        with open_installation(self.settings) as stores:
            return {
                key: hashlib.sha256(
                    b"".join(decompressing_reader.read(stores.replacer, ObjectKey(key)))
                ).hexdigest()
                for key in self.listed()
                if key.startswith("processed/")
            }


@pytest.fixture
def night(place: Place, request: pytest.FixtureRequest, add_job: Any) -> Night:
    """Add two completed jobs with the same files, one of a hundred days ago and one of yesterday."""
    for job, days in (("old", 100), ("young", 1)):
        when = utcnow() - timedelta(days=days)
        add_job(job, "completed", when, completed_at=when, api_key=f"key-{job}")
        for name, data in CONTENT.items():
            place.put(f"processed/{job}/{name}", data)
    second: ObjectStore | None = None
    settings = replace(place.settings, cold_rules=RULES)
    if place.kind == "minio":
        second = request.getfixturevalue("cold_store")
        settings = replace(settings, tiers="cold=COLD")
        install(place.boto, settings.bucket)
    probe_now(settings)
    return Night(replace(place, settings=settings), second)


def test_a_night_compresses_moves_and_loses_nothing(night: Night) -> None:
    before, originals = night.listed(), night.originals()
    done = night.run()
    after = night.listed()
    assert (done.state, done.failed.count) == ("verified", 0)
    changed = {key.partition("/")[2] for key in before if before[key][0] != after[key][0]}
    assert changed == {f"old/{name}" for name in COMPRESSED}
    moved = {key.partition("/")[2] for key, (_, kind) in after.items() if kind != "STANDARD"}
    assert moved == {f"old/{name}" for name in CONTENT}
    assert night.originals() == originals
    if night.second:
        assert held_by(night.second) >= len(CONTENT)


def test_the_ledger_is_the_difference_of_two_listings(night: Night) -> None:
    before = night.listed()
    night.run()
    after = night.listed()
    with open_installation(night.settings) as stores:
        lines = {line.group: line for line in stores.cold.savings("class")}
        (by_key,) = [line for line in stores.cold.savings("api_key") if line.objects]
    difference = sum(before[key][0] - after[key][0] for key in before)
    assert sum(line.saved for line in lines.values()) == difference > 0
    assert (by_key.group, by_key.saved) == ("key-old", difference)
    assert {group: line.skipped for group, line in lines.items() if line.skipped} == {
        "original": 1,
        "segments": 1,
    }


def test_the_second_night_has_nothing_to_do(night: Night) -> None:
    """A plan after an object was rewritten considers that object again, and no other."""
    night.run()
    again = night.run()
    assert (again.planned.count, again.state) == (0, "verified")
    key = "processed/old/raw/video_original.mp4"
    night.place.put(key, SEED.randbytes(310_000))
    with open_installation(night.settings) as stores:
        planned = sweep.plan(catalog.get("cold_storage"), stores, utcnow())
    assert planned.planned.count == 2, "compress (to find that it does not shrink) and move"


def test_only_what_is_asked_for(night: Night) -> None:
    before = night.listed()
    night.run(classes="metadata")
    changed = {key for key, seen in night.listed().items() if seen != before[key]}
    assert changed == {"processed/old/metadata.json"}
    night.run(days_old=101)
    assert {key for key, seen in night.listed().items() if seen != before[key]} == changed


def test_a_store_without_tiers_says_so_and_still_compresses(night: Night) -> None:
    if night.second is None:
        pytest.skip("ministack has storage classes of its own")
    night.place.boto.delete_bucket_lifecycle(Bucket=night.settings.bucket)
    done = night.run()
    assert (done.done.count, done.skipped.count) == (3, 2), "two are found not to shrink"
    assert {kind for _, kind in night.listed().values()} == {"STANDARD"}
    with open_installation(night.settings) as stores:
        reply = sweep.explain([catalog.get("cold_storage")], stores, utcnow(), "old")
        reasons = {decided.reason for _, decided in reply}
    assert any("no rule of the bucket moves objects tagged tier=cold there" in why for why in reasons)


def test_by_hand_as_a_person(night: Night, person: Person) -> None:
    """The commands plan, run, savings, presign and explain, as typed by an operator."""
    person.sits_at(environment(night.settings))
    planned = person("plan", "cold_storage", "--param", "classes=transcripts,metadata", "--json").document
    assert planned["run"]["planned"]["count"] == 6
    refused = person("plan", "cold_storage", "--param", "classes=videos")
    assert refused.code == 2
    assert "'videos' is none of original" in refused.err
    assert person("plan", "cold_storage", "--param", "budget_minutes=0").code == 2
    assert person("run", "cold_storage").code == 0
    reply = person("savings", "--by", "job", "--json").document
    assert [line["group"] for line in reply["lines"]] == ["old"]
    assert reply["lines"][0]["objects"] == 3
    key = "processed/old/transcription/transcript.vtt"
    url = person("presign", key, "--json").document["url"]
    with urllib.request.urlopen(url) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert gzip.decompress(answer.read()) == CONTENT["transcription/transcript.vtt"]
    reply = person("explain", key)
    assert "used 0 min ago" in " ".join(reply.out.split()), "a link that was given out is a read"
    assert person("presign", "no/such/key").code == 1
