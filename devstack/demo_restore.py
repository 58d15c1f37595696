"""Disaster-recovery demo: the demo's whole database server is deleted and restored from the backup bucket."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from devstack import stack
from devstack.errors import DevstackError
from storage.backup import drill
from storage.backup import manifest as manifests
from storage.backup.connect import open_backup_bucket
from storage.backup.model import DatabaseFacts
from storage.backup.postgres import fingerprint
from storage.backup.prove import differences
from storage.backup.restore.database import restore
from storage.cli.output import WIDE
from storage.core.errors import StorageError
from storage.core.settings import Settings

out = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)


def main() -> int:
    try:
        return _demo()
    except (DevstackError, StorageError) as error:
        out.print(f"[bold red]{error}[/]", soft_wrap=True)
        return 1


def _demo() -> int:
    home = stack.default_home()
    servers = stack.running(home)
    settings = Settings.from_env(servers.env())
    backup_bucket = open_backup_bucket(settings)
    newest = drill.newest(backup_bucket)
    out.print(f"\n[bold]The newest proven backup: {newest.id}, taken {newest.taken_at:%Y-%m-%d %H:%M:%S}[/]")
    folder = stack.server_folder(home)
    stack.down(home, say=_quiet)
    shutil.rmtree(folder)
    out.print(
        f"[bold red]Deleted: {folder}[/], the database server's whole folder. Its backups are in the bucket."
    )
    began = time.monotonic()
    servers = stack.up("auto", airflow=False, home=home, say=_say)
    settings = Settings.from_env(servers.env())
    live = settings.database_url.rsplit("/", 1)[-1]
    made = restore(settings, open_backup_bucket(settings), newest.id, into=live, typed=live)
    seconds = time.monotonic() - began
    manifest, _ = manifests.read(newest.id, open_backup_bucket(settings))
    wrong = differences(_pipelines(manifest.database), _pipelines(fingerprint.facts(settings.database_url)))
    _show(made.seconds, seconds, len(manifest.database.tables), made.rows, wrong)
    return 1 if wrong else 0


def _pipelines(facts: DatabaseFacts) -> DatabaseFacts:
    """Select the pipeline's own tables; the platform's differ because the restore is recorded in them."""
    own = tuple(table for table in facts.tables if not table.name.startswith("maintenance."))
    return replace(facts, tables=own, sequences=())


def _show(restored: float, seconds: float, tables: int, rows: int, wrong: list[str]) -> None:
    table = Table(title="Restored on a new, empty server", title_justify="left", show_header=False)
    table.add_row("tables and rows", f"{tables:,} and {rows:,}")
    equal = "[green]equal, by a hash of every table[/]" if not wrong else f"[bold red]{wrong[0]}[/]"
    table.add_row("compared with the dump's snapshot", equal)
    table.add_row("fetched, checked, restored in", f"{restored:.1f} s")
    table.add_row("from nothing to a working database in", f"{seconds:.1f} s")
    out.print(table)
    out.print(
        "Maintenance is paused until you finish `storage reconcile`. `make demo-stop` stops everything."
    )


def _say(text: str) -> None:
    out.print(f"  {text}", soft_wrap=True, markup=False)


def _quiet(text: str) -> None:
    """Discard a progress message."""


if __name__ == "__main__":
    sys.exit(main())
