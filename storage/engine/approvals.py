"""Approvals of what has no run: a change of lifecycle rules, a restore."""

from __future__ import annotations

from storage.core.errors import Refused
from storage.core.ports import EngineStores
from storage.core.records import Question


def approved(request: str, stores: EngineStores) -> Question:
    """Return what was asked last for the request, if an operator approved it. Raises Refused."""
    question = stores.audit.question(request)
    if question is None or question.approved is None:
        raise Refused("approval", f"nobody has approved it in {request}. Run it again and answer.")
    if not question.approved:
        at = f", {question.at:%Y-%m-%d %H:%M} UTC" if question.at else ""
        raise Refused("approval", f"it was rejected by {question.by}{at}. Start a new run to ask again.")
    return question
