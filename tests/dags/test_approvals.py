"""Questions to an operator: asked, answered and acted on by what the database recorded, never by an XCom."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.exceptions import HITLRejectException
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowSkipException
from storage_airflow import approval, lifecycle, restore
from storage_airflow.approval import STRICT, ApproveRequest, request_of

from storage.backup.context import BackupContext
from storage.core.clock import utcnow
from storage.core.errors import PlanChanged, Refused
from storage.engine.approvals import approved
from storage.installation import Installation, open_installation
from tests.conftest import Place
from tests.support.plain_owner import context_of

pytestmark = pytest.mark.parametrize("place", ["ministack"], indirect=True)


@pytest.fixture
def stores(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """Open the stores, also for the tasks; what a question hands to Airflow's server is left out."""
    monkeypatch.setattr(approval, "opened", lambda: open_installation(place.settings))
    monkeypatch.setattr(lifecycle, "settings", lambda: place.settings)
    monkeypatch.setattr(ApprovalOperator, "execute", lambda self, context: "asked")
    with open_installation(place.settings) as opened:
        yield opened


def context(task: str = "try-1", **values: Any) -> dict[str, Any]:
    """Return what Airflow hands to a task; ``xcom`` is what any XCom is said to hold."""
    xcom = values.pop("xcom", None)
    ti = SimpleNamespace(id=task, xcom_pull=lambda **_: xcom)
    run = SimpleNamespace(dag_id="dag", run_id="manual__1")
    return {"ti": ti, "dag_run": run, "params": values}


def answer(choice: str, name: str = "ann") -> dict[str, Any]:
    user = {"responded_by_user": {"id": "1", "name": name} if name else None}
    return {"chosen_options": [choice], "params_input": {}, "responded_at": utcnow()} | user


def asking(what: str) -> ApproveRequest:
    return ApproveRequest(task_id="approve", subject="Do it?", question=lambda _: (what, "**it**"), **STRICT)


@pytest.mark.parametrize(("name", "by"), [("ann", "ann (Airflow)"), ("", "nobody's answer within 20 hours")])
def test_a_rejection_is_recorded_and_final(stores: Installation, name: str, by: str, place: Place) -> None:
    """Also the one that nobody gave: who and when is on record, and no later try or answer changes it."""
    here, task = context(), asking("plan 1")
    assert task.execute(here) == "asked"
    with pytest.raises(Refused, match="nobody has approved it in dag-manual__1"):
        approved(request_of(here), stores)
    with pytest.raises(HITLRejectException):
        task.execute_complete(here, answer("Reject", name))
    task.execute_complete(here, answer("Approve", "eve"))
    with pytest.raises(Refused, match=re.escape(f"rejected by {by}")):
        asking("plan 1").execute(context("try-2"))
    with pytest.raises(Refused, match="it was rejected by .*, 20.* UTC. Start a new run"):
        approved(request_of(here), stores)


def test_an_approval_is_of_what_was_asked(stores: Installation, place: Place) -> None:
    """A plan made since is another question, and an answer to the first does not approve it."""
    first, second = context("try-1"), context("try-2")
    asking("plan 1").execute(first)
    asking("plan 2").execute(second)
    asking("plan 2").execute_complete(first, answer("Approve"))
    with pytest.raises(Refused, match="nobody has approved it"):
        approved(request_of(first), stores)
    asking("plan 2").execute_complete(second, answer("Approve", "bob"))
    assert (approved(request_of(first), stores).what, approved(request_of(first), stores).by) == (
        "plan 2",
        "bob (Airflow)",
    )
    assert asking("plan 2").execute(context("try-3")) == "asked", "a cleared task asks again"
    with pytest.raises(Refused, match="nobody has approved it"):
        approved(request_of(first), stores)


def test_rules_are_approved_as_they_are_planned_now(
    stores: Installation, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forged XCom neither changes what is asked nor what is applied."""
    form = {"with_rules": ["delete-temp-files"], "without_rules": []}
    with pytest.raises(PlanChanged):
        lifecycle._question(context(xcom={"sha256": "0" * 64}, **form))
    monkeypatch.setattr(lifecycle, "get_current_context", lambda: context(**form))
    shown = lifecycle._plan()
    here = context(xcom=shown, **form)
    what, said = lifecycle._question(here)
    assert (what, "delete-temp-files" in said) == (shown["sha256"], True)
    monkeypatch.setattr(lifecycle, "get_current_context", lambda: here)
    with pytest.raises(Refused, match="nobody has approved it"):
        lifecycle._apply()
    asking("f" * 64).execute(here)
    asking("f" * 64).execute_complete(here, answer("Approve"))
    with pytest.raises(PlanChanged):
        lifecycle._apply()
    asking(what).execute(here | {"ti": SimpleNamespace(id="try-2")})
    asking(what).execute_complete(here | {"ti": SimpleNamespace(id="try-2")}, answer("Approve"))
    assert lifecycle._apply()["changed"]
    stores.control.write("paused", "by ann")
    with pytest.raises(AirflowSkipException, match="Maintenance is paused since"):
        lifecycle._plan()


def test_a_restore_is_of_the_approved_backup(stores: Installation, place: Place) -> None:
    """What the form says now is compared with what was approved, before anything is made."""
    with context_of(place, place.settings.database_url) as backups:
        _assert_only_the_approved_is_restored(backups, stores)


def _assert_only_the_approved_is_restored(backups: BackupContext, stores: Installation) -> None:
    from storage.backup.database import backup_database
    from storage.backup.prove import prove

    ids = [backup_database(backups).id for _ in range(2)]
    prove(backups, ids[0])
    form = {"backup": "latest", "into": restore.NEW, "confirm": None}
    what, said = restore._what_to_restore(backups, form, "latest")
    assert json.loads(what)["backup"] == ids[0]
    assert ids[0] in said
    here = context(**form)
    asking(what).execute(here)
    asking(what).execute_complete(here, answer("Approve"))
    for changed in ({"backup": ids[1]}, {"into": restore.LIVE, "confirm": json.loads(what)["live"]}):
        with pytest.raises(Refused, match="was approved, and would no longer be done"):
            restore._approved(backups, here | {"params": form | changed})
    prove(backups, ids[1])
    id, _, by = restore._approved(backups, here)
    assert (id, by) == (ids[0], "ann (Airflow)"), "not what is the latest by now"
