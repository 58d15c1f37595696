"""Wrong input and settings: a clear message with the next step, the right exit code, nothing deleted."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from storage import catalog, connect
from storage.core.clock import utcnow
from storage.core.errors import BucketMissing
from storage.core.model import BucketName, Prefix
from storage.stores.s3.bucket import S3Bucket
from tests.conftest import Place, replace
from tests.support.command_line import Answer, Person, environment, everything, keys, rows, run_ahead

MESSAGES = {
    "address": "Check the address",
    "credentials": "Check the access key or password",
}


@pytest.fixture
def precious(place: Place, add_job: Callable[..., None]) -> Place:
    """Fill the test environment so that every job would find something to do."""
    add_job("old", "failed", utcnow() - timedelta(days=10))
    add_job("stuck", "processing", utcnow() - timedelta(days=10))
    for key in ("processed/old/360p.mp4", "temp/gone/a.ts", "uploads/gone/a.ts"):
        place.put(key)
    Path(place.settings.temp_dir, "a.ts").write_bytes(b"precious")
    return place


@pytest.fixture
def before(precious: Place) -> Iterator[None]:
    """Check after the test that nothing is deleted, changed or condemned."""
    seen = everything(precious)
    yield
    assert everything(precious) == seen
    assert rows(precious, "SELECT count(*) FROM maintenance.tombstones") == [(0,)]


def try_jobs(person: Person, place: Place, **wrong: str) -> Iterator[tuple[str, Answer]]:
    """Plan and run three jobs with a single wrong setting; yield each job's name and its answer."""
    person.sits_at(environment(place.settings, **wrong))
    for verb in ("plan", "run"):
        for job in ("cleanup_temp_objects", "cleanup_failed_jobs", "cleanup_stuck_jobs"):
            yield job, person(verb, job)


def hears(answer: Answer, code: int, *words: str) -> None:
    said = " ".join(answer.err.split())
    assert answer.code == code, said
    assert "Traceback" not in said
    for word in words:
        assert word in said


@pytest.mark.parametrize("place", ["minio"], indirect=True)
@pytest.mark.usefixtures("before")
class TestOutOfReach:
    """The store and the database in turn: unreachable, or refusing the credentials."""

    def test_store_away(self, person: Person, precious: Place) -> None:
        for _, answer in try_jobs(person, precious, endpoint_url="http://127.0.0.1:9"):
            hears(answer, 6, "object store does not answer", MESSAGES["address"])

    def test_wrong_secret(self, person: Person, precious: Place) -> None:
        for _, answer in try_jobs(person, precious, secret_key="wrong-secret"):
            hears(answer, 6, "refused the credentials", MESSAGES["credentials"])
            assert "wrong-secret" not in answer.err

    def test_wrong_access_key(self, person: Person, precious: Place) -> None:
        for _, answer in try_jobs(person, precious, access_key="nobody"):
            hears(answer, 6, "refused the credentials", MESSAGES["credentials"])

    def test_database_away(self, person: Person, precious: Place) -> None:
        for _, answer in try_jobs(person, precious, database_url="postgresql://u:pw@127.0.0.1:9/db"):
            hears(answer, 6, "database does not answer", MESSAGES["address"])

    def test_wrong_database_password(self, person: Person, precious: Place) -> None:
        url = make_url(precious.settings.database_url).set(password="wrong-word")
        for _, answer in try_jobs(person, precious, database_url=url.render_as_string(hide_password=False)):
            hears(answer, 6, "refused the credentials", MESSAGES["credentials"])
            assert "wrong-word" not in answer.err

    def test_explain_says_that_it_cannot_look(self, person: Person, precious: Place) -> None:
        """An object that cannot be checked is not reported as kept."""
        person.sits_at(environment(precious.settings, endpoint_url="http://127.0.0.1:9"))
        answer = person("explain", "processed/old/360p.mp4")
        assert "does not answer" in " ".join((answer.out + answer.err).split())
        assert answer.code == 6


@pytest.mark.usefixtures("before")
def test_missing_bucket(person: Person, precious: Place) -> None:
    for _, answer in try_jobs(person, precious, bucket="no-such-bucket"):
        hears(answer, 6, "There is no bucket 'no-such-bucket'", "Create it, or set STORAGE_BUCKET")


@pytest.mark.usefixtures("before")
def test_missing_maintenance_bucket(person: Person, precious: Place) -> None:
    """No run begins without a bucket for its plan."""
    for _, answer in try_jobs(person, precious, maintenance_bucket="no-such-bucket"):
        hears(answer, 6, "There is no bucket 'no-such-bucket'", "STORAGE_MAINTENANCE_BUCKET")


@pytest.mark.parametrize("place", ["ministack"], indirect=True)
@pytest.mark.parametrize(
    ("folder", "says"),
    [
        ("/no/such/folder", "Create it, or set STORAGE_TEMP_DIR"),
        ("/", "must not be swept. Set STORAGE_TEMP_DIR"),
        ("//", "must not be swept. Set STORAGE_TEMP_DIR"),
        ("/usr/..", "must not be swept. Set STORAGE_TEMP_DIR"),
        ("temp", "must not be swept. Set STORAGE_TEMP_DIR"),
        ("", "must not be swept. Set STORAGE_TEMP_DIR"),
    ],
)
@pytest.mark.usefixtures("before")
def test_unfit_temp_folder(person: Person, precious: Place, folder: str, says: str) -> None:
    """The folder is absent, the root, relative, or empty (then the default, which does not exist here)."""
    person.sits_at(environment(precious.settings, temp_dir=folder))
    answer = person("run", "cleanup_temp_files")
    assert answer.code == 3
    assert "temp-folder" in answer.err
    assert says in " ".join(answer.err.split()) or (not folder and "/data/temp" in answer.err)


