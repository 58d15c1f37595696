"""``StorageCleanup`` with an application's session and client: the documents' methods and result keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from minio import Minio
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from storage.cleanup import StorageCleanup
from storage.core.clock import utcnow
from storage.core.errors import NotApproved, Refused, RowsHidden, UsageError
from tests.conftest import Place, replace
from tests.support.command_line import everything, keys, rows, run_ahead


@pytest.fixture
def own_engine(database_url: str) -> Iterator[Engine]:
    """Create an engine as an application does: without our options, in another time zone."""
    engine = create_engine(database_url, connect_args={"options": "-c timezone=Asia/Kolkata"})
    yield engine
    engine.dispose()


@pytest.fixture
def cleanup(place: Place, own_engine: Engine) -> Iterator[StorageCleanup]:
    settings = place.settings
    client = Minio(
        urlsplit(settings.endpoint_url).netloc,
        access_key=settings.access_key,
        secret_key=settings.secret_key,
        secure=False,
    )
    with Session(own_engine) as session:
        yield StorageCleanup(
            session,
            client,
            bucket=settings.bucket,
            maintenance_bucket=settings.maintenance_bucket,
            temp_dir=settings.temp_dir,
        )


def statuses(place: Place) -> dict[str, str]:
    return dict(rows(place, "SELECT id, status FROM jobs"))  # type: ignore[arg-type]


def test_failed_jobs(cleanup: StorageCleanup, place: Place, add_job: Callable[..., None]) -> None:
    """Jobs are condemned first; after the notice their files are deleted and the jobs count as deleted."""
    add_job("old", "failed", utcnow() - timedelta(days=10))
    add_job("young", "failed", utcnow() - timedelta(days=1))
    for key in ("processed/old/a.mp4", "processed/young/a.mp4"):
        place.put(key, b"1234")
    first = cleanup.cleanup_failed_jobs(days_old=7)
    assert (first["deleted_jobs"], first["condemned_jobs"], first["state"]) == (0, 1, "verified")
    assert "processed/old/a.mp4" in keys(place)
    rows(place, "UPDATE maintenance.tombstones SET delete_after = now() - interval '1 minute'")
    second = cleanup.cleanup_failed_jobs(days_old=7)
    assert (second["deleted_jobs"], second["condemned_jobs"]) == (1, 0)
    assert keys(place) == {"processed/young/a.mp4", ".maintenance/bucket-id"}
    assert statuses(place) == {"old": "cleaned_up", "young": "failed"}
    assert json.loads(json.dumps(second)) == second


def test_incomplete_jobs(cleanup: StorageCleanup, place: Place, add_job: Callable[..., None]) -> None:
    """Jobs without progress become failed, with the documents' message."""
    add_job("stuck", "processing", utcnow() - timedelta(hours=25))
    add_job("runs", "processing", utcnow() - timedelta(hours=23))
    result = cleanup.cleanup_incomplete_jobs(hours_old=24)
    assert result["marked_as_failed"] == 1
    assert statuses(place) == {"stuck": "failed", "runs": "processing"}
    message = rows(place, "SELECT error_message FROM jobs WHERE id = 'stuck'")
    assert message == [("Job timeout - stuck in processing",)]
    assert json.loads(json.dumps(result)) == result


def test_temp_files(cleanup: StorageCleanup, place: Place) -> None:
    """New files stay; the documents' keys are present. No program can set a file's change time back."""
    file = Path(place.settings.temp_dir, "job", "a.ts")
    file.parent.mkdir()
    file.write_bytes(b"new")
    result = cleanup.cleanup_temp_files(hours_old=24)
    assert {"deleted_folders", "freed_bytes", "freed_gb"} <= result.keys()
    assert (result["deleted_folders"], result["freed_bytes"], result["freed_gb"]) == (0, 0, 0.0)
    assert file.exists()
    assert json.loads(json.dumps(result)) == result
    assert run_ahead(place, "cleanup_temp_files").done.count == 2
    assert not file.parent.exists()


def test_the_session_stays_the_callers(
    cleanup: StorageCleanup, place: Place, add_job: Callable[..., None]
) -> None:
    """An open transaction of the application is neither committed nor ended."""
    add_job("stuck", "processing", utcnow() - timedelta(days=2))
    transaction = cleanup.db.begin()
    cleanup.cleanup_incomplete_jobs()
    assert transaction.is_active
    assert statuses(place) == {"stuck": "failed"}


def test_a_tripped_limit_does_nothing(
    cleanup: StorageCleanup, place: Place, add_job: Callable[..., None]
) -> None:
    """More than a fifth of all jobs at once waits for approval."""
    for number in range(60):
        add_job(f"job-{number}", "failed", utcnow() - timedelta(days=10))
    before = everything(place)
    with pytest.raises(NotApproved, match="60 of 60"):
        cleanup.cleanup_failed_jobs()
    assert everything(place) == before


@pytest.mark.parametrize("days", [-1, 0, True, "7"])
def test_unfit_numbers(cleanup: StorageCleanup, days: object) -> None:
    with pytest.raises(UsageError, match="days_old"):
        cleanup.cleanup_failed_jobs(days_old=days)  # type: ignore[arg-type]


def test_another_bucket_is_refused(cleanup: StorageCleanup, place: Place) -> None:
    """The class is subject to the same guards as every other entry point."""
    other = replace(place.settings, bucket=place.settings.backup_bucket, backup_bucket="some-other")
    wrong = StorageCleanup(
        cleanup.db, cleanup.minio, bucket=other.bucket, maintenance_bucket=other.maintenance_bucket
    )
    with pytest.raises(Refused, match="identity"):
        wrong.cleanup_failed_jobs()


@pytest.mark.parametrize("place", ["ministack"], indirect=True)
def test_rows_that_a_policy_hides_refuse(cleanup: StorageCleanup, place: Place, own_engine: Engine) -> None:
    """The application's engine has no options of ours; its own transactions stay under the policy."""
    rows(place, "ALTER TABLE jobs ENABLE ROW LEVEL SECURITY")
    rows(place, "ALTER TABLE jobs FORCE ROW LEVEL SECURITY")
    with pytest.raises(RowsHidden, match="jobs"):
        cleanup.cleanup_failed_jobs(days_old=7)
    with own_engine.connect() as session:
        assert session.exec_driver_sql("SELECT count(*) FROM jobs").scalar_one() == 0
