"""Questions to an operator: whether to apply a plan that exceeded a limit, or to do what has no run."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from storage.engine.approvals import ask
from storage_airflow.connections import opened
from storage_airflow.runtime import cancellable

if TYPE_CHECKING:
    from storage.core.model import Run
    from storage.installation import Installation

ANSWER_WITHIN = timedelta(hours=20)  # an unanswered approval is a rejection
#: Arguments of every question.
STRICT: dict[str, Any] = {
    "defaults": "Reject",
    "fail_on_reject": True,
    "response_timeout": ANSWER_WITHIN,
}


def approval(name: str) -> ApprovePlan:
    """Return the approval task between a job's plan task and its apply task."""
    return ApprovePlan(
        task_id="approve",
        plan_task=f"{name}.plan",
        job=name,
        subject=f"{name}: apply a plan beyond its limits?",
        **STRICT,
    )


def request_of(context: Any) -> str:
    """Return the name under which the audit trail keeps what this DAG run asks."""
    return f"{context['dag_run'].dag_id}-{context['dag_run'].run_id}"


def explained(run: Run) -> str:
    """Describe a plan for the operator who is asked to approve it."""
    return (
        f"**{run.message or 'No limit was exceeded.'}**\n\n{run.planned.count:,} actions on "
        f"{run.planned.bytes:,} bytes, of {run.considered.count:,} considered.\n\n"
        f"Plan `{run.plan_uri}`, SHA-256 `{run.plan_sha256}`. "
        f"Read it with `storage runs {run.id}`. Rejected if unanswered for 20 hours."
    )


class Approve(ApprovalOperator):
    """Question whose answer is recorded in the platform's database before Airflow acts on it."""

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        if "error" not in event:  # else Airflow could not ask: that is no answer
            user = event.get("responded_by_user") or {}
            by = f"{user.get('name', 'unknown')} (Airflow)" if user else "nobody's answer within 20 hours"
            with opened() as stores:
                self.answered(context, stores, event.get("chosen_options") == [self.APPROVE], by)
        return super().execute_complete(context, event)

    @abstractmethod
    def answered(self, context: Any, stores: Installation, approved: bool, by: str) -> None:
        """Record the answer to what this task asked. Raises Refused if it asked nothing."""


class ApproveRequest(Approve):
    """Ask about what ``question`` finds out; what is approved is what the audit trail recorded then.

    ``question`` takes the context and returns what is asked, as text that the acting task compares, and its
    description; no XCom decides it. A rejection is final for the DAG run. A cleared task asks again.
    """

    def __init__(self, *, question: Callable[[Any], tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.question = question

    def execute(self, context: Any) -> Any:
        with cancellable():
            what, self.body = self.question(context)
            with opened() as stores:
                ask(request_of(context), str(context["ti"].id), what, stores)
        return super().execute(context)

    def answered(self, context: Any, stores: Installation, approved: bool, by: str) -> None:
        stores.audit.answer(request_of(context), str(context["ti"].id), approved, by)


class ApprovePlan(Approve):
    """Ask only if a limit was exceeded, and record the answer in the run.

    What is shown and approved is the plan as the database has it: whoever may write XComs cannot have one
    plan shown and another approved. A rejection is final, by an operator or by nobody's answer.
    """

    def __init__(self, *, plan_task: str, job: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan_task, self.job = plan_task, job

    def execute(self, context: Any) -> Any:
        planned = context["ti"].xcom_pull(task_ids=self.plan_task)
        with opened() as stores:
            run = stores.runs.get(planned["run"])
            own = re.escape(f"{self.job}-{context['dag_run'].run_id}")
            if run is None or not re.fullmatch(rf"{own}(-\d+)?", run.id):
                raise AirflowFailException(f"{planned['run']} is not a run of {self.job} in this DAG run.")
            if run.state != "waiting" or planned["dry_run"]:
                raise AirflowSkipException("Nothing to approve: no limit was exceeded, or this is a dry run.")
            stores.runs.ask(run.id, run.plan_sha256, str(context["ti"].id))
        self.body = explained(run)
        return super().execute(context)

    def answered(self, context: Any, stores: Installation, approved: bool, by: str) -> None:
        asked = stores.runs.asked(str(context["ti"].id))
        if asked is None:
            raise AirflowFailException("This task asked about no plan. Run the task plan again.")
        decide = stores.runs.approve if approved else stores.runs.reject
        decide(*asked, by)
