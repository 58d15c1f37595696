"""Copies of a database that has a subscription: without it, and without a trace."""

from __future__ import annotations

from dataclasses import replace

from devstack.postgres import Postgres
from storage.backup.database import backup_database
from storage.backup.postgres import temporary_server
from storage.backup.prove import prove
from storage.backup.restore.database import restore
from tests.conftest import Place
from tests.support.plain_owner import ONE_STORE, beside, context_of, execute, kept_database, live

SUBSCRIBE = "CREATE SUBSCRIPTION {} CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)"
SUBSCRIBED = "SELECT subname, datname FROM pg_subscription JOIN pg_database AS d ON d.oid = subdbid"


@ONE_STORE
def test_copies_have_no_subscription(place: Place, postgres_server: Postgres) -> None:
    """A proof on the same server succeeds, also after an older one left a copy; so does a restore beside."""
    with kept_database(postgres_server) as url, context_of(place, url) as made:
        admin = postgres_server.dsn(live(made), "postgres", postgres_server.password)
        settings = replace(made.settings, database_url=admin, proof_server="same")
        context = replace(made, settings=settings)
        execute(admin, SUBSCRIBE.format("feed"))
        id, left = backup_database(context).id, temporary_server.scratch_name(admin, "left")
        execute(admin, f"CREATE DATABASE {left}")
        execute(beside(context, left), SUBSCRIBE.format("feed"), SUBSCRIBE.format('"another one"'))
        try:
            assert prove(context, id).state == "proven"
            assert temporary_server.leftovers(admin) == []
            copy = restore(settings, context.stores.backup_bucket, id)
            assert (execute(admin, f"{SUBSCRIBED} WHERE subname = 'feed'")) == [("feed", live(context))]
        finally:
            drop_subscription(admin)
            for name in (left, f"restored_{id.replace('-', '_').lower()}"):
                temporary_server.drop(beside(context, "postgres"), name)
        assert copy.rows


def drop_subscription(url: str) -> None:
    execute(
        url, "ALTER SUBSCRIPTION feed SET (slot_name = NONE)", "DROP SUBSCRIPTION feed"
    )  # fmt: skip
