"""Errors of backups and restores, and of operations on the kept database."""

from __future__ import annotations

from storage.core.errors import (
    EXIT_REFUSED,
    EXIT_USAGE,
    AccessDenied,
    ConfigError,
    StorageError,
    TransientFault,
    UsageError,
)


class NoSuchBackup(UsageError):
    """There is no backup {0!r}."""

    next_step = (
        "`storage backup list` shows the catalogue's backups, with --from-bucket those of the bucket; "
        "`storage backup rebuild` enters what the catalogue has lost."
    )


class NotAuthenticated(StorageError):
    """Backup {0} is not signed with this installation's key, and no catalogue confirms it."""

    exit_code = EXIT_REFUSED
    next_step = (
        "Nothing was restored. `storage backup list --from-bucket` lists others. If you know who made it, "
        "`storage restore BACKUP --from-bucket` restores it into a new database."
    )


class NoPostgresProgram(ConfigError):
    """No PostgreSQL {0} for version {1} on this machine (found: {2})."""

    next_step = "Install the client of the server's version (Debian: postgresql-client-N), or set PG_BINDIR."


class DumpFailed(StorageError):
    """{0} failed, and no backup was made: {1}"""

    transient = True
    next_step = "This run left nothing that counts as a backup. Fix the cause and run it again."


class NothingDumped(DumpFailed):
    """{0} could not begin, and no backup was made: {1}"""


class TableBusy(TransientFault):
    """Table {0} stays locked by another session, and the backup needs a moment with it."""

    next_step = "No backup was made. See pg_stat_activity for who holds it, then run it again."


class TablesChanging(TransientFault):
    """Tables are created, dropped or renamed all the time, so no snapshot has every one of them locked."""

    next_step = "No backup was made. Run it again when the schema is at rest."


class EmptyDatabase(StorageError):
    """The database {0!r} has no tables: there is nothing to back up."""

    next_step = "Check STORAGE_DATABASE_URL: it does not name the pipeline's database."


class RestoreFailed(StorageError):
    """pg_restore failed: {0}"""


class BackupDamaged(StorageError):
    """The backup is damaged: {0}."""

    next_step = "It does not count. Use another backup (`storage backup list`), and find out who wrote to it."


class NotProven(StorageError):
    """The backup restores, but its content differs from what was dumped: {0}."""

    next_step = (
        "It does not count. Take a new backup (`storage backup run`), and keep this one for investigation."
    )


class NoKey(StorageError):
    """The backup is encrypted and cannot be opened: {0}."""

    exit_code = EXIT_USAGE
    next_step = "Set STORAGE_BACKUP_IDENTITY_FILE to a file with the age identity of one of its recipients."


class ScratchFault(StorageError):
    """The server or machine used to restore the backup failed: {0}"""

    transient = True
    next_step = "The backup is unchanged. Check disk and memory of this machine, then prove it again."


class TargetInUse(StorageError):
    """Cannot restore into {0!r}: {1}."""

    exit_code = EXIT_REFUSED
    next_step = "Name a new database, or omit --into: a new database is created then."


class BackupAlarm(StorageError):
    """The backups need attention: {0}"""

    next_step = (
        "List the backups with `storage backup list`; take and prove a new one with `storage backup run`."
    )


class ListingDeviates(StorageError):
    """The bucket lists {0:,} objects outside temp/, but its newest backup ({1}) has {2:,}."""

    exit_code = EXIT_REFUSED
    next_step = "No backup was made. Find the cause; if the change is intended, run it again with --accept."


class RightsMissing(AccessDenied):
    """The database refused: {0}."""

    next_step = (
        "The role needs CREATEDB and membership in the owners' roles; or use a superuser for this run."
    )


class ServerTooOld(ConfigError):
    """The backup is of PostgreSQL {0}, the server is {1}: a dump does not restore into an older version."""

    next_step = "Name a server of the backup's version or newer in STORAGE_DATABASE_URL."


class DatabaseBusy(StorageError):
    """{0!r} is in use: {1}."""

    exit_code = EXIT_REFUSED
    transient = True
    next_step = "Nothing was changed. End those sessions or prepared transactions, then run it again."


class LeftBehind(StorageError):
    """Replacing {0!r} would leave behind {1}. Remove it first, connected to the database {0}: {2}."""

    exit_code = EXIT_REFUSED
    next_step = "Nothing was changed. After the restore, create again what is still needed."


class NotLikeLive(StorageError):
    """The restored database cannot take the place of {0!r}: {1}. {2}"""

    exit_code = EXIT_REFUSED
    next_step = "Nothing was exchanged. Change the live database, then run it again."


class TargetLeft(StorageError):
    """The restore failed. {0!r} existed before and was not dropped; empty it to try again: {1}"""


class NotAdopted(StorageError):
    """Rows of the kept database violate constraints of the live one: {0}."""

    next_step = "Restore the rows they refer to, or adopt the other jobs by name, then repeat it."
