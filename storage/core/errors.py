"""Exception classes of the platform.

A class's docstring is its message template, formatted with the exception's arguments. The class also
defines the exit code, whether a retry can help (``transient``), and the operator's next step.
"""

from __future__ import annotations

EXIT_FAILED, EXIT_USAGE, EXIT_REFUSED, EXIT_WAITS, EXIT_PAUSED, EXIT_UNREACHABLE = 1, 2, 3, 4, 5, 6


class StorageError(Exception):
    """{0}"""

    exit_code = EXIT_FAILED
    transient = False
    next_step = ""
    vendor_code = ""  # of the error that this one translates, such as an SQLSTATE

    def __str__(self) -> str:
        template = type(self).__doc__ or "{0}"
        text = (template.format(*self.args) if self.args else template).rstrip()
        if self.next_step and not text.endswith((".", "?", "!", ":")):
            text += "."
        return f"{text} {self.next_step}".rstrip()


# --- usage: the request or a setting is wrong ----------------------------------------------------
class ConfigError(StorageError):
    """{0}"""

    exit_code = EXIT_USAGE


class UsageError(StorageError):
    """{0}"""

    exit_code = EXIT_USAGE


class UnknownJob(UsageError):
    """There is no maintenance job named {0!r}."""

    next_step = "`storage jobs` lists them."


class NoSuchRun(UsageError):
    """There is no run {0!r}."""

    next_step = "`storage runs` lists the latest."


class InvalidName(UsageError):
    """{0!r} cannot be a {1}: {2}."""


class SchemaMissing(ConfigError):
    """The database has no maintenance schema, or an older one ({0})."""

    next_step = "Run `storage migrate`."


class SchemaChanged(ConfigError):
    """Migration {0} was edited after it had been applied here."""

    next_step = "Restore the file; put changes into a new migration."


class PipelineTableWrong(ConfigError):
    """The pipeline's table cannot be mapped: {0}."""

    next_step = "Edit sql/mapping.sql so that it names your columns, then run `storage migrate`."


class StatusRefused(PipelineTableWrong):
    """The column {0} cannot hold {1}: {2}."""

    next_step = (
        "Nothing was changed. Allow these values (enum: ALTER TYPE ... ADD VALUE; else change the type or "
        "the constraint), then run `storage migrate`."
    )


# --- refused: an approval cannot override it -----------------------------------------------------
class Refused(StorageError):
    """Refused by {0}: {1}"""

    exit_code = EXIT_REFUSED


class PlanUnreadable(StorageError):
    """Line {1} of the plan {0} cannot be applied by this version: {2}."""

    next_step = "That line was not applied. Apply the plan with the version that made it, or plan again."


class PlanChanged(StorageError):
    """The plan {0} is not the one that was made: its SHA-256 is {1}, not {2}. Nothing was done."""

    exit_code = EXIT_REFUSED
    next_step = "Plan again; an approval holds for one plan only."


class NotApproved(StorageError):
    """The plan of run {0} exceeded a limit and waits for approval: {1}"""

    exit_code = EXIT_WAITS
    next_step = (
        "Read it and its SHA-256 (`storage runs RUN`), then `storage apply RUN --approve SHA256`, or "
        "approve it in Airflow."
    )


class PlanBegun(Refused):
    """The plan of run {0} can no longer be rejected: it is {1}."""

    next_step = "`storage runs RUN` shows what was done; `storage undo RUN` takes back what was only marked."


class RunBegun(Refused):
    """Run {0} was applied by another process meanwhile: it is {1}."""

    next_step = "This one changed nothing. `storage runs RUN` shows what was done."


class PlanRejected(Refused):
    """The plan of run {0} was {1}."""

    next_step = "It is never applied. Plan again, and approve that plan if it is right."


class Paused(StorageError):
    """Maintenance is paused {0}."""

    exit_code = EXIT_PAUSED
    next_step = "`storage resume` lifts it; finished batches stay finished."


# --- the environment ------------------------------------------------------------------------------
class Unreachable(StorageError):
    """{0} does not answer: {1}"""

    exit_code = EXIT_UNREACHABLE
    transient = True
    next_step = "Check the address, the network and that the server runs; nothing was changed meanwhile."


class AccessDenied(StorageError):
    """{0} refused the credentials: {1}"""

    exit_code = EXIT_UNREACHABLE
    next_step = "Check the access key or password and what its policy allows."


