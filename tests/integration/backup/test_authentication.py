"""Backups without a catalogue: the installation's key shows which of the bucket's are its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devstack.postgres import Postgres
from storage.backup.context import BackupContext
from storage.backup.database import backup_database
from storage.backup.prove import prove
from tests.conftest import Place
from tests.support.command_line import Person, environment
from tests.support.plain_owner import ONE_STORE, add_jobs, context_of, drop, execute, kept_database, live

pytestmark = ONE_STORE


@pytest.fixture
def context(
    place: Place, postgres_server: Postgres, person: Person, tmp_path: Path
) -> Iterator[BackupContext]:
    """Yield a context with a key, made on the command line as an operator does; ``person`` uses it."""
    key = str(tmp_path / "auth-key")
    with kept_database(postgres_server) as url, context_of(place, url) as made:
        with_key = replace(made, settings=replace(made.settings, backup_auth_key_file=key))
        person.sits_at(environment(with_key.settings))
        assert person("backup", "rotate-key").code == 0
        yield with_key


def test_without_the_catalogue_only_what_the_key_signed_counts(
    context: BackupContext, person: Person, place: Place, postgres_server: Postgres
) -> None:
    """Another client's newer backup is neither latest nor restored nor entered, except on request."""
    assert person("backup", "run", "database").code == 0
    assert person("backup", "rotate-key").code == 0, "what the older key signed is still authentic"
    with kept_database(postgres_server) as url, context_of(place, url) as other:
        add_jobs(url, "forged", 2)
        foreign = prove(other, backup_database(other).id).id
    person.sits_at(environment(context.settings))
    found = person("backup", "list", "--from-bucket", "--json").document
    assert [(one["authenticated"], one["state"]) for one in found] == [(False, "complete"), (True, "proven")]
    ours = found[1]["id"]
    drilled = person("backup", "drill", "--json").document
    assert (drilled["backup"], drilled["authenticated"]) == (ours, True)

    execute(context.settings.database_url, "DROP SCHEMA maintenance CASCADE")
    made = person("restore", "latest", "--json")
    assert (made.code, made.document["authenticated"]) == (0, True), made.err
    drop(postgres_server, made.document["database"])
    for argv in (("restore", foreign), ("restore", foreign, "--live", "--confirm", live(context))):
        refused = person(*argv)
        assert refused.code == 3, argv
        assert "not signed with this installation's key" in " ".join(refused.err.split())
    made = person("restore", foreign, "--from-bucket", "--json")
    assert (made.code, made.document["authenticated"]) == (0, False), made.err
    assert "Not authenticated" in made.err
    drop(postgres_server, made.document["database"])

    assert person("migrate", "--adopt").code == 0
    rebuilt = person("backup", "rebuild", "--json").document
    assert rebuilt == {"entered": [ours], "lost": [], "unauthenticated": [foreign]}
    assert [one["id"] for one in person("backup", "list", "--json").document] == [ours]
    rebuilt = person("backup", "rebuild", "--unauthenticated", "--json").document
    assert rebuilt["entered"] == [foreign]
    assert {one["id"]: one["state"] for one in person("backup", "list", "--json").document} == {
        foreign: "complete",
        ours: "proven",
    }
