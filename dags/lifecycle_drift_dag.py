"""### Lifecycle drift
Every day: the bucket's lifecycle rules are compared with those this platform declares. Rules of others are
shown and never touched. By hand, with *apply*: what differs is planned, with what each rule would hit; a
person approves; then it is applied and compared again.

**If it is red:** *check*: the rules are not the declared ones; its log says which is missing, changed or too
much. Find out who changed it, then run this with *apply*, or change the settings the rules come from.
*plan*: the linter refuses a rule; its last line says why. *approve*: rejected, nothing was changed. *apply*:
the rules from before stand again, unless its last line says that they do not."""

from airflow.sdk import dag
from storage_airflow.lifecycle import apply_param, check_drift, mend_on_request, rules_param
from storage_airflow.runtime import DEFAULTS, schedule


@dag(
    dag_id="lifecycle_drift",
    description="Compares the bucket's lifecycle rules with the declared ones",
    schedule=schedule("STORAGE_DRIFT_SCHEDULE", "30 4 * * *"),
    tags=["storage"],
    doc_md=__doc__,
    params={
        "apply": apply_param(),
        "with_rules": rules_param("With apply: rules on request to add."),
        "without_rules": rules_param("With apply: rules on request to take away."),
    },
    **DEFAULTS,
)
def lifecycle_drift() -> None:
    mend_on_request() >> check_drift()


lifecycle_drift()