class ActionDenied(AccessDenied):
    """The object store denied {1} on {2} ({0}): the key needs the right {3}."""

    next_step = "Add it to the key's policy; the key itself was accepted."


class GrantMissing(AccessDenied):
    """The database denied the role {0} a right: {1}."""

    next_step = (
        "GRANT it (CONNECT on the database, USAGE on the schema, or the right on the table), or let the role "
        "own the table. Its password was accepted."
    )


class NoCredentials(ConfigError):
    """There are no credentials for the object store: {0}."""

    next_step = (
        "Set STORAGE_ACCESS_KEY and STORAGE_SECRET_KEY, or correct the profile or role: see "
        "docs/configuration.md, Credentials."
    )


class NotTrusted(StorageError):
    """{0} cannot be trusted: {1}. {2}"""

    exit_code = EXIT_UNREACHABLE


class PoolerInBetween(ConfigError):
    """The database URL leads to a connection pooler: {0}."""

    next_step = (
        "Locks and settings of a session do not hold there. Set STORAGE_DATABASE_URL (in Airflow the "
        "connection storage_db) to the database server itself, such as port 5432 instead of 6432."
    )


class RowsHidden(AccessDenied):
    """Row-level security of {0} hides rows from role {1}, or from the owner of the view it reads them by."""

    next_step = (
        "Nothing was decided without them. Give that role BYPASSRLS, or let it own the table and use "
        "ALTER TABLE ... NO FORCE ROW LEVEL SECURITY."
    )


class TransientFault(StorageError):
    """{0} failed temporarily: {1}"""

    transient = True


class NoRoom(StorageError):
    """{0} has no room left: {1}"""

    next_step = "Make room where it keeps its data, then run it again."


class LocksExhausted(StorageError):
    """The database cannot hold another lock: {0}"""

    next_step = (
        "Raise max_locks_per_transaction in its postgresql.conf and restart it: this step needs a lock for "
        "every table."
    )


class StatementRefused(StorageError):
    """The database refused a statement: {0}"""


class BucketMissing(StorageError):
    """There is no bucket {0!r}."""

    exit_code = EXIT_UNREACHABLE
    next_step = "Create it, or set STORAGE_BUCKET or STORAGE_MAINTENANCE_BUCKET."


class ObjectMissing(StorageError):
    """There is no object {0!r}."""


class PreconditionFailed(StorageError):
    """{0!r} is not in the state it was expected in."""


class StoreRefused(StorageError):
    """The object store refused {0!r}: {1}"""


class ListingBroken(StorageError):
    """The listing of bucket {0} cannot be relied on: {1}."""

    next_step = "Nothing was planned from it. Update the store, or remove the proxy in front of it."


class TempFolderUnsafe(Refused):
    """Refused by temp-folder: {0}"""


class FileGone(StorageError):
    """There is no file {0!r} in the temp folder."""


class FileInTheWay(StorageError):
    """Another file already exists at {0!r} in the temp folder."""


class FileFault(StorageError):
    """The temp folder refused {0!r}: {1}"""


class MachineFault(StorageError):
    """This machine failed: {0}."""

    next_step = "Check its disk and memory; finished batches stay finished, run it again."


class JobBusy(StorageError):
    """Another process is applying {0} right now."""

    transient = True
    next_step = "Wait for it to end, or see `storage runs`."


class LockLost(StorageError):
    """The lock of {0} was lost with its database connection."""

    transient = True
    next_step = "Run it again; finished batches are not repeated."


# --- the run --------------------------------------------------------------------------------------
class TooManyFailures(StorageError):
    """Stopped after {0} failures ({1} actions tried); the first: {2}"""

    next_step = "Finished batches stay finished; fix the cause and run again."


class ActionsFailed(StorageError):
    """{0} of {1} actions failed; the first: {2}"""

    next_step = "See `storage runs RUN`; a later run tries the failed actions again."


class VerificationFailed(StorageError):
    """Verification: {0} of {1} sampled actions are not in effect; the first: {2}"""

    next_step = "See `storage runs RUN`; do not trust this run's numbers until it is explained."


class ColdSettingWrong(StorageError):
    """{0}: {1}."""

    exit_code = EXIT_USAGE
    next_step = "Correct the setting, or unset it to use the defaults. See README, Cold data."
