"""Approvals of what has no run: a change of lifecycle rules, a restore."""

from __future__ import annotations

from storage.core.errors import Refused
from storage.core.ports import EngineStores
from storage.core.records import Question


def ask(request: str, task: str, what: str, stores: EngineStores) -> None:
    """Record that the task asks an operator about ``what``. Raises Refused if it was rejected before."""
    _not_rejected(stores.audit.ask(request, task, what))


def approved(request: str, stores: EngineStores) -> Question:
    """Return what was asked last for the request, if an operator approved it. Raises Refused."""
    question = stores.audit.question(request)
    if question is None or question.approved is None:
        raise Refused("approval", f"nobody has approved it in {request}. Trigger the DAG again and answer.")
    return _not_rejected(question)


def _not_rejected(question: Question) -> Question:
    if question.approved is False:
        at = f", {question.at:%Y-%m-%d %H:%M} UTC" if question.at else ""
        raise Refused("approval", f"it was rejected by {question.by}{at}. Start a new run to ask again.")
    return question
