"""Partial restores: some tables into a separate database, or one owner's lost rows into the live one."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Sequence
from dataclasses import replace

from storage.backup.context import BackupContext
from storage.backup.errors import NotProven, TargetInUse
from storage.backup.load import COPY, Wanted, load
from storage.backup.model import BackupId, DatabaseFacts, TableFact
from storage.backup.postgres import copy_rows, fingerprint, row_diff, swap, temporary_server
from storage.backup.postgres.row_diff import Compared
from storage.backup.prove import differences
from storage.backup.restore.database import Restored, known, target
from storage.core.errors import UsageError

#: The whole schema without keys, indexes and triggers; then the rows of the chosen tables.
SECTIONS = ("--section=pre-data", "--section=data", *COPY)
_DATA = re.compile(r"^\d+; \d+ \d+ (TABLE DATA|BLOBS?|BLOB METADATA|SEQUENCE SET|MATERIALIZED VIEW DATA) ")


def restore_tables(
    context: BackupContext, id: BackupId, tables: Sequence[str], *, into: str = ""
) -> Restored:
    """Restore the rows of some tables into a new database, which stays for an operator to inspect.

    ``tables``: ``schema.table``, or ``table`` where only one schema has it. The other tables exist and are
    empty; keys and indexes are not restored. Raises UsageError for a table that the backup does not have.
    """
    manifest, keys = known(context, id)
    chosen = [_resolved(manifest.database, name) for name in tables]
    name = swap.fit_name(into or f"tables_{id.replace('-', '_').lower()}")
    began, url = time.monotonic(), context.settings.database_url
    with swap.open_admin(url, name) as admin:
        existing = swap.look(admin, url, name)
        if existing and existing.mark != swap.UNFINISHED:
            raise TargetInUse(name, "a database of that name exists")
        with target(context.settings, admin, manifest, name) as to:
            lacking = load(
                manifest, context.stores.backup_bucket, to.url, keys, SECTIONS, wanted=_rows_of(chosen)
            )
            _check(manifest.database, chosen, to.url)
        swap.mark(admin, name, f"{swap.MARK}tables of {id}")
    rows = sum(table.rows for table in chosen)
    took = time.monotonic() - began
    return Restored(database=name, url=to.url, seconds=took, rows=rows, lacking=lacking)


def restore_rows(
    context: BackupContext, id: BackupId, *, api_key: str = "", job: str = "", apply: bool = False
) -> list[Compared]:
    """Compare the rows of one key or one job with the live ones, table by table.

    With ``apply``, insert the missing rows, in one transaction. No live row is ever changed. Compared are the
    pipeline's jobs, every table with a column ``api_key`` or ``job_id``, and the keys.
    """
    if bool(api_key) == bool(job):
        raise UsageError("Name either an api_key or a job whose rows to restore.")
    manifest, keys = known(context, id)
    facts, url = manifest.database, context.settings.database_url
    scratch = temporary_server.scratch_name(url, f"rows_{id[-8:]}")
    with copy_rows.opened(url) as live:
        wanted = row_diff.of_owner(live, api_key, job)
    tables = [table for table in facts.tables if table.name in wanted]
    with context.stores.runs.lock("prove"):  # its holder owns the server's scratch databases
        for left in temporary_server.leftovers(url):
            temporary_server.drop(url, left)
        with temporary_server.database(url, scratch, facts.locale) as made:
            load(manifest, context.stores.backup_bucket, made, keys, SECTIONS, wanted=_rows_of(tables))
            _check(facts, tables, made)
            order = {name: where for name, where in wanted.items() if name in {t.name for t in tables}}
            with copy_rows.opened(made, snapshot=True) as restored, copy_rows.opened(url) as live:
                found = row_diff.compare(restored, live, order, apply=apply)
    if apply:
        answer = {compared.table: compared.inserted for compared in found}
        detail = {"backup": id, "of": f"job {job}" if job else "an api_key", "inserted": answer}
        context.stores.audit.record("restore-rows", "", detail)
    return found


def _resolved(facts: DatabaseFacts, name: str) -> TableFact:
    """Return the table that an operator's name for it means."""
    fit = [table for table in facts.tables if name in (table.name, table.name.replace('"', ""))]
    fit = fit or [table for table in facts.tables if name in _names(table)[1:]]
    if len(fit) != 1:
        known = [table.name for table in fit] or difflib.get_close_matches(
            name, [t.name for t in facts.tables]
        )
        hint = f" Did you mean {' or '.join(known)}?" if known else ""
        raise UsageError(f"The backup has {'no' if not fit else 'more than one'} table {name!r}.{hint}")
    return fit[0]


def _names(table: TableFact) -> tuple[str, str]:
    """Return schema and table as plain text, without the quotes that some names are written with."""
    schema, name = re.findall(r'"(?:[^"]|"")*"|[^".]+', table.name)
    return _plain(schema), _plain(name)


def _plain(word: str) -> str:
    return word[1:-1].replace('""', '"') if word.startswith('"') else word


def _rows_of(tables: Sequence[TableFact]) -> Wanted:
    """Return a filter of the table of contents: every definition, and the rows of these tables."""
    lines = [f"TABLE DATA {schema} {name} " for schema, name in map(_names, tables)]
    return lambda line: not _DATA.match(line) or any(wanted in line for wanted in lines)


def _check(facts: DatabaseFacts, tables: Sequence[TableFact], url: str) -> None:
    """Raise NotProven unless these tables equal those in the dump's snapshot."""
    names = {table.name for table in tables}
    found = fingerprint.facts(url)
    restored = tuple(table for table in found.tables if table.name in names)
    nothing = TableFact("large objects", 0, "0")
    expected = replace(facts, tables=tuple(tables), sequences=(), large_objects=nothing)
    if wrong := differences(expected, replace(found, tables=restored, sequences=(), large_objects=nothing)):
        raise NotProven(wrong[0])
