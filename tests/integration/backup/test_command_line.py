"""``storage backup``, ``restore`` and ``reconcile`` on the command line, on real servers."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from devstack.postgres import Postgres
from storage.backup.context import BackupContext
from storage.backup.database import backup_database
from storage.backup.prove import prove
from tests.conftest import Place
from tests.support.command_line import Person, environment
from tests.support.plain_owner import (
    ONE_STORE,
    add_jobs,
    context_of,
    count,
    databases,
    drop,
    execute,
    kept_database,
    live,
)

pytestmark = ONE_STORE


@pytest.fixture
def context(place: Place, postgres_server: Postgres, person: Person) -> Iterator[BackupContext]:
    """Yield a context whose database belongs to a role that may create databases; ``person`` uses it."""
    with kept_database(postgres_server) as url, context_of(place, url) as made:
        person.sits_at(environment(made.settings))
        yield made


def ids(person: Person, *argv: str) -> list[tuple[str, str, str]]:
    answer = person("backup", "list", *argv, "--json")
    assert answer.code == 0, answer.err
    return [(one["id"], one["kind"], one["state"]) for one in answer.document]


def test_taken_proven_shown_and_kept(context: BackupContext, person: Person) -> None:
    """Both kinds in one command; the output agrees with the catalogue and the bucket."""
    assert person("backup", "check").code == 1, "there is none yet"
    answer = person("backup", "run", "--json")
    assert answer.code == 0, answer.err
    assert [(one["kind"], one["state"]) for one in answer.document] == [
        ("database", "proven"),
        ("metadata", "proven"),
    ]
    assert sorted(ids(person)) == sorted(ids(person, "--from-bucket"))
    assert person("backup", "check").code == 0
    id = answer.document[0]["id"]
    shown = person("backup", "show", "latest")
    assert shown.code == 0
    assert id in shown.out
    assert "public.jobs" in shown.out
    assert person("backup", "verify", "latest").out == "Every byte matches the manifest.\n"
    certificate = person("backup", "prove", id, "--json").document
    assert certificate["backup"] == id
    assert ["public.jobs", 5] in [row[:2] for row in certificate["tables"]]
    assert person("backup", "pin", id, "--reason", "before 2.0").code == 0
    assert "pinned: before 2.0" in person("backup", "list").out
    assert person("backup", "unpin", id).code == 0
    assert "pinned" not in person("backup", "list").out
    assert person("backup", "prune", "--json").document["run"]["planned"]["count"] == 0


def test_the_bucket_alone_is_enough_to_look(context: BackupContext, person: Person) -> None:
    """Without the database, list, show, roles and the drill need the store's keys and nothing else."""
    assert person("backup", "run", "database").code == 0
    names = environment(context.settings)
    person.sits_at({name: value for name, value in names.items() if name != "STORAGE_DATABASE_URL"})
    (found,) = ids(person, "--from-bucket")
    assert found[1:] == ("database", "proven")
    assert person("backup", "show", found[0]).code == 0
    assert "CREATE ROLE keeper" in person("restore", "latest", "--roles").out
    answer = person("backup", "drill", "--json").document
    assert (answer["backup"], answer["damaged"]) == (found[0], [])


def test_the_guard_is_switched_and_said(context: BackupContext, person: Person) -> None:
    assert "guard_fresh_backup" in (answer := person("status", "--json").document)
    assert answer["guard_fresh_backup"] == "on"
    assert person("plan", "cleanup_failed_jobs").code == 3
    assert person("backup", "guard", "off").code == 0
    assert person("status", "--json").document["guard_fresh_backup"] == "off"
    assert person("plan", "cleanup_failed_jobs").code == 0
    assert person("backup", "guard", "on").code == 0
    assert person("plan", "cleanup_failed_jobs").code == 3


