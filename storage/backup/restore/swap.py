"""Swap: a backup takes the place of the live database; and its undo.

The backup is restored beside the live database and prepared to replace it; then two renames in one
transaction exchange the databases. Until then the live database is only paused. The old one is kept.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.backup.context import BackupContext, Progress
from storage.backup.load import load
from storage.backup.model import BackupId, Manifest
from storage.backup.postgres import copy_rows, properties, temporary_server
from storage.backup.postgres import swap as pg_swap
from storage.backup.restore.database import check, epoch, known, migrated, shut, target
from storage.core.errors import Refused, StorageError, UsageError
from storage.engine import guard
from storage.stores.postgres.connection import connect
from storage.stores.postgres.jobs import PostgresJobs

KEEP = timedelta(days=7)  # how long the replaced database is kept
GUARD = guard.BACKUP_GUARD


@dataclass(frozen=True, kw_only=True)
class Swapped:
    """Result of a swap: the live database, the name under which the previous one is kept, and until when."""

    database: str
    kept: str
    until: datetime
    seconds: float
    backup: str = ""


def swap(
    context: BackupContext, id: BackupId, *, typed: str, by: str, progress: Progress | None = None
) -> Swapped:
    """Replace the live database, whose name was ``typed``, with the backup ``id``.

    The new database is paused, and closed to destructive jobs until it is reconciled; it has the old one's
    newer runs, backups and audit, and none of its tombstones. Raises UsageError, RightsMissing, LeftBehind,
    NotLikeLive, DatabaseBusy, or the errors of a restore: the old database stays live then.
    """
    live, began = _live(context, typed), time.monotonic()
    manifest, keys = known(context, id)
    url = context.settings.database_url
    kept, beside = _free(live, "before"), pg_swap.derived(live, "restored", id[-8:])
    with pg_swap.open_admin(url, live) as admin:
        pg_swap.check_swap(admin, live)
        _no_restore_open(url)
        for left in pg_swap.leftovers(admin, live):
            pg_swap.remove(admin, left, force=True)
        properties.rehearse(admin, live, beside, manifest.database.locale)
        with target(context.settings, admin, manifest, beside) as to:
            properties.place(admin, beside, live)
            lacking = load(
                manifest, context.stores.backup_bucket, to.url, keys, access=True, progress=progress
            )
            check(manifest, to.url)
            if lacking:
                raise UsageError(
                    f"The server lacks extensions of the backup: {', '.join(lacking)}. Install them."
                )
            with _paused(url, f"backup {id}, by {by}"):
                until = _prepare(context, manifest, to.url, kept, by)
                properties.copy_database_settings(admin, beside, live)
                pg_swap.exchange(admin, live, beside, kept, until)
        _bring_stragglers(url, kept)
    took = time.monotonic() - began
    return Swapped(database=live, kept=kept, until=until, seconds=took, backup=id)


def undo_swap(context: BackupContext, *, typed: str, by: str) -> Swapped:
    """Make the kept database live again; the one that was live is kept in its turn.

    It comes back as it was, but with the newer runs, backups and audit. Only if the pipeline has written to
    the other database since, a restore epoch is opened: the kept one does not know of those objects. Raises
    UsageError where no database is kept.
    """
    live, began = _live(context, typed), time.monotonic()
    url, now = context.settings.database_url, context.stores.clock()
    with pg_swap.open_admin(url, live) as admin:
        pg_swap.check_bound(admin, live)
        back, since = _recorded(context, admin, live)
        kept = _free(live, "undone")
        with _paused(url, f"the previous database again, by {by}"):
            _revive(url, back, since, kept, now, by)
            pg_swap.exchange(admin, live, back, kept, now + KEEP)
        _bring_stragglers(url, kept)
    return Swapped(database=live, kept=kept, until=now + KEEP, seconds=time.monotonic() - began)


def drop_kept(context: BackupContext, as_of: datetime) -> list[str]:
    """Drop the databases that were live before and need not be kept any longer; return their names.

    Raises Refused while none may be dropped yet, or while one is needed to reconcile; DatabaseBusy while it
    has sessions.
    """
    url = context.settings.database_url
    live = pg_swap.name_of(url)
    with pg_swap.open_admin(url, live) as admin:
        all_kept = pg_swap.kept(admin, live)
        due = [name for name, until in all_kept.items() if until <= as_of]
        if all_kept and not due:
            name, until = min(all_kept.items(), key=lambda item: item[1])
            raise Refused("kept-database", f"{name} is kept until {until.isoformat()}.")
        for name in due:
            _check_reconciled(context, name)
            pg_swap.remove(admin, name)
            _forget(context, name)
    return due


def _live(context: BackupContext, typed: str) -> str:
    """Return the live database's name. Raises UsageError unless it was typed."""
    live = pg_swap.name_of(context.settings.database_url)
    if typed != live:
        raise UsageError(f"To replace the live database type its name, {live!r}; {typed!r} was typed.")
    return live


def _free(live: str, word: str) -> str:
    return pg_swap.derived(live, word, secrets.token_hex(4))


