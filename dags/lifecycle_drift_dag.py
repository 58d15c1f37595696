"""### Lifecycle drift
Every day, compares the bucket's lifecycle rules with the rules this platform declares. Others' rules are
shown and never changed. Triggered by hand with *apply*, it plans the changes and lists the objects each rule
would affect, waits for an operator's approval, applies the plan and compares again.

**If it is red:** *check*: the rules have drifted; the log lists the missing, changed and surplus rules. Find
out who changed them, then run this DAG with *apply*, or change the settings the rules come from. *plan*: the
linter refuses a rule; the log's last line says why. *approve*: rejected, nothing was changed. *apply*: the
previous rules are in effect again, unless the log's last line says otherwise."""

from airflow.sdk import dag
from storage_airflow.lifecycle import apply_param, check_drift, mend_on_request, rules_param
from storage_airflow.runtime import DEFAULTS, schedule


@dag(
    dag_id="lifecycle_drift",
    description="Compare the bucket's lifecycle rules with the declared ones",
    schedule=schedule("STORAGE_DRIFT_SCHEDULE", "30 4 * * *"),
    tags=["storage"],
    doc_md=__doc__,
    params={
        "apply": apply_param(),
        "with_rules": rules_param("With apply: optional rules to add."),
        "without_rules": rules_param("With apply: optional rules to remove."),
    },
    **DEFAULTS,
)
def lifecycle_drift() -> None:
    mend_on_request() >> check_drift()


lifecycle_drift()
