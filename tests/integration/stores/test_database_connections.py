"""Connections to PostgreSQL: poolers, certificates, missing grants; the client programs see the same."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from devstack.postgres import Postgres
from devstack.process import wait_until
from storage.backup.errors import DumpFailed
from storage.backup.postgres import dump, programs, temporary_server
from storage.core.errors import (
    AccessDenied,
    ConfigError,
    GrantMissing,
    NotTrusted,
    PoolerInBetween,
    StorageError,
)
from storage.stores.postgres.connection import connect, translated
from storage.stores.postgres.runs import PostgresRuns
from tests.support.network import Certificates, certificates
from tests.support.pooler import pooler

OFF = "SET row_security = off"


def asked(url: str, statement: str) -> object:
    engine = connect(url)
    try:
        with translated(), engine.connect() as session:
            return session.execute(text(statement)).scalar()
    finally:
        engine.dispose()


# --- poolers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("drops", "first", "says"),
    [
        ("", "", "unsupported startup parameter"),
        ("options", "", "drops the start-up parameter options"),
        ("options", OFF, "it is in transaction mode"),
    ],
)
def test_a_pooler_of_transactions_is_refused(
    database_url: str, tmp_path: Path, drops: str, first: str, says: str
) -> None:
    """Its advisory lock had two holders."""
    with pooler(database_url, tmp_path, "transaction", drops=drops, first=first) as url:
        engine = connect(url)
        with pytest.raises(PoolerInBetween, match=says) as error, PostgresRuns(engine).lock("reap"):
            pass
        engine.dispose()
    assert error.value.exit_code == 2
    assert "Set STORAGE_DATABASE_URL" in str(error.value)


def test_a_pooler_of_sessions_is_not(database_url: str, tmp_path: Path) -> None:
    with pooler(database_url, tmp_path, "session", drops="options", first=OFF) as url:
        assert asked(url, "SELECT 7") == 7


# --- certificates ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Secured:
    """A server with TLS, reached without a parameter; the right CA and another one."""

    url: str
    major: int
    right: Certificates
    wrong: Certificates

    def with_words(self, **words: str) -> str:
        url = make_url(self.url).set(query={}).update_query_dict(words)
        return url.render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Start a throw-away server, while the environment asks for certificates that it does not have."""
    folders = [tmp_path_factory.mktemp(name) for name in ("right", "wrong")]
    right, wrong = (certificates(folder) for folder in folders)
    major = programs.version(programs.server() / "postgres")[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGSSLMODE", "verify-full")
        patch.setenv("PGSSLROOTCERT", str(wrong.ca))
        server = temporary_server.server(major)
        url = server.__enter__()
    try:
        with_tls(url, right)
        yield Secured(url, major, right, wrong)
    finally:
        server.__exit__(None, None, None)


def with_tls(url: str, made: Certificates) -> None:
    with temporary_server.administering(url) as cursor:
        cursor.execute("SELECT current_setting('data_directory'), current_setting('ssl_library')")
        data, library = cursor.fetchone() or ("", "")
        if not library:
            pytest.skip("this PostgreSQL was built without TLS")
        for source, name in ((made.server, "server.crt"), (made.key, "server.key")):
            copy = Path(data, name)
            copy.write_bytes(source.read_bytes())
            copy.chmod(0o600)
            if account := programs.account():
                shutil.chown(copy, account)
        cursor.execute("ALTER SYSTEM SET ssl = on")
        cursor.execute("SELECT pg_reload_conf()")
    required = make_url(url).update_query_dict({"sslmode": "require"}).render_as_string(hide_password=False)

    def answers() -> bool:
        try:
            return bool(asked(required, "SELECT true"))
        except StorageError:
            return False

    assert wait_until(answers, 20)


def roles(secured: Secured, url: str) -> bytes:
    with dump.globals_of(url, secured.major) as stream:
        return stream.read()


def test_the_url_s_certificates_are_asked_for_by_all(secured: Secured) -> None:
    url = secured.with_words(sslmode="verify-full", sslrootcert=str(secured.right.ca), connect_timeout="9")
    assert asked(url, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") is True
    assert b"CREATE ROLE" in roles(secured, url)
    with temporary_server.administering(url) as cursor:
        cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert cursor.fetchone() == (True,)


@pytest.mark.parametrize("by", ["url", "environment"])
def test_another_ca_is_refused_by_all(secured: Secured, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """The client programs had no variable of libpq's: they went on without any check."""
    words = {"sslmode": "verify-full", "sslrootcert": str(secured.wrong.ca)}
    for name, value in words.items():
        monkeypatch.setenv(f"PG{name.upper()}", value if by == "environment" else "")
    url = secured.with_words(**(words if by == "url" else {}))
    with pytest.raises(NotTrusted, match="certificate verify failed.*sslrootcert"):
        asked(url, "SELECT 1")
    with pytest.raises(DumpFailed, match="certificate verify failed"):
        roles(secured, url)


def test_a_value_that_libpq_refuses_is_no_fault_of_the_network(secured: Secured) -> None:
    with pytest.raises(ConfigError, match='invalid sslmode value: "verify-ful"'):
        asked(secured.with_words(sslmode="verify-ful"), "SELECT 1")


def test_a_name_and_options_of_the_url_reach_the_session(secured: Secured) -> None:
    url = secured.with_words(application_name="eve", options="-c work_mem=5MB -c statement_timeout=7s")
    statement = "SELECT concat_ws(' ', current_setting('application_name'), current_setting('work_mem'), "
    rest = "current_setting('statement_timeout'), current_setting('row_security'))"
    assert asked(url, statement + rest) == "eve 5MB 7s off"
    assert asked(secured.with_words(), "SHOW application_name") == "storage-maintenance"


# --- grants ----------------------------------------------------------------------------------------------


@pytest.fixture
def stranger(postgres_server: Postgres, database_url: str) -> Iterator[str]:
    """Yield the database's URL for a role without any rights."""
    role, name = f"stranger_{secrets.token_hex(4)}", make_url(database_url).database
    with postgres_server.connect() as session, session.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'a-word'")
    yield postgres_server.dsn(str(name), role, "a-word")
    with postgres_server.connect() as session, session.cursor() as cursor:
        cursor.execute(f"DROP ROLE {role}")


def test_a_missing_grant_is_not_a_wrong_password(
    postgres_server: Postgres, database_url: str, stranger: str
) -> None:
    name = make_url(database_url).database
    with pytest.raises(
        GrantMissing, match=r"role stranger_\w+ a right: permission denied for .*jobs.*GRANT"
    ) as error:
        asked(stranger, "SELECT count(*) FROM public.jobs")
    assert "refused the credentials" not in str(error.value)
    with postgres_server.connect() as session, session.cursor() as cursor:
        cursor.execute(f'REVOKE CONNECT ON DATABASE "{name}" FROM PUBLIC')
    with pytest.raises(GrantMissing, match=f'permission denied for database "{name}"'):
        asked(stranger, "SELECT 1")
    wrong = make_url(stranger).set(password="other").render_as_string(hide_password=False)
    with pytest.raises(AccessDenied, match="refused the credentials"):
        asked(wrong, "SELECT 1")
