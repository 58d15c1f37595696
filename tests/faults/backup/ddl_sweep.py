"""TRUNCATE, rewriting ALTER, REFRESH, CREATE and DROP TABLE by another session while a backup is taken.

Each change is one transaction. It raises a number, and writes it into what it changes and into a history. So
a restored database shows up to which transaction it has everything: a state that the database really had.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import psycopg2.errors

from storage.backup.context import BackupContext
from storage.backup.database import backup_database
from storage.backup.postgres import table_locks
from storage.backup.prove import prove
from storage.backup.restore.database import restore
from storage.core.errors import StorageError
from storage.core.settings import Settings
from storage.installation import open_installation
from tests.faults import injected
from tests.faults.effects import Effect, Injector, Kind
from tests.faults.injected import ChildReport
from tests.faults.transports import watch_programs
from tests.support.backup_databases import execute, session

TIMEOUT = 90.0  # seconds a backup may take before it counts as hung
ROWS = 50
PG_DUMP = "pg_dump"
#: The changes, of the number of their transaction; ``drop`` drops the oldest of the created tables.
CHANGES = {
    "truncate": "TRUNCATE ddl_emptied; "
    "INSERT INTO ddl_emptied SELECT {n}, g FROM generate_series(1, {rows}) AS g",
    "rewrite": "ALTER TABLE ddl_rewritten ALTER COLUMN n TYPE numeric; UPDATE ddl_rewritten SET n = {n}; "
    "ALTER TABLE ddl_rewritten ALTER COLUMN n TYPE bigint",
    "refresh": "REFRESH MATERIALIZED VIEW ddl_seen",
    "create": "CREATE TABLE ddl_made_{n} AS SELECT {n} AS n, g FROM generate_series(1, {rows}) AS g",
    "drop": "DROP TABLE ddl_made_{oldest}",
}
_FILLED = "AS SELECT 0::bigint AS n, g FROM generate_series(1, {rows}) AS g"
LAID = (
    "DROP MATERIALIZED VIEW IF EXISTS ddl_seen",
    "DO $$ DECLARE name regclass; BEGIN FOR name IN SELECT oid FROM pg_class WHERE relname LIKE 'ddl\\_%'"
    " AND relkind = 'r' LOOP EXECUTE format('DROP TABLE %s', name); END LOOP; END $$",
    "CREATE TABLE ddl_clock AS SELECT 0::bigint AS n",
    "CREATE TABLE ddl_history (n bigint, change text)",
    "CREATE TABLE ddl_tries (change text)",
    *(f"CREATE TABLE ddl_{name} {_FILLED}" for name in ("emptied", "rewritten", "made_0")),
    "CREATE MATERIALIZED VIEW ddl_seen AS SELECT n, count(*) FROM ddl_emptied GROUP BY n",
)
Content = dict[str, list[tuple[int, int]]]  # of each table: its numbers, each with its rows


@dataclass(frozen=True)
class Moment:
    """When the other session acts, and in which order.

    ``before`` an effect of the backup; ``connected``: once pg_dump, which that effect starts, has a session;
    or ``after`` some seconds. ``patience``: how long it waits for a lock.
    """

    when: Literal["before", "connected", "after"]
    order: tuple[str, ...]
    effect: Effect | None = None
    seconds: float = 0.0
    patience: str = "50ms"

    def __str__(self) -> str:
        at = f"{self.seconds:.3f} s" if self.effect is None else str(self.effect)
        return f"{self.when} {at}: {', '.join(self.order)}"


@dataclass
class Report:
    """What became of the backups: proven, or failed with an error; and of the changes."""

    proven: int = 0
    failed: int = 0
    committed: int = 0
    waited: int = 0  # changes given up, because a lock was not to be had
    lost: int = 0  # backups with violations
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.proven} backups proven, {self.failed} failed; of the changes {self.committed} committed, "
            f"{self.waited} gave up waiting; {len(self.violations)} violations"
        )


# --- the other session ------------------------------------------------------------------------------
def change(url: str, order: Sequence[str], patience: str) -> None:
    """Make the changes, each in a transaction of its own; leave out what has to wait too long."""
    with session(url) as other, other.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{patience}'")
        for name in order:
            cursor.execute("INSERT INTO ddl_tries VALUES (%s)", (name,))
            cursor.execute("SELECT n + 1 FROM ddl_clock")
            (n,) = cursor.fetchone() or (0,)
            cursor.execute(
                "SELECT min(substring(relname, 10)::int) FROM pg_class WHERE relname LIKE 'ddl\\_made\\_%'"
            )
            (oldest,) = cursor.fetchone() or (None,)
            does = CHANGES[name].format(n=n, rows=ROWS, oldest=oldest)
            entered = f"UPDATE ddl_clock SET n = {n}; INSERT INTO ddl_history VALUES ({n}, '{name}')"
            try:
                cursor.execute(f"BEGIN; {does}; {entered}; COMMIT")
            except (psycopg2.errors.LockNotAvailable, psycopg2.errors.DeadlockDetected):
                cursor.execute("ROLLBACK")


def expected(history: Sequence[tuple[int, str]]) -> Content:
    """Return what the tables hold after these transactions."""
    last, made = {"truncate": 0, "rewrite": 0}, [0]
    for n, name in history:
        last |= {name: n} if name in last else {}
        made += [n] if name == "create" else []
        made = made[1:] if name == "drop" else made
    numbers = {
        "ddl_emptied": last["truncate"],
        "ddl_rewritten": last["rewrite"],
        "ddl_seen": last["truncate"],
    }
    numbers |= {f"ddl_made_{n}": n for n in made}
    return {"ddl_clock": [(len(history), 1)], **{name: [(n, ROWS)] for name, n in numbers.items()}}


def content(url: str) -> Content:
    """Return what the tables hold."""
    names = execute(
        url,
        "SELECT relname FROM pg_class WHERE relname LIKE 'ddl\\_%' AND relkind = 'r'"
        " AND relname NOT IN ('ddl_history', 'ddl_tries')",
    )
    found = {
        str(name): execute(url, f"SELECT n, count(*) FROM {name} GROUP BY n ORDER BY n") for (name,) in names
    }
    return {**found, "ddl_seen": execute(url, "SELECT n, count FROM ddl_seen")}  # type: ignore[dict-item]


def history(url: str) -> list[tuple[int, str]]:
    """Return the transactions that a database has."""
    return execute(url, "SELECT n, change FROM ddl_history ORDER BY n")  # type: ignore[return-value]


# --- one backup -------------------------------------------------------------------------------------
def _taken(settings: Settings, moment: Moment | None) -> ChildReport:
    """Take a backup in a child, with the changes at that moment."""

    def does(injector: Injector) -> None:
        table_locks.PAUSE = 0.0
        watch_programs(injector)
        with injected.watched(injector, settings) as stores, _beside(injector, settings.database_url, moment):
            backup_database(BackupContext(stores=stores, settings=settings))

    names = {settings.backup_bucket: "VAULT", settings.bucket: "BUCKET"}
    return injected.child(does, names, TIMEOUT)


@contextmanager
def _beside(injector: Injector, url: str, moment: Moment | None) -> Iterator[None]:
    if moment is None:
        yield
    elif moment.when == "after":
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(_later, url, moment)
            yield
        other.result()
    else:
        injector.observer = _at(url, moment)
        yield


def _later(url: str, moment: Moment) -> None:
    threading.Event().wait(moment.seconds)  # time.sleep is shortened in the child
    change(url, moment.order, moment.patience)


def _at(url: str, moment: Moment) -> Callable[[Kind, str, Callable[[], Any]], Any]:
    """Return an observer that makes the changes at the moment's effect."""
    counts: Counter[tuple[str, str]] = Counter()

    def observer(kind: Kind, what: str, run: Callable[[], Any]) -> Any:
        counts[kind, what] += 1
        here = Effect(kind, what, counts[kind, what]) == moment.effect
        if here and moment.when == "before":
            change(url, moment.order, moment.patience)
        answer = run()
        if here and moment.when == "connected":
            _await_session(url, answer)
            change(url, moment.order, moment.patience)
        return answer

    return observer


