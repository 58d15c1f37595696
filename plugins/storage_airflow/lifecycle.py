"""Airflow tasks of lifecycle rules: plan, approve, apply, check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param, TriggerRule, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from storage.engine.approvals import approved
from storage_airflow.approval import STRICT, ApproveRequest, request_of
from storage_airflow.connections import settings
from storage_airflow.runtime import cancellable

if TYPE_CHECKING:
    from storage.lifecycle.apply import Lifecycle
    from storage.lifecycle.plan import Plan

POOL = "storage_objects"
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
    def apply_it() -> dict[str, Any]:
        return _apply()

    planned = plan_it()
    approve = ApproveRequest(
        task_id="approve", subject="Change the bucket's lifecycle rules?", question=_question, **STRICT
    )
    applied = apply_it()
    planned >> approve >> applied
    return applied


def _question(context: Any) -> tuple[str, str]:
    """Ask about the plan as it is now, if it is the one whose effects the task plan has shown."""
    from storage.core.errors import PlanChanged
    from storage.lifecycle.connect import lifecycle

    with lifecycle(settings()) as manager:
        made = _planned(manager, context["params"])
    shown = context["ti"].xcom_pull(task_ids="plan")["sha256"]
    if shown != made.sha256:
        raise PlanChanged(f"for the lifecycle rules of {made.bucket}", made.sha256, shown)
    if not made.changes:
        raise AirflowSkipException("Nothing to approve: the bucket's rules are the declared ones.")
    return made.sha256, _explained(made)


def _planned(manager: Lifecycle, params: Mapping[str, Any]) -> Plan:
    """Plan what the form asks for."""
    from storage.lifecycle.apply import plan

    return plan(manager, params["with_rules"], params["without_rules"])


def _plan() -> dict[str, Any]:
    from storage.cli import lifecycle as commands_lifecycle
    from storage.engine import guard
    from storage.lifecycle.connect import lifecycle
    from storage.lifecycle.errors import RulesRefused

    with cancellable(), lifecycle(settings()) as manager:
        guard.running(manager.stores)  # or an operator would approve what cannot be applied
        made = _planned(manager, get_current_context()["params"])
        commands_lifecycle.tell(manager, made, as_json=False)
    if made.findings:
        raise RulesRefused("; ".join(map(str, made.findings)))
    return {"sha256": made.sha256, "changes": len(made.changes), "deletes": made.deletes}


def _explained(made: Plan) -> str:
    lines = [f"- **{change.verb}** `{change.id}`" for change in made.changes]
    warning = "**Some of these rules delete objects outside the engine.**\n\n" if made.deletes else ""
    return (
        f"Bucket `{made.bucket}`:\n\n"
        + "\n".join(lines)
        + f"\n\n{warning}The log of the task *plan* lists the "
        f"objects they would affect. SHA-256 `{made.sha256}`. Rejected if unanswered for 20 hours."
    )


def _apply() -> dict[str, Any]:
    from storage.cli import output_lifecycle as shows
    from storage.lifecycle.apply import apply
    from storage.lifecycle.connect import lifecycle

    context = get_current_context()
    with cancellable(), lifecycle(settings()) as manager:
        answer = approved(request_of(context), manager.stores)
        done = apply(manager, _planned(manager, context["params"]), answer.by, answer.what)
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