@pytest.mark.usefixtures("before")
@pytest.mark.parametrize("place", ["ministack"], indirect=True)
def test_a_folder_without_the_marker(storage: Person, precious: Place) -> None:
    """A folder that is not declared for sweeping is not swept; the message says how to declare it."""
    Path(precious.settings.temp_dir, ".transcode-flow-temp").unlink()
    try:
        hears(storage("run", "cleanup_temp_files"), 3, "no marker file", "touch ")
    finally:
        Path(precious.settings.temp_dir, ".transcode-flow-temp").touch()


@pytest.mark.parametrize("place", ["ministack"], indirect=True)
@pytest.mark.usefixtures("before")
@pytest.mark.parametrize(
    "argv",
    [
        ("cleanup_failed_jobs", "--param", "days_old=-1"),
        ("cleanup_failed_jobs", "--param", "days_old=0"),
        ("cleanup_failed_jobs", "--param", "days_old=nan"),
        ("cleanup_failed_jobs", "--param", "days_old=inf"),
        ("cleanup_temp_objects", "--param", "hours_old=-24"),
        ("abort_uploads", "--param", "hours_old=1"),
        ("cleanup_stuck_jobs", "--param", "max_objects=0"),
        ("cleanup_failed_jobs", "--as-of", "0001-01-01T00:00:00Z"),
    ],
)
def test_numbers_out_of_bounds(storage: Person, argv: tuple[str, ...]) -> None:
    """A number out of bounds is refused, and the message gives the bounds."""
    for verb in ("plan", "run"):
        hears(storage(verb, *argv), 2, "from" if "--param" in argv else "--as-of")


@pytest.mark.parametrize("place", ["ministack"], indirect=True)
@pytest.mark.usefixtures("before")
def test_as_of_in_the_future(storage: Person) -> None:
    """If the future were taken as now, everything would be old."""
    tomorrow = (utcnow() + timedelta(days=1)).isoformat()
    for job in catalog.JOBS:
        hears(storage("run", job, "--as-of", tomorrow), 2, "lies in the future", "now or before")


@pytest.mark.parametrize("place", ["ministack"], indirect=True)
def test_a_table_without_the_columns(storage: Person, precious: Place) -> None:
    """The message names the table, the column and the file to edit."""
    rows(precious, "DROP VIEW maintenance.jobs")
    rows(precious, "ALTER TABLE jobs RENAME COLUMN updated_at TO changed")
    hears(
        storage("migrate"),
        2,
        "table jobs has no column updated_at",
        "Edit sql/mapping.sql",
        "storage migrate",
    )
    hears(storage("run", "cleanup_stuck_jobs"), 2, "Run `storage migrate`")
    assert {"temp/gone/a.ts", "uploads/gone/a.ts", "processed/old/360p.mp4"} <= keys(precious)


@pytest.mark.usefixtures("before")
def test_an_edited_plan(storage: Person, precious: Place) -> None:
    """A plan with as much as one byte edited is not applied, approved or not."""
    run = run_ahead(precious, "cleanup_temp_objects", only_plan=True)
    at = {"Bucket": precious.settings.maintenance_bucket, "Key": run.plan_uri.split("/", 3)[3]}
    made = gzip.decompress(precious.boto.get_object(**at)["Body"].read())
    assert b"temp/gone/a.ts" in made
    precious.boto.put_object(**at, Body=gzip.compress(made.replace(b"temp/gone/a.ts", b"uploads/gone/a.ts")))
    for command in ((), ("--approve", run.plan_sha256)):
        hears(
            storage("apply", run.id, *command),
            3,
            "not the one that was made",
            "Nothing was done",
            "Plan again",
        )
    hears(storage("runs", run.id), 3, "Plan again")
    precious.boto.delete_object(**at)
    hears(storage("apply", run.id), 1, "plans/cleanup_temp_objects")


@pytest.mark.usefixtures("before")
def test_another_world(person: Person, precious: Place) -> None:
    """Another bucket or a copy of the database is not the environment that was set up; --adopt accepts it."""
    other = replace(precious.settings, bucket=f"other-{precious.settings.bucket}")
    precious.boto.create_bucket(Bucket=other.bucket)
    precious.boto.put_object(Bucket=other.bucket, Key="temp/gone/a.ts", Body=b"x")
    person.sits_at(environment(other))
    hears(person("run", "cleanup_temp_objects"), 3, "not the bucket and database of before", "--adopt")
    assert person("migrate").code == 0
    assert person("run", "cleanup_temp_objects").code == 3, "only --adopt accepts it"
    adopted = person("migrate", "--adopt", "--json")
    assert any("identity" in one for one in adopted.document["done"])
    assert person("run", "cleanup_temp_objects").code == 0
    person.sits_at(environment(precious.settings))
    assert person("run", "cleanup_temp_objects").code == 3


@pytest.mark.parametrize("place", ["ministack"], indirect=True)
def test_before_any_migration(person: Person, precious: Place) -> None:
    """Without the schema, the message says which command to run."""
    rows(precious, "DROP SCHEMA maintenance CASCADE")
    person.sits_at(environment(precious.settings))
    for command in (("status",), ("run", "reap"), ("explain", "old"), ("pause",)):
        hears(person(*command), 2, "no maintenance schema", "Run `storage migrate`")


def test_a_listing_of_no_bucket(place: Place) -> None:
    """A missing bucket is never mistaken for an empty one."""
    gone = S3Bucket(connect.endpoint(place.settings), BucketName("no-such-bucket"))
    with pytest.raises(BucketMissing):
        list(gone.scan(Prefix("temp/")))
