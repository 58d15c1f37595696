"""Airflow run behaviour: defaults, retries, schedules, the as-of instant and cancellation."""

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
from airflow.sdk.exceptions import AirflowSkipException

from storage import catalog  # noqa: F401 - declares the errors of every capability that has a job
from storage.core.errors import Paused, StorageError


def _kinds(of: type[StorageError] = StorageError) -> Iterator[type[StorageError]]:
    """Yield every class of errors that the catalogued jobs declare."""
    for kind in of.__subclasses__():
        yield kind
        yield from _kinds(kind)


TRANSIENT = [kind for kind in _kinds() if kind.transient]

#: Transient errors are retried; errors that an operator must fix are not.
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


#: Arguments of every maintenance DAG. No start_date: unpausing a new DAG must not run a missed schedule.
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
    """Cancellation by Airflow. A BaseException, so that no error handler mistakes it for a failure."""


def schedule(name: str, default: str) -> CronTriggerTimetable:
    """Return a DAG's timetable: the cron expression from the environment, else the default, in UTC.

    Without ``run_immediately`` a DAG unpaused within a tenth of its period after a missed run would run at
    once: an unexpected clean-up.
    """
    return CronTriggerTimetable(os.environ.get(name, default), timezone="UTC", run_immediately=timedelta(0))


def only_plans(asked: str | bool | None, run_type: str) -> bool:
    """Return True if a run only plans: as asked; by default a manual run plans and a scheduled run acts."""
    return run_type == "manual" if asked is None else asked not in (False, "act")


def as_of(dag_run: Any, clock: datetime) -> datetime:
    """Return the run's as-of instant: never later than the clock, so that a repeated run can only do less."""
    named = getattr(dag_run, "data_interval_end", None) or getattr(dag_run, "partition_date", None)
    return min(named or dag_run.run_after, clock)


@contextmanager
def cancellable() -> Iterator[None]:
    """Let a task be stopped from outside: a cancel unwinds it, a pause of all maintenance skips it.

    Airflow's SIGTERM by itself runs no ``finally``, and kills 5 s later. A pause is an operator's decision
    and no failure; the skipped task says since when and by whom, and what its run had done stays done.
    """

    def stop(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second SIGTERM would interrupt the unwinding
        raise Cancelled("cancelled by Airflow")

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except Paused as pause:
        raise AirflowSkipException(f"Skipped. {pause}") from None
    finally:
        signal.signal(signal.SIGTERM, previous)