def _await_session(url: str, program: Any) -> None:
    there = (
        f"SELECT FROM pg_stat_activity WHERE application_name = '{PG_DUMP}' AND datname = current_database()"
    )
    with session(url) as other, other.cursor() as cursor:
        while program.poll() is None:
            cursor.execute(there)
            if cursor.rowcount:
                return


# --- the sweep --------------------------------------------------------------------------------------
def moments(settings: Settings, instants: int, seed: int) -> list[Moment]:
    """Return every effect up to the start of pg_dump, its connection, and so many random instants."""
    chance = random.Random(seed)
    lay(settings.database_url)
    began = time.monotonic()
    answer = _taken(settings, None)
    took = time.monotonic() - began
    assert not answer.error, f"a backup that nobody disturbs: {answer.error}"
    start = next(n for n, one in enumerate(answer.log) if (one.kind, one.what) == ("program", PG_DUMP))
    found = [Moment("before", _order(chance), effect) for effect in answer.log[: start + 1]]
    found.append(Moment("connected", _order(chance), answer.log[start]))
    for _ in range(instants):
        patience = chance.choice(("5ms", "200ms", "2s"))
        found.append(Moment("after", _order(chance), seconds=chance.uniform(0, took), patience=patience))
    return found


def sample(every: Sequence[Moment], seed: int) -> list[Moment]:
    """Return the random instants, and an effect before, among and after the locks on the tables."""
    chance = random.Random(seed)
    effects = [one for one in every if one.effect is not None]
    locks = [n for n, one in enumerate(effects) if "LOCK TABLE" in str(one.effect)]
    parts = effects[: locks[0]], effects[locks[0] : locks[-1] + 1], effects[locks[-1] + 1 :]
    return [*(chance.choice(part) for part in parts), *(one for one in every if one.effect is None)]


