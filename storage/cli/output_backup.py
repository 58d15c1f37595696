"""How backups, certificates and what a restore left in doubt are shown."""

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
    table = Table("backup", "of", "state", "taken (UTC)", "size", "items", Column("note", overflow="fold"))
    for one in backups:
        state = f"[{_STATES[one.state]}]{one.state}[/]"
        note = shown(f"pinned: {one.pinned}" if one.pinned else one.message)
        taken = f"{one.taken_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(one.id, one.kind, state, taken, size(one.size), f"{one.items:,}", note)
    if backups:
        out.print(table)
    else:
        out.print("No backups yet: `storage backup run` takes and proves one.")


def show_backup(backup: Backup, manifest: Manifest) -> None:
    facts: dict[str, str] = {"state": backup.state, "taken at": f"{backup.taken_at:%Y-%m-%d %H:%M:%S} UTC"}
    facts |= {"size": size(manifest.size), "items": f"{backup.items:,}"}
    facts |= {f"part {p.name}": f"{p.key}  {size(p.size)}  sha256 {p.sha256}" for p in manifest.parts}
    facts |= {"encrypted to": ", ".join(manifest.recipients) or "nobody: it is not encrypted"}
    facts |= {"made with": ", ".join(f"{name} {version}" for name, version in manifest.tools.items())}
    show_facts(f"Backup {backup.id} of {backup.kind}", ((name, shown(v)) for name, v in facts.items()))
    if isinstance(manifest.facts, DatabaseFacts):
        table = Table("table", "rows", "content hash")
        for one in manifest.facts.tables:
            table.add_row(shown(one.name), f"{one.rows:,}", one.hash)
        out.print(table)


def show_certificate(certificate: Mapping[str, Any]) -> None:
    """A proof in words: what was restored, where, how long it took, and how old the data was."""
    facts = {name: value for name, value in certificate.items() if not isinstance(value, list | dict)}
    if tables := certificate.get("tables"):
        facts["tables"] = f"{len(tables):,}, every one with the rows and the hash of the dump's snapshot"
    words = ((name.replace("_", " "), shown(str(value))) for name, value in facts.items())
    show_facts(f"Certificate of backup {certificate['backup']}", words)


def show_rows(found: Sequence[Compared], applied: bool) -> None:
    table = Table("table", "same", "changed", "missing", "put back")
    for one in found:
        counts = (one.same, len(one.changed), len(one.missing), one.inserted)
        table.add_row(shown(one.table), *(f"{count:,}" for count in counts))
    out.print(table)
    if any(one.missing for one in found) and not applied:
        out.print("Nothing was changed. With --apply the missing rows are put back; changed ones never are.")


def show_unreconciled(jobs: Sequence[Unreconciled]) -> None:
    table = Table("job", "objects", "bytes", "newest (UTC)", "row", "in the kept database", "verdict")
    for one in jobs:
        newest = f"{one.newest:%Y-%m-%d %H:%M}" if one.newest else "-"
        kept = "yes" if one.in_kept else "no"
        table.add_row(
            shown(one.owner), f"{one.objects:,}", size(one.bytes), newest, one.row, kept, one.verdict or "-"
        )
    if jobs:
        out.print(table)
    open_ones = sum(one.verdict is None for one in jobs)
    if open_ones:
        out.print(
            f"{open_ones:,} to be judged: `storage reconcile --adopt JOB ...` (or all) keeps its files and "
            "brings its row back where the kept database has it; --condemn JOB ... lets them go later.",
            soft_wrap=True,
        )
    else:
        out.print("Nothing is left to judge: `storage reconcile --close` lets maintenance go on.")
