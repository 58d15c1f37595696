"""Airflow tasks of lifecycle rules: plan, approve, apply, check."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, TriggerRule, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from storage_airflow.approval import ANSWER_WITHIN
from storage_airflow.connections import opened, settings
from storage_airflow.runtime import cancellable

POOL = "storage_objects"
APPROVED = "lifecycle_approved"  # the control value that holds the SHA-256 of the approved plan
ON_REQUEST = ("delete-temp-files", "delete-failed-jobs", "archive-old-jobs")


def apply_param() -> Param:
    return Param(
        False,
        type="boolean",
        description="Apply the differences after an operator's approval. Off: only report drift.",
    )


def rules_param(description: str) -> Param:
    """Return a field that lists the rules that are applied on request only."""
    return Param(
        [], type="array", items={"type": "string", "enum": list(ON_REQUEST)}, description=description
    )


def mend_on_request() -> Any:
    """Define the tasks plan, approve and apply, skipped unless the form asks for them; return apply."""

    @task(task_id="plan", pool=POOL)
    def plan_it() -> dict[str, Any]:
        if not get_current_context()["params"]["apply"]:
            raise AirflowSkipException("Skipped: the form field apply is off, so drift is only reported.")
        return _plan()

    @task(task_id="apply", pool=POOL)
    def apply_it(planned: dict[str, Any]) -> dict[str, Any]:
        return _apply(planned["sha256"])

    planned = plan_it()
    approve = ApproveRules(
        task_id="approve",
        subject="Change the bucket's lifecycle rules?",
        body="{{ ti.xcom_pull(task_ids='plan')['explained'] }}",
        defaults="Reject",
        fail_on_reject=True,
        response_timeout=ANSWER_WITHIN,
    )
    applied = apply_it(planned)
    planned >> approve >> applied
    return applied


class ApproveRules(ApprovalOperator):
    """Operator that asks about every change and records the approved plan; apply accepts no other."""

    def execute(self, context: Any) -> Any:
        planned = context["ti"].xcom_pull(task_ids="plan")
        if not planned["changes"]:
            raise AirflowSkipException("Nothing to approve: the bucket's rules are the declared ones.")
        context["ti"].xcom_push(key="asked", value=planned["sha256"])
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        answer = super().execute_complete(context, event)
        # Approve the plan that was shown, not one made since.
        asked = context["ti"].xcom_pull(task_ids=self.task_id, key="asked")
        user = (event.get("responded_by_user") or {}).get("name", "unknown")
        with opened() as stores:
            stores.control.write(APPROVED, f"{asked} {user} (Airflow)")
            stores.audit.record("lifecycle-approve", "", {"sha256": asked, "by": f"{user} (Airflow)"})
        return answer


def _plan() -> dict[str, Any]:
    from storage.cli import lifecycle as commands_lifecycle
    from storage.lifecycle.apply import plan
    from storage.lifecycle.connect import lifecycle
    from storage.lifecycle.errors import RulesRefused

    params = get_current_context()["params"]
    with cancellable(), lifecycle(settings()) as manager:
        made = plan(manager, params["with_rules"], params["without_rules"])
        commands_lifecycle.tell(manager, made, as_json=False)
    if made.findings:
        raise RulesRefused("; ".join(map(str, made.findings)))
    lines = [f"- **{change.verb}** `{change.id}`" for change in made.changes]
    warning = "**Some of these rules delete objects outside the engine.**\n\n" if made.deletes else ""
    explained = (
        f"Bucket `{made.bucket}`:\n\n"
        + "\n".join(lines)
        + f"\n\n{warning}The log of the task *plan* lists the "
        f"objects they would affect. SHA-256 `{made.sha256}`. Rejected if unanswered for 20 hours."
    )
    return {
        "sha256": made.sha256,
        "changes": len(made.changes),
        "deletes": made.deletes,
        "explained": explained,
    }


def _apply(sha256: str) -> dict[str, Any]:
    from storage.cli import output_lifecycle as shows
    from storage.lifecycle.apply import apply, plan
    from storage.lifecycle.connect import lifecycle
    from storage.lifecycle.errors import LifecycleNotApproved

    params = get_current_context()["params"]
    with cancellable(), lifecycle(settings()) as manager:
        agreed, _, who = (manager.stores.control.read(APPROVED) or "").partition(" ")
        if agreed != sha256:
            raise LifecycleNotApproved(f"the plan {sha256} was not approved")
        made = plan(manager, params["with_rules"], params["without_rules"])
        done = apply(manager, made, who, agreed)
        manager.stores.control.write(APPROVED, None)
        shows.show_applied(done, {rule.id: rule for rule in manager.declared()})
    return {"version": done.number, "changed": list(done.changed), "left_out": sorted(done.left_out)}


def check_drift() -> Any:
    """Return the task that fails if the bucket's rules are not the declared ones; its log shows the table."""

    @task(task_id="check", pool=POOL, trigger_rule=TriggerRule.NONE_FAILED)
    def check() -> None:
        from storage.cli import lifecycle as commands_lifecycle
        from storage.lifecycle.connect import lifecycle

        with cancellable(), lifecycle(settings()) as manager:
            commands_lifecycle.drift(manager)

    return check()