def _kept(name: str, until: datetime, since: datetime) -> dict[str, str | None]:
    """Return the switch naming the previous database, live until ``since`` by the server's clock."""
    answer = {"name": name, "until": until.isoformat(), "since": since.isoformat()}
    return {"kept_database": json.dumps(answer)}


@contextmanager
def _paused(url: str, why: str) -> Iterator[None]:
    """Pause maintenance of the live database; lift the pause only if the block fails.

    This pause is recognised by its text, and lifted when the database comes back; any other pause stays.
    """
    with copy_rows.opened(url) as session:
        copy_rows.pause(session, why)
    try:
        yield
    except BaseException:
        with suppress(StorageError), copy_rows.opened(url) as session:
            copy_rows.unpause(session)
        raise


def _prepare(context: BackupContext, manifest: Manifest, new: str, kept: str, by: str) -> datetime:
    """Prepare the restored database to go live. Return until when the old one is kept.

    One transaction, after all that takes long: the epoch begins with it, and the exchange follows at once.
    """
    migrated(new)
    copy_rows.analyze(new)
    url, now, identity = context.settings.database_url, context.stores.clock(), _identity(context, new)
    with copy_rows.opened(url, snapshot=True) as source, copy_rows.opened(new) as session:
        copy_rows.void(session)
        copy_rows.copy_newer(source, session, over=True)
        switches = shut(epoch(manifest, now, kept), by) | {"identity": identity}
        switches |= {GUARD: copy_rows.read_control(source, GUARD)}  # the current value, not the backup's
        copy_rows.control(session, switches | _kept(kept, now + KEEP, copy_rows.server_now(session)))
        copy_rows.advance(source, session)
        copy_rows.audit(session, "swap", {"backup": manifest.id, "by": by, "kept": kept})
    return now + KEEP


def _identity(context: BackupContext, new: str) -> str:
    """Return what :meth:`storage.core.ports.EngineStores.identity` will be once ``new`` is live."""
    engine = connect(new)
    try:
        return f"{context.stores.objects.identity()} {PostgresJobs(engine).identity()}"
    finally:
        engine.dispose()


def _no_restore_open(url: str) -> None:
    """Raise Refused while a restore waits to be reconciled.

    A second swap would put the original database of the first out of reach.
    """
    with copy_rows.opened(url) as session:
        if copy_rows.read_control(session, "restore_epoch") is not None:
            raise Refused(
                "restore-epoch", "a restore is not reconciled. Run `storage reconcile`, or undo it (--undo)."
            )


def _bring_stragglers(url: str, kept: str) -> None:
    """Copy rows that were still written to the old database while it was being replaced.

    The exchange is done: an error here must not suggest that the swap may be repeated.
    """
    old = temporary_server.beside(url, kept)
    with (
        suppress(StorageError),
        copy_rows.opened(old, snapshot=True) as source,
        copy_rows.opened(url) as session,
    ):
        copy_rows.copy_newer(source, session, over=False)
        copy_rows.advance(source, session)


def _recorded(context: BackupContext, admin: pg_swap.AdminConnection, live: str) -> tuple[str, datetime]:
    """Return the kept database's name, and since when it is not live."""
    url = context.settings.database_url
    with copy_rows.opened(url) as session:
        value = copy_rows.read_control(session, "kept_database")
    answer = json.loads(value) if value else {"name": ""}
    if answer["name"] not in pg_swap.kept(admin, live):
        raise UsageError(f"No database that {live!r} has replaced is kept: there is nothing to go back to.")
    return answer["name"], datetime.fromisoformat(answer["since"])


def _revive(url: str, back: str, since: datetime, kept: str, now: datetime, by: str) -> None:
    """Prepare the kept database to go live again, in one transaction."""
    target_url = temporary_server.beside(url, back)
    migrated(target_url)  # it may be of an older version than the rows that are copied into it
    with copy_rows.opened(url, snapshot=True) as source, copy_rows.opened(target_url) as session:
        copy_rows.copy_newer(source, session, over=True)
        copy_rows.unpause(session)
        if copy_rows.written_since(source, since):
            answer = {
                "backup": "",
                "taken_at": since.isoformat(),
                "restored_at": now.isoformat(),
                "kept": kept,
            }
            copy_rows.void(session)
            copy_rows.control(session, shut(answer, by))
        copy_rows.control(session, _kept(kept, now + KEEP, copy_rows.server_now(session)))
        copy_rows.advance(source, session)
        copy_rows.audit(session, "undo-swap", {"by": by, "kept": kept})


def _check_reconciled(context: BackupContext, name: str) -> None:
    open_epoch = context.stores.control.read("restore_epoch")
    if open_epoch and json.loads(open_epoch)["kept"] == name:
        raise Refused(
            "restore-epoch", f"{name} is needed until the restore is reconciled. Run `storage reconcile`."
        )


def _forget(context: BackupContext, name: str) -> None:
    value = context.stores.control.read("kept_database")
    if value and json.loads(value)["name"] == name:
        context.stores.control.write("kept_database", None)
