"""The only module that knows Airflow and the storage package. It translates, and only translates:
connections to stores, a run's dates to an as-of, a form's values to parameters, errors to retries."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.exceptions import HITLRejectException
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import CronTriggerTimetable, Param, TriggerRule, get_current_context, task, task_group
from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule
from airflow.sdk.exceptions import AirflowSkipException

from storage import backup_errors, catalog, cold_errors, errors
from storage.engine.job import Parameter
from storage.errors import StorageError

if TYPE_CHECKING:
    from storage.model import Run
    from storage.ports import Stores
    from storage.settings import Settings

S3_CONNECTION, DB_CONNECTION = "storage_s3", "storage_db"
ANSWER_WITHIN = timedelta(hours=20)  # an unanswered approval is a rejection

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


def number(job: str, name: str, help: str = "") -> Param:
    """A form field for a maintenance job's parameter, with its default, bounds and help."""
    fields = {one.name: one for one in (*catalog.get(job).parameters, catalog.MAX_OBJECTS)}
    one = fields[name]
    assert isinstance(one, Parameter)
    return Param(
        one.default, type="number", minimum=one.floor, maximum=one.ceiling, description=help or one.help
    )


def dry_run() -> Param:
    """A drop-down in the form; by REST and in schedules null, true or false."""
    return Param(
        None,
        type=["null", "string", "boolean"],
        enum=[None, "only plan", "act", True, False],
        values_display={"null": "by default", "true": "true (only plan)", "false": "false (act)"},
        description="By default a scheduled run acts and a manual run only plans.",
    )


def schedule(name: str, default: str) -> CronTriggerTimetable:
    """A DAG's timetable: the cron line of the environment, else the default, in UTC.

    Without ``run_immediately`` a DAG unpaused within a tenth of its period after a missed run would make
    up for it at once: a clean-up that nobody expects.
    """
    return CronTriggerTimetable(os.environ.get(name, default), timezone="UTC", run_immediately=timedelta(0))


def maintain(name: str, **fields: str) -> Any:
    """The three tasks of a maintenance job: plan, approve, apply.

    ``fields`` says which form field each of its parameters is read from: ``hours_old="temp_hours_old"``.
    """
    pool = f"storage_{catalog.get(name).resource}"

    @task_group(group_id=name, tooltip=catalog.get(name).title)
    def job() -> None:
        @task(pool=pool)
        def plan() -> dict[str, Any]:
            return plan_of(name, fields)

        @task(pool=pool, trigger_rule=TriggerRule.NONE_FAILED)
        def apply(planned: dict[str, Any]) -> dict[str, Any]:
            return _apply(planned)

        planned = plan()
        planned >> approval(name) >> apply(planned)

    return job()


def approval(name: str) -> ApprovePlan:
    """The gate between a job's plan and what carries it out."""
    return ApprovePlan(
        task_id="approve",
        plan_task=f"{name}.plan",
        subject=f"{name}: apply a plan beyond its limits?",
        body="{{ ti.xcom_pull(task_ids='" + name + ".plan')['explained'] }}",
        defaults="Reject",
        fail_on_reject=True,
        response_timeout=ANSWER_WITHIN,
    )


