"""The layer between Airflow and the platform, as plain Python: dry runs, the as-of, retries, form fields."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.exceptions import HITLRejectException
from airflow.sdk.definitions.retry_policy import RetryAction
from airflow.sdk.exceptions import AirflowSkipException, ParamValidationError
from storage_airflow.forms import choices, dry_run, number
from storage_airflow.runtime import RETRIES, Cancelled, as_of, cancellable, only_plans

from storage import catalog
from storage.core import errors
from storage.core.records import Pause
from storage.core.tiers import CLASSES
from storage.engine.job import Parameter

NOW = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DESTRUCTIVE = ("storage_cleanup", "storage_reap", "storage_temp_after_jobs", "cold_storage")


@pytest.mark.parametrize(
    ("asked", "run_type", "only"),
    [
        (None, "manual", True),
        (None, "scheduled", False),
        (True, "manual", True),
        (True, "scheduled", True),
        (False, "manual", False),
        (False, "scheduled", False),
        ("only plan", "scheduled", True),
        ("act", "manual", False),
    ],
)
def test_a_manual_run_only_plans_unless_asked_otherwise(
    asked: str | bool | None, run_type: str, only: bool
) -> None:
    assert only_plans(asked, run_type) is only


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (SimpleNamespace(run_after=NOW), NOW),
        (SimpleNamespace(run_after=NOW + HOUR), NOW),
        (SimpleNamespace(run_after=NOW - HOUR), NOW - HOUR),
        (SimpleNamespace(run_after=NOW, data_interval_end=None), NOW),
        (SimpleNamespace(run_after=NOW, data_interval_end=NOW - 48 * HOUR), NOW - 48 * HOUR),
        (SimpleNamespace(run_after=NOW, data_interval_end=NOW + 48 * HOUR), NOW),
        (SimpleNamespace(run_after=NOW, data_interval_end=None, partition_date=NOW - HOUR), NOW - HOUR),
    ],
    ids=["now", "later", "earlier", "rest-call", "past-date", "future-date", "partition"],
)
def test_a_run_reasons_about_its_own_instant_and_never_about_the_future(
    run: SimpleNamespace, expected: datetime
) -> None:
    assert as_of(run, NOW) == expected


TRANSIENT = (
    errors.Unreachable("The database", "no route"),
    errors.TransientFault("The store", "503"),
    errors.JobBusy("reap"),
    errors.LockLost("reap"),
)
PERMANENT = (
    errors.Refused("clocks", "they differ"),
    errors.NotApproved("run-1", "too many"),
    errors.PlanChanged("s3://a/b", "1", "2"),
    errors.Paused("by somebody"),
    errors.UsageError("no"),
    errors.AccessDenied("The database", "wrong password"),
    errors.TempFolderUnsafe("no marker"),
    errors.TooManyFailures(10, 20, "denied"),
    errors.ActionsFailed(1, 2, "denied"),
    HITLRejectException("rejected"),
)


@pytest.mark.parametrize("error", TRANSIENT, ids=lambda error: type(error).__name__)
def test_what_passes_by_itself_is_tried_again_soon(error: Exception) -> None:
    decision = RETRIES.evaluate(error, 1, 3)
    assert decision.action is RetryAction.RETRY
    assert decision.retry_delay == timedelta(seconds=20)


@pytest.mark.parametrize("error", PERMANENT, ids=lambda error: type(error).__name__)
def test_what_an_operator_must_mend_is_not_tried_again(error: Exception) -> None:
    assert RETRIES.evaluate(error, 1, 3).action is RetryAction.FAIL


@pytest.mark.parametrize("error", [RuntimeError("?"), MemoryError()], ids=lambda error: type(error).__name__)
def test_a_surprise_is_left_to_the_task_s_own_retries(error: Exception) -> None:
    assert RETRIES.evaluate(error, 1, 3).action is RetryAction.DEFAULT


def all_errors(base: type[errors.StorageError] = errors.StorageError) -> list[type[errors.StorageError]]:
    return [base, *(one for child in base.__subclasses__() for one in all_errors(child))]


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_an_error_s_class_and_the_retry_policy_agree(kind: type[errors.StorageError]) -> None:
    """An error is declared transient or permanent in a single place, its class."""
    decision = RETRIES.evaluate(kind("a", "b", "c"), 1, 3)
    assert decision.action is (RetryAction.RETRY if kind.transient else RetryAction.FAIL)


def test_a_cancelled_task_unwinds_and_the_signal_is_given_back() -> None:
    """SIGTERM raises an exception that `except Exception` does not catch; then its handler is restored."""
    import signal

    before, steps = signal.getsignal(signal.SIGTERM), []
    with pytest.raises(Cancelled), cancellable():
        try:
            signal.raise_signal(signal.SIGTERM)
        except Exception:  # noqa: BLE001
            steps.append("mistaken")
        finally:
            steps.append("unwound")
    assert steps == ["unwound"]
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("by root: a flood", "since 2026-03-01 02:00 UTC by root: a flood."),
        ("restored from backup b", "since 2026-03-01 02:00 UTC: restored from backup b."),
    ],
)
def test_a_paused_task_is_skipped_and_says_since_when(reason: str, said: str) -> None:
    """A pause is an operator's decision: neither a failure nor a reason to try again."""
    with pytest.raises(AirflowSkipException) as skipped, cancellable():
        raise errors.Paused(Pause(NOW, reason))
    assert f"Maintenance is paused {said}" in str(skipped.value)
    assert "`storage resume` lifts it" in str(skipped.value)


