"""Runs as Airflow has them: defaults and retries, schedules, the as-of instant, and cancelling."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.standard.exceptions import HITLRejectException
from airflow.sdk import CronTriggerTimetable
from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule

from storage.backup import errors as backup_errors
from storage.cold import errors as cold_errors
from storage.core import errors
from storage.core.errors import StorageError

TRANSIENT = [
    one
    for module in (errors, backup_errors, cold_errors)
    for one in vars(module).values()
    if isinstance(one, type) and issubclass(one, StorageError) and one.transient
]


#: What passes by itself is tried again; what an operator must mend is not.
RETRIES = ExceptionRetryPolicy(
    rules=[
        *(
            RetryRule(exception=error, action=RetryAction.RETRY, retry_delay=timedelta(seconds=20))
            for error in TRANSIENT
        ),
        RetryRule(exception=HITLRejectException, action=RetryAction.FAIL),
        RetryRule(exception=StorageError, action=RetryAction.FAIL),
    ]
)


#: Every maintenance DAG. No start_date: unpausing a new one must not run a night that was missed.
DEFAULTS: dict[str, Any] = {
    "catchup": False,
    "max_active_runs": 1,
    "dagrun_timeout": timedelta(hours=22),
    "allowed_run_types": ["scheduled", "manual"],
    "default_args": {
        "owner": "transcode-flow",
        "retries": 3,
        "retry_delay": timedelta(minutes=5),
        "retry_policy": RETRIES,
        "execution_timeout": timedelta(hours=6),
    },
}


class Cancelled(BaseException):
    """Airflow asked the task to stop. No Exception, so that no handler mistakes it for a failure."""


def schedule(name: str, default: str) -> CronTriggerTimetable:
    """A DAG's timetable: the cron line of the environment, else the default, in UTC.

    Without ``run_immediately`` a DAG unpaused within a tenth of its period after a missed run would make
    up for it at once: a clean-up that nobody expects.
    """
    return CronTriggerTimetable(os.environ.get(name, default), timezone="UTC", run_immediately=timedelta(0))


def only_plans(asked: str | bool | None, run_type: str) -> bool:
    """Whether a run only plans: as asked; by default a manual run plans and a scheduled run acts."""
    return run_type == "manual" if asked is None else asked not in (False, "act")


def as_of(dag_run: Any, clock: datetime) -> datetime:
    """The instant a run reasons about: never later than the clock; a repeated run can only do less."""
    named = getattr(dag_run, "data_interval_end", None) or getattr(dag_run, "partition_date", None)
    return min(named or dag_run.run_after, clock)


@contextmanager
def cancellable() -> Iterator[None]:
    """Let a cancelled task unwind: by itself Airflow's SIGTERM runs no ``finally``, and kills 5 s later."""

    def stop(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would cut the unwinding short
        raise Cancelled("cancelled by Airflow")

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