def test_a_catalogue_is_rebuilt_from_the_bucket(context: BackupContext, person: Person) -> None:
    """Lost rows come back; proofs do not, because a certificate alone does not show a proof made here."""
    for _ in range(3):
        assert person("backup", "run", "database").code == 0
    before = ids(person)
    execute(context.settings.database_url, "DELETE FROM maintenance.backups")
    assert len(person("backup", "rebuild", "--json").document["entered"]) == 3
    assert ids(person) == before
    assert context.stores.catalogue.newest_proven("database", context.stores.clock()) is None
    assert person("backup", "prove", before[0][0]).code == 0
    assert context.stores.catalogue.newest_proven("database", context.stores.clock())


def test_a_wrong_bucket_loses_nothing(context: BackupContext, person: Person) -> None:
    """An empty bucket named by mistake is refused; if accepted, the right bucket repairs the catalogue."""
    for _ in range(3):
        assert person("backup", "run", "database").code == 0
    before = ids(person)
    person.sits_at(
        environment(context.settings, backup_bucket=context.settings.bucket, bucket="not-this-one")
    )
    refused = person("backup", "rebuild")
    assert refused.code == 3
    assert "Check STORAGE_BACKUP_BUCKET" in refused.err
    assert [one[2] for one in ids(person)] == ["proven"] * 3
    assert person("backup", "rebuild", "--accept").code == 0
    assert [one[2] for one in ids(person)] == ["failed"] * 3
    person.sits_at(environment(context.settings))
    assert person("backup", "rebuild").code == 0
    assert ids(person) == before


def test_restored_beside_and_put_back(
    context: BackupContext, person: Person, postgres_server: Postgres
) -> None:
    assert person("backup", "run", "database").code == 0
    url = context.settings.database_url
    execute(url, "DELETE FROM jobs WHERE id = 'key-a-1'")
    answer = person("restore", "latest", "--json").document
    assert answer["database"] in databases(postgres_server)
    assert (count(url), answer["rows"] >= 5) == (4, True)
    drop(postgres_server, answer["database"])
    looked = person("restore", "latest", "--job", "key-a-1")
    assert "Nothing was changed" in looked.out
    assert count(url) == 4
    (row,) = person("restore", "latest", "--job", "key-a-1", "--apply", "--json").document
    assert (row["table"], row["inserted"], count(url)) == ("public.jobs", 1, 5)


def test_swapped_reconciled_undone(context: BackupContext, person: Person) -> None:
    """A wrong confirmation changes nothing; the right one pauses everything until each job is judged."""
    assert person("backup", "run", "database").code == 0
    url, name = context.settings.database_url, live(context)
    add_jobs(url, "later", 2)
    refused = person("restore", "latest", "--live", "--confirm", "other")
    assert (refused.code, count(url)) == (2, 7)
    assert person("restore", "latest", "--live", "--confirm", name).code == 0
    assert count(url) == 5
    assert person("restore", "latest", "--live", "--confirm", name).code == 3, "one restore at a time"
    waiting = person("reconcile", "--json").document
    assert {one["owner"] for one in waiting} >= {"later-1", "later-2"}
    assert person("reconcile", "--close").code == 3
    assert "Nothing is left to judge" in person("reconcile", "--adopt", "all").out
    assert count(url) == 7, "their rows came from the kept database"
    assert person("restore", "--drop-kept").code == 3
    assert person("reconcile", "--close").code == 0
    assert person("reconcile").code == 2, "no epoch is open"
    assert person("restore", "--undo", "--confirm", name).code == 0
    assert count(url) == 7


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ((), "Name a backup"),
        (("latest", "--live", "--tables", "jobs"), "--live and --tables exclude each other"),
        (("latest", "--job", "a", "--api-key", "b"), "--api-key and --job exclude each other"),
        (("20260101T000000Z-00000000",), "There is no backup"),
        (("yesterday",), "cannot be a backup id"),
        (("99999999T999999Z-00000000",), "contains no valid time"),
        (("latest", "--into", "x"), "type its name twice"),
    ],
)
def test_nonsense_is_reported_and_changes_nothing(
    context: BackupContext, person: Person, postgres_server: Postgres, argv: tuple[str, ...], says: str
) -> None:
    if "latest" in argv:
        assert person("backup", "run", "database").code == 0
    before = databases(postgres_server)
    answer = person("restore", *argv, "--json")
    assert answer.code == 2, answer.err
    assert says in json.loads(answer.out)["message"]
    assert databases(postgres_server) == before