def _order(chance: random.Random) -> tuple[str, ...]:
    return tuple(chance.sample(list(CHANGES), len(CHANGES)))


def lay(url: str) -> None:
    """Make the tables anew."""
    execute(url, *(statement.format(rows=ROWS) if "{rows}" in statement else statement for statement in LAID))


def run(settings: Settings, moment: Moment, report: Report) -> None:
    """Take a backup with the changes at that moment; if it is proven, restore it and compare."""
    url = settings.database_url
    lay(url)
    with open_installation(settings) as stores:
        before = {backup.id for backup in stores.catalogue.all()}
        answer = _taken(settings, moment)
        tried, committed = len(execute(url, "SELECT change FROM ddl_tries")), len(history(url))
        report.committed += committed
        report.waited += tried - committed
        context = BackupContext(stores=stores, settings=settings)
        new = [backup for backup in stores.catalogue.all() if backup.id not in before]
        complete = [backup.id for backup in new if backup.state == "complete"]
        if answer.error:
            report.failed += 1
            wrong = ["it failed, and counts as complete"] if complete else []
            wrong += [f"an error that is not ours: {answer.error}"] if answer.foreign else []
        else:
            wrong = [one for id in complete for one in _compared(context, id)]
            wrong += [] if len(complete) == 1 else [f"no error, and {len(complete)} complete backups"]
            report.proven += not wrong
        wrong += ["the moment never came"] if not tried else []
    report.lost += bool(wrong)
    report.violations += [f"{moment}: {one}" for one in wrong]


def _compared(context: BackupContext, id: Any) -> Iterator[str]:
    """Prove and restore the backup; yield how it differs from every state that the database had."""
    url = context.settings.database_url
    try:
        prove(context, id)
        restored = restore(context.settings, context.stores.backup_bucket, id)
    except StorageError as error:
        yield f"not proven: {error}"
        return
    try:
        had, has = history(url), history(restored.url)
        if has != had[: len(has)]:
            yield f"its transactions are {has}, those of the database {had}"
        if (found := content(restored.url)) != expected(has):
            yield f"after {has} it holds {found}, not {expected(has)}"
    finally:
        execute(url, f'DROP DATABASE "{restored.database}" WITH (FORCE)')
