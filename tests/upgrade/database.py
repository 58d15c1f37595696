"""Dump of a database as plain SQL, and loading such a dump without any program of PostgreSQL's."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
from sqlalchemy.engine import make_url

from tests.upgrade import product

#: Lines of a dump that only psql understands, and settings that an older server does not know.
NOT_SQL = re.compile(r"^(\\(un)?restrict .*|SET (transaction_timeout|default_table_access_method) .*)$", re.M)


def dump(url: str, major: int, path: Path) -> None:
    """Write the database as SQL without owners and rights, compressed."""
    words = make_url(url)
    options = ["--inserts", "--rows-per-insert=200", "--no-owner", "--no-privileges"]
    where = ["-h", str(words.host), "-p", str(words.port), "-U", str(words.username), str(words.database)]
    done = subprocess.run(
        [str(product.program("pg_dump", major)), *options, *where],
        env=os.environ | {"PGPASSWORD": str(words.password)},
        stdout=subprocess.PIPE,
        check=True,
    )
    path.write_bytes(gzip.compress(NOT_SQL.sub("", done.stdout.decode()).encode(), mtime=0))


def load(url: str, path: Path) -> None:
    """Run the SQL of a dump in an empty database."""
    execute(url, gzip.decompress(path.read_bytes()).decode())


def execute(url: str, statement: str, values: Any = None) -> list[tuple[Any, ...]]:
    """Run a statement; return its rows."""
    words = make_url(url).translate_connect_args(username="user", database="dbname")
    with closing(psycopg2.connect(**words)) as session, session.cursor() as cursor:
        session.autocommit = True
        cursor.execute(statement, values)
        return list(cursor.fetchall()) if cursor.description else []
