"""Errors of backups, of restoring them and of what is done with the kept database."""

from __future__ import annotations

from storage.core.errors import EXIT_REFUSED, EXIT_USAGE, AccessDenied, ConfigError, StorageError, UsageError


class NoSuchBackup(UsageError):
    """There is no backup {0!r}."""

    next_step = "`storage backup list` shows them; `--from-bucket` those the catalogue has lost."


class NoPostgresProgram(ConfigError):
    """No PostgreSQL {0} for version {1} here (found: {2})."""

    next_step = "Install the client of the server's version (Debian: postgresql-client-N), or set PG_BINDIR."


class DumpFailed(StorageError):
    """{0} failed, and no backup was made: {1}"""

    transient = True
    next_step = "Nothing counts as a backup of this run; mend the cause and run it again."


class EmptyDatabase(StorageError):
    """The database {0!r} holds no table: there is nothing to back up."""

    next_step = "Check STORAGE_DATABASE_URL: it names another database than the pipeline's."


class RestoreFailed(StorageError):
    """pg_restore failed: {0}"""


class BackupDamaged(StorageError):
    """The backup is damaged: {0}."""

    next_step = "It does not count. Use another one (`storage backup list`), and find out who wrote there."


class NotProven(StorageError):
    """The backup restores, but not to what was dumped: {0}."""

    next_step = "It does not count. Take another one (`storage backup run`), and keep this one to look into."


class NoKey(StorageError):
    """The backup is encrypted and cannot be opened: {0}."""

    exit_code = EXIT_USAGE
    next_step = "Set STORAGE_BACKUP_IDENTITY_FILE to a file with the age identity of one of its recipients."


class ScratchFault(StorageError):
    """There is no place to restore into: {0}"""

    transient = True
    next_step = "The backup is as it was. Check disk and memory of this machine, and prove it again."


class TargetInUse(StorageError):
    """{0!r} cannot be restored into: {1}."""

    exit_code = EXIT_REFUSED
    next_step = "Name a new database, or leave --into away: a new one is made then."


class BackupAlarm(StorageError):
    """The backups need attention: {0}"""

    next_step = "`storage backup list` shows them, `storage backup run` takes and proves one."


class ListingDeviates(StorageError):
    """The bucket lists {0:,} objects outside temp/, and the newest backup of it ({1}) has {2:,}."""

    exit_code = EXIT_REFUSED
    next_step = "No backup was made. See what became of them; if it is meant, run it again with --accept."


class RightsMissing(AccessDenied):
    """The database refused: {0}."""

    next_step = "Its role needs CREATEDB and membership in the owners' roles; or name a superuser for once."


class ServerTooOld(ConfigError):
    """The backup is of PostgreSQL {0}, and the server is {1}: a dump does not restore into an older one."""

    next_step = "Name a server of that version or a newer one in STORAGE_DATABASE_URL."


class DatabaseBusy(StorageError):
    """{0!r} is in use: {1}."""

    exit_code = EXIT_REFUSED
    transient = True
    next_step = "Nothing was changed. End those sessions or prepared transactions, then run it again."


class TargetLeft(StorageError):
    """The restore failed, and {0!r}, which was there before, was left; empty it to try again: {1}"""


class NotAdopted(StorageError):
    """The kept database's rows do not fit into the live one: {0}."""

    next_step = "Put back what they refer to, or adopt the others by name, then repeat it."
