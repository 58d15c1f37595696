"""Parameters of a database connection: those of the URL, checked by libpq, and the platform's own.

The same parameters go to SQLAlchemy, to psycopg2 and to PostgreSQL's programs.
"""

from __future__ import annotations

import os
from typing import Any

import psycopg2
from psycopg2.extensions import make_dsn
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from storage.core.errors import ConfigError

CONNECT_TIMEOUT = 10  # seconds
STATEMENT_TIMEOUT = "10min"
NAME = "storage-maintenance"  # unless the URL or PGAPPNAME names another
_PAGE = "https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS"


def parsed(url: str) -> URL:
    """Parse a database URL. Raises ConfigError for an unfit one, or a parameter that libpq does not know."""
    try:
        found = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise ConfigError(
            "STORAGE_DATABASE_URL is not a database URL (postgresql://user:password@host/name)."
        ) from error
    if found.get_backend_name() != "postgresql":
        raise ConfigError(
            f"STORAGE_DATABASE_URL is for {found.get_backend_name()}; the platform needs PostgreSQL."
        )
    found = found.set(drivername="postgresql+psycopg2")
    words(found)
    return found


def words(url: URL) -> dict[str, Any]:
    """Return what the URL says as libpq parameters, as SQLAlchemy reads it (several hosts, for example)."""
    try:
        _, found = url.get_dialect()().create_connect_args(url)
        make_dsn(**{name: value for name, value in found.items() if name not in ("password", "sslpassword")})
    except (psycopg2.ProgrammingError, ArgumentError, ValueError) as error:
        raise ConfigError(
            f"STORAGE_DATABASE_URL (in Airflow the connection storage_db) is refused by libpq: "
            f"{str(error).strip()}. It knows the parameters of {_PAGE}."
        ) from error
    return dict(found)


def for_session(url: URL) -> dict[str, Any]:
    """Return the parameters that the platform adds to those of the URL; of the environment, these win.

    With row_security off the server raises an error where a policy would hide rows: a job that is not seen
    must not count as absent. This and the time zone come last, so that no option of the URL changes them.
    """
    given = words(url)
    options = str(given.get("options") or os.environ.get("PGOPTIONS", ""))
    own = f"-c statement_timeout={STATEMENT_TIMEOUT} {options} -c timezone=UTC -c row_security=off"
    return defaults(given) | {"options": own}


def defaults(given: dict[str, Any]) -> dict[str, Any]:
    """Return the platform's defaults for parameters that neither the URL nor the environment sets."""
    found: dict[str, Any] = {"fallback_application_name": NAME, "keepalives_idle": 30}
    found["client_encoding"] = "UTF8"  # a database of SQL_ASCII names none, and the driver would take ASCII
    if not os.environ.get("PGCONNECT_TIMEOUT"):
        found["connect_timeout"] = CONNECT_TIMEOUT
    return {name: value for name, value in found.items() if name not in given}
