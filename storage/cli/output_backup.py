"""Terminal output of backups, certificates, row comparisons and unreconciled jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Column, Table

from storage.backup.model import Backup, DatabaseFacts, Manifest
from storage.backup.postgres.row_diff import Compared
from storage.backup.restore.reconcile import Unreconciled
from storage.cli.output import out, show_facts, shown, size

_STATES = {"proven": "green", "complete": "yellow", "running": "yellow", "failed": "red", "expired": "dim"}


def show_backups(backups: Sequence[Backup]) -> None:
    table = Table("backup", "kind", "state", "taken (UTC)", "size", "items", Column("note", overflow="fold"))
    for backup in backups:
        state = f"[{_STATES[backup.state]}]{backup.state}[/]"
        note = shown(f"pinned: {backup.pinned}" if backup.pinned else backup.message)
        taken = f"{backup.taken_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(backup.id, backup.kind, state, taken, size(backup.size), f"{backup.items:,}", note)
    if backups:
        out.print(table)
    else:
        out.print("No backups yet: `storage backup run` takes and proves one.")


def show_backup(backup: Backup, manifest: Manifest) -> None:
    facts: dict[str, str] = {"state": backup.state, "taken at": f"{backup.taken_at:%Y-%m-%d %H:%M:%S} UTC"}
    facts |= {"size": size(manifest.size), "items": f"{backup.items:,}"}
    facts |= {f"part {p.name}": f"{p.key}  {size(p.size)}  sha256 {p.sha256}" for p in manifest.parts}
    facts |= {"encrypted to": ", ".join(manifest.recipients) or "no recipient: it is not encrypted"}
    facts |= {"made with": ", ".join(f"{name} {version}" for name, version in manifest.tools.items())}
    show_facts(f"Backup {backup.id} of {backup.kind}", ((name, shown(v)) for name, v in facts.items()))
    if isinstance(manifest.facts, DatabaseFacts):
        table = Table("table", "rows", "content hash")
        for table_facts in manifest.facts.tables:
            table.add_row(shown(table_facts.name), f"{table_facts.rows:,}", table_facts.hash)
        out.print(table)


def show_certificate(certificate: Mapping[str, Any]) -> None:
    """Print a certificate: what was restored, where, how long it took, and how old the data was."""
    facts = {name: value for name, value in certificate.items() if not isinstance(value, list | dict)}
    if tables := certificate.get("tables"):
        facts["tables"] = f"{len(tables):,}, each equal in rows and hash to the dump's snapshot"
    words = ((name.replace("_", " "), shown(str(value))) for name, value in facts.items())
    show_facts(f"Certificate of backup {certificate['backup']}", words)


def show_rows(found: Sequence[Compared], applied: bool) -> None:
    table = Table("table", "same", "changed", "missing", "inserted")
    for result in found:
        counts = (result.same, len(result.changed), len(result.missing), result.inserted)
        table.add_row(shown(result.table), *(f"{count:,}" for count in counts))
    out.print(table)
    if any(result.missing for result in found) and not applied:
        out.print(
            "Nothing was changed. --apply inserts the missing rows; changed rows are never overwritten."
        )


def show_unreconciled(jobs: Sequence[Unreconciled]) -> None:
    table = Table("job", "objects", "bytes", "newest (UTC)", "row", "in the kept database", "verdict")
    for job in jobs:
        newest = f"{job.newest:%Y-%m-%d %H:%M}" if job.newest else "-"
        kept = "yes" if job.in_kept else "no"
        table.add_row(
            shown(job.owner), f"{job.objects:,}", size(job.bytes), newest, job.row, kept, job.verdict or "-"
        )
    if jobs:
        out.print(table)
    undecided = sum(job.verdict is None for job in jobs)
    if undecided:
        out.print(
            f"{undecided:,} without a verdict: `storage reconcile --adopt JOB ...` (or all) keeps a job's "
            "files and restores its row if the kept database has it; --condemn JOB ... deletes them later.",
            soft_wrap=True,
        )
    else:
        out.print("Nothing is left to judge: run `storage reconcile --close` to resume maintenance.")