def test_a_refusal_is_no_pause() -> None:
    with pytest.raises(errors.Refused), cancellable():
        raise errors.Refused("clocks", "they differ")


def parameters() -> list[Any]:
    jobs = catalog.JOBS.values()
    return [
        pytest.param(job.name, one, id=f"{job.name}-{one.name}")
        for job in jobs
        for one in job.parameters
        if isinstance(one, Parameter)
    ]


@pytest.mark.parametrize(("job", "declared"), [*parameters(), ("reap", catalog.MAX_OBJECTS)])
def test_a_form_field_has_the_catalogue_s_bounds(job: str, declared: Any) -> None:
    field = number(job, declared.name)
    assert field.resolve() == declared.default
    assert field.resolve(declared.floor) == declared.floor
    assert field.resolve(declared.ceiling) == declared.ceiling
    for unfit in (declared.floor * 0.9 - 0.001, declared.ceiling + 1, -1, "7", True, None):
        with pytest.raises(ParamValidationError):
            field.resolve(unfit)


def test_some_of_the_known_words_may_be_picked() -> None:
    field = choices("cold_storage", "classes")
    assert field.resolve() == list(CLASSES)
    assert field.resolve(["audio"]) == ["audio"]
    for unfit in ([], ["video"], "audio", None):
        with pytest.raises(ParamValidationError):
            field.resolve(unfit)


def test_dry_run_is_empty_or_a_clear_word() -> None:
    """An ambiguous value is refused: the text "false" is not the value false."""
    assert dry_run().resolve() is None
    for fit in (True, False, "act", "only plan"):
        assert dry_run().resolve(fit) is fit
    for unfit in ("false", "true", "no", "", 0, 1):
        with pytest.raises(ParamValidationError):
            dry_run().resolve(unfit)


@pytest.mark.parametrize("name", DESTRUCTIVE)
def test_every_destructive_form_offers_dry_run_empty(name: str, dags: dict[str, Any]) -> None:
    assert dags[name].params.get_param("dry_run").resolve() is None


@pytest.mark.parametrize("name", DESTRUCTIVE)
def test_no_field_disables_the_trigger_button(name: str, dags: dict[str, Any]) -> None:
    """The form treats an empty field that is not nullable as missing."""
    params = dags[name].params
    for field in params:
        param = params.get_param(field)
        assert param.resolve() != ""
        assert param.description, f"{field} explains itself"
        if param.resolve() is None:
            assert "null" in param.schema["type"]


@pytest.mark.parametrize(
    "conf",
    [{"days_old": 0}, {"hours_old": 0}, {"max_objects": 10_001}, {"max_objects": 0}, {"dry_run": "no"}],
)
def test_a_run_with_an_unfit_value_is_refused(conf: dict[str, Any], dags: dict[str, Any]) -> None:
    from airflow.sdk.definitions.param import ParamsDict

    params = dags["storage_cleanup"].params
    given = ParamsDict({name: params.get_param(name) for name in params})
    with pytest.raises(ParamValidationError):
        given.update(conf)