class ApprovePlan(ApprovalOperator):
    """Asks only when a limit tripped, and writes an approval into the run's record: apply trusts no other."""

    def __init__(self, *, plan_task: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan_task = plan_task

    def execute(self, context: Any) -> Any:
        planned = context["ti"].xcom_pull(task_ids=self.plan_task)
        if planned["state"] != "waiting" or planned["dry_run"]:
            raise AirflowSkipException("No limit tripped, or a dry run: nothing to approve.")
        context["ti"].xcom_push(key="asked", value={name: planned[name] for name in ("run", "sha256")})
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        answer = super().execute_complete(context, event)
        asked = context["ti"].xcom_pull(task_ids=self.task_id, key="asked")  # not a plan made since
        user = event.get("responded_by_user") or {}
        with opened() as stores:
            stores.runs.approve(asked["run"], asked["sha256"], f"{user.get('name', 'unknown')} (Airflow)")
        return answer


def plan_of(name: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """Plan the job with the form's values; the plan's head, which is all that travels between tasks."""
    from storage import console
    from storage.engine import sweep
    from storage.engine.plan import read

    context = get_current_context()
    values = {own: context["params"][field] for own, field in fields.items()}
    dag_run = context["dag_run"]
    with cancellable(), opened() as stores:
        run = sweep.plan(
            catalog.get(name),
            stores,
            as_of(dag_run, stores.clock()),
            values,
            run_id=_run_id(f"{name}-{dag_run.run_id}", stores),
            requested_by=f"{dag_run.dag_id}, {dag_run.run_type.value} run",
        )
        console.show_run(run)
        console.show_actions(read(run, stores.plans))
    return _head(run, only_plans(context["params"].get("dry_run"), dag_run.run_type))


def _run_id(first: str, stores: Stores) -> str:
    """The run's id; a new one when the task was cleared after its first plan had been carried out."""
    names = (first, *(f"{first}-{number}" for number in range(2, 100)))
    return next(
        n for n in names if not (run := stores.runs.get(n)) or run.state not in ("verified", "failed")
    )


def _head(run: Run, dry: bool) -> dict[str, Any]:
    explained = (
        f"**{run.message or 'No limit tripped.'}**\n\n{run.planned.count:,} actions on "
        f"{run.planned.bytes:,} bytes, of {run.considered.count:,} considered.\n\n"
        f"Plan `{run.plan_uri}`, SHA-256 `{run.plan_sha256}`. "
        f"Read it with `storage runs {run.id}`. Unanswered for 20 hours it is rejected."
    )
    return {
        "run": run.id,
        "state": run.state,
        "dry_run": dry,
        "sha256": run.plan_sha256,
        "uri": run.plan_uri,
        "considered": run.considered.count,
        "planned": run.planned.count,
        "planned_bytes": run.planned.bytes,
        "explained": explained,
    }


def _apply(planned: Mapping[str, Any]) -> dict[str, Any]:
    from storage import console
    from storage.cleanup import result
    from storage.engine.apply import apply

    if planned["dry_run"]:
        return only_head(planned)
    with cancellable(), opened() as stores:
        run = apply(planned["run"], stores)
        console.show_run(run, stores.runs.details(run.id))
        return result(run, stores)


def only_head(planned: Mapping[str, Any]) -> dict[str, Any]:
    """What a dry run returns: its plan's head."""
    print(f"Dry run: {planned['planned']:,} actions planned, none done. {planned['uri']}")
    return dict(planned)


def probe() -> dict[str, Any]:
    """What the endpoint of the connections really does, stored; the test of both connections from the UI."""
    from dataclasses import asdict

    from storage import commands, console

    with cancellable():
        found, why = commands.probe_now(settings())
    console.show_facts("What this endpoint does", console.capability_facts(found))
    if why:
        print(f"Temp folder: {why}")
    return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(found).items()}


def only_plans(asked: str | bool | None, run_type: str) -> bool:
    """Whether a run only plans: as asked; by default a manual run plans and a scheduled run acts."""
    return run_type == "manual" if asked is None else asked not in (False, "act")


def as_of(dag_run: Any, clock: datetime) -> datetime:
    """The instant a run reasons about: never later than the clock; a repeated run can only do less."""
    named = getattr(dag_run, "data_interval_end", None) or getattr(dag_run, "partition_date", None)
    return min(named or dag_run.run_after, clock)


def settings() -> Settings:
    """Settings from the connections ``storage_s3`` (type aws) and ``storage_db`` (type postgres)."""
    from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    from storage.settings import Settings

    s3 = AwsBaseHook(aws_conn_id=S3_CONNECTION, client_type="s3").conn_config
    database = PostgresHook(postgres_conn_id=DB_CONNECTION).sqlalchemy_url
    extra = s3.extra_config
    names = (
        "bucket", "backup_bucket", "maintenance_bucket", "temp_dir", "public_endpoint_url",
        "backup_endpoint_url", "backup_access_key", "backup_secret_key",
        "backup_recipients", "backup_identity_file", "proof_server", "cold_rules", "tiers", "prices",
    )  # fmt: skip
    return Settings(
        endpoint_url=s3.endpoint_url or "https://s3.amazonaws.com",
        access_key=s3.aws_access_key_id or "",
        secret_key=s3.aws_secret_access_key or "",
        region=s3.region_name or "us-east-1",
        database_url=database.render_as_string(hide_password=False),
        **{name: extra[name] for name in names if extra.get(name)},
    )


@contextmanager
def opened() -> Iterator[Stores]:
    from storage import connect

    with connect.stores(settings()) as stores:
        yield stores


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
