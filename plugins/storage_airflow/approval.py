"""The approval of a plan that tripped a limit."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowSkipException

from storage_airflow.connections import opened

ANSWER_WITHIN = timedelta(hours=20)  # an unanswered approval is a rejection


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
