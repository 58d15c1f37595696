"""Approval of a plan that exceeded a limit."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowSkipException

from storage_airflow.connections import opened

ANSWER_WITHIN = timedelta(hours=20)  # an unanswered approval is a rejection


def approval(name: str) -> ApprovePlan:
    """Return the approval task between a job's plan task and its apply task."""
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
    """Ask only if a limit was exceeded and record the approval in the run. Apply trusts no other."""

    def __init__(self, *, plan_task: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan_task = plan_task

    def execute(self, context: Any) -> Any:
        planned = context["ti"].xcom_pull(task_ids=self.plan_task)
        if planned["state"] != "waiting" or planned["dry_run"]:
            raise AirflowSkipException("Nothing to approve: no limit was exceeded, or this is a dry run.")
        context["ti"].xcom_push(key="asked", value={name: planned[name] for name in ("run", "sha256")})
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        answer = super().execute_complete(context, event)
        # Approve the plan that was shown, not one made since.
        asked = context["ti"].xcom_pull(task_ids=self.task_id, key="asked")
        user = event.get("responded_by_user") or {}
        with opened() as stores:
            stores.runs.approve(asked["run"], asked["sha256"], f"{user.get('name', 'unknown')} (Airflow)")
        return answer
