"""The generated sample: equal for equal arguments, with every case that the cleanup must get right."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from devstack import witness
from devstack.errors import DevstackError
from devstack.sample import back_date_ministack, generate
from devstack.sample_objects import HOSTILE, SURVIVORS
from devstack.sample_temp import outside_of, write_temp
from devstack.sample_values import MARKER, STATUSES, UNENDED, Sample

AS_OF = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def sample() -> Sample:
    return generate(600, 7, AS_OF)


def test_equal_arguments_give_an_equal_sample(sample: Sample) -> None:
    assert generate(600, 7, AS_OF) == sample
    assert generate(600, 8, AS_OF) != sample
    assert generate(600, 7, AS_OF + DAY) != sample


@pytest.mark.parametrize("jobs", [10, 60, 600, 3000])
def test_every_size_has_all_statuses_and_distinct_names(jobs: int) -> None:
    made = generate(jobs, 7, AS_OF)
    assert {job.status for job in made.jobs} == set(STATUSES)
    for names in ([job.id for job in made.jobs], [item.key for item in made.objects]):
        assert len(set(names)) == len(names)
    assert len(made.jobs) == jobs
    assert len({entry.path for entry in made.temp}) == len(made.temp)


def test_too_few_jobs_are_refused() -> None:
    with pytest.raises(DevstackError, match="at least 10"):
        generate(9, 7, AS_OF)


def test_shares_and_size(sample: Sample) -> None:
    counts = Counter(job.status for job in sample.jobs)
    assert 0.65 < counts["completed"] / 600 < 0.75
    assert 0.09 < counts["failed"] / 600 < 0.15
    assert 2000 < len(sample.objects) < 3000
    assert len(sample.api_keys) == 10


def test_each_unended_status_has_stuck_and_fresh_jobs(sample: Sample) -> None:
    for status in UNENDED:
        stuck = [AS_OF - job.updated_at > DAY for job in sample.jobs if job.status == status]
        assert sum(stuck) >= 2
        assert stuck.count(False) > sum(stuck), status


def test_the_queue_is_mostly_healthy(sample: Sample) -> None:
    late = [AS_OF - job.updated_at > DAY for job in sample.jobs if job.status == "queued"]
    assert sum(late) / len(late) < 0.3


def test_times_are_in_order(sample: Sample) -> None:
    for job in sample.jobs:
        assert job.created_at < job.updated_at <= AS_OF
        assert (job.completed_at is not None) == (job.status == "completed")
    assert all(item.modified <= AS_OF for item in sample.objects)


def test_failed_ages_surround_the_seven_days(sample: Sample) -> None:
    hours = {(AS_OF - job.updated_at) / timedelta(hours=1) for job in sample.jobs if job.status == "failed"}
    assert {1, 48, 120, 144, 167, 168, 169, 192, 720} <= hours


def test_near_misses_are_there(sample: Sample) -> None:
    keys = {item.key for item in sample.objects}
    ids = {job.id: job.status for job in sample.jobs}
    assert {key for key, _, _ in SURVIVORS} | set(HOSTILE) <= keys
    assert (ids["job-1"], ids["job-10"]) == ("failed", "completed")
    assert (ids["job_a_1"], ids["jobXaZ1"]) == ("failed", "completed")
    assert (ids["job%1"], ids["jobber1"]) == ("failed", "completed")
    assert {"processed/job-1/360p/video_360p.mp4", "processed/job-10/360p/video_360p.mp4"} <= keys


def test_completed_paths_name_objects_that_exist(sample: Sample) -> None:
    keys = {item.key for item in sample.objects}
    failed = {job.id for job in sample.jobs if job.status == "failed"}
    paths = [(job.id, path) for job in sample.jobs for _, path in job.paths]
    assert {path for _, path in paths} <= keys
    assert sum(path.split("/")[1] == job for job, path in paths) > 100
    borrowed = {job for job, path in paths if path.split("/")[1] in failed}
    assert borrowed == {"borrower-1", "borrower-2", "borrower-3"}


def test_groups_of_parts_are_old_young_and_mixed(sample: Sample) -> None:
    parts = [item for item in sample.objects if ".mp4.part" in item.key and item.key.startswith("uploads/")]
    groups = itertools.groupby(parts, lambda item: item.key.rpartition(".part")[0])
    ages = [tuple(AS_OF - item.modified > DAY for item in group) for _, group in groups]
    assert sorted(ages) == [(False,) * 3, (True, True, False), (True,) * 3]


def test_temp_folder_is_made_as_described(sample: Sample, tmp_path: Path) -> None:
    temp = tmp_path / "temp"
    assert write_temp(sample.temp, temp) == len(sample.temp)
    found = witness.read_files(temp)
    assert {os.fsencode(name) for name in found} == {entry.path for entry in sample.temp}
    assert found[MARKER.decode()].kind == "file"
    assert {state.kind for state in found.values()} == {"file", "dir", "symlink", "fifo"}
    old = next(entry for entry in sample.temp if entry.path == b"loose-old.tmp")
    assert (temp / "loose-old.tmp").stat().st_mtime == old.modified.timestamp()
    assert (temp / "linked/first.bin").samefile(temp / "linked/second.bin")
    assert (temp / "link-to-outside-file").resolve() == (outside_of(temp) / "precious.txt").resolve()


def test_back_dating_finds_keys_by_the_sidecar_and_leaves_others(tmp_path: Path) -> None:
    folder = tmp_path / "account" / "videos" / ".ministack-keys"
    folder.mkdir(parents=True)
    ours, other = folder / "temp%2Fa%2Etmp.meta.json", folder / "b.meta.json"
    ours.write_text('{"key": "temp/a.tmp", "last_modified": "2026-03-01T00:00:00.000Z", "size": 5}')
    other.write_text('{"key": "b", "last_modified": "2026-03-01T00:00:00.000Z"}')
    untouched = other.read_bytes()
    assert back_date_ministack(tmp_path, {"temp/a.tmp": AS_OF - DAY}, "videos") == 1
    assert '"last_modified": "2026-02-28T02:00:00.000Z"' in ours.read_text()
    assert '"size": 5' in ours.read_text()
    assert other.read_bytes() == untouched
    with pytest.raises(DevstackError, match="S3_DATA_DIR"):
        back_date_ministack(tmp_path, {"absent": AS_OF}, "videos")


def _record(folder: Path) -> witness.Snapshot:
    state = witness.ObjectState(3, "aa", "e", "2026-03-01T00:00:00+00:00")
    return witness.Snapshot(
        objects={"processed/job-1/a": state, "processed/job-10/a": state},
        files=witness.read_files(folder),
        outside={},
        rows={"jobs": {"job-1": ("job-1", "failed", None)}, "api_keys": {"k": ("k",)}},
        columns={"jobs": ("id", "status", "completed_at"), "api_keys": ("key_hash",)},
    )


def test_witness_finds_planted_differences_and_survives_json(tmp_path: Path) -> None:
    folder = tmp_path / "temp"
    (folder / ".condemned").mkdir(parents=True)
    odd = folder / os.fsdecode(b"odd-\xff\n")
    odd.write_bytes(b"abc")
    before = _record(folder)
    before.save(tmp_path / "before.json")
    assert witness.read_snapshot(tmp_path / "before.json") == before
    assert not witness.compare(before, _record(folder))

    odd.rename(folder / ".condemned" / "taken")
    same_size = dataclasses.replace(before.objects["processed/job-10/a"], sha256="bb")
    after = dataclasses.replace(
        _record(folder),
        objects={"processed/job-10/a": same_size, "new": same_size},
        rows={"jobs": {"job-1": ("job-1", "cleaned_up", None)}, "api_keys": {}},
    )
    changes = witness.compare(before, after)
    assert changes.objects_removed == ("processed/job-1/a",)
    assert changes.objects_added == ("new",)
    assert changes.objects_changed == ("processed/job-10/a",)
    assert changes.files_removed == (os.fsdecode(b"odd-\xff\n"),)
    assert changes.files_added == (".condemned/taken",)
    assert changes.rows_changed == (("jobs:job-1", ("status",)),)
    assert changes.rows_removed == ("api_keys:k",)


def test_the_witness_shares_nothing_with_the_platform() -> None:
    source = Path(witness.__file__).read_text()
    assert "import storage" not in source
    assert "from storage" not in source