def test_an_exchanged_manifest_is_not_restored(context: BackupContext, person: Person, place: Place) -> None:
    """With a catalogue, a manifest that another client put into the bucket under a known id is refused."""
    assert person("backup", "run", "database").code == 0
    (mine,) = ids(person)
    execute(context.settings.database_url, "UPDATE maintenance.backups SET manifest_sha256 = 'another'")
    answer = person("restore", mine[0])
    assert answer.code == 1
    assert "not the one that was written" in answer.err


def test_what_another_client_put_into_the_bucket_does_not_exist(
    context: BackupContext, person: Person, place: Place, postgres_server: Postgres
) -> None:
    """A newer, consistent backup that the catalogue does not know: its SQL ran on the live server."""
    assert person("backup", "run", "database").code == 0
    ((known, _, _),) = ids(person)
    with kept_database(postgres_server) as url, context_of(place, url) as other:
        add_jobs(url, "forged", 2)
        foreign = prove(other, backup_database(other).id).id
    person.sits_at(environment(context.settings))
    assert [id for id, _, _ in ids(person, "--from-bucket")] == [foreign, known]
    made = person("restore", "latest", "--json")
    assert (made.code, made.document["rows"]) == (0, context.stores.catalogue.get(known).items)  # type: ignore[union-attr]
    drop(postgres_server, made.document["database"])
    for argv in (("restore", foreign), ("restore", foreign, "--roles"), ("backup", "prove", foreign)):
        answer = person(*argv)
        assert answer.code == 2, argv
        assert f"There is no backup '{foreign}'" in " ".join(answer.err.split())
    assert [id for id, _, _ in ids(person)] == [known]
    answer = person("restore", foreign, "--live", "--confirm", live(context), "--from-bucket")
    assert (answer.code, "leave out --from-bucket" in answer.err) == (2, True)
    made = person("restore", foreign, "--from-bucket", "--json")
    assert made.code == 0, made.err
    drop(postgres_server, made.document["database"])


def test_quarantine(context: BackupContext, person: Person) -> None:
    """A backup dated ahead does not hide the fresh one; in quarantine its files stay."""
    assert person("backup", "run", "--json").code == 0
    ((fresh, _, _),) = (one for one in ids(person) if one[1] == "database")
    taken = backup_database(context)
    execute(context.settings.database_url, AHEAD % taken.id)
    assert context.stores.proven.newest(context.stores.clock()) is not None
    answer = person("backup", "check")
    assert (answer.code, f"`storage backup quarantine {taken.id}`" in " ".join(answer.err.split())) == (
        1,
        True,
    )
    assert person("backup", "prune").code == 3
    assert person("backup", "show", "latest").code == 0
    assert person("backup", "quarantine", taken.id, "--reason", "clock of 2031").code == 0
    assert person("backup", "check").code == 0
    assert person("backup", "prune").code == 0
    row = context.stores.catalogue.get(taken.id)
    assert row and (row.state, "clock of 2031" in row.message) == ("failed", True)
    assert person("backup", "verify", taken.id).code == 0, "its files are there"
    for wrong in (taken.id, "20200101T000000Z-00000000"):
        assert person("backup", "quarantine", wrong).code == 2
    assert person("backup", "verify", fresh).code == 0


AHEAD = """UPDATE maintenance.backups SET taken_at = now() + interval '5 years', state = 'proven',
proven_at = now() WHERE id = '%s'"""
