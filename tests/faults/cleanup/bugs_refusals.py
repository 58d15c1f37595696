"""Seeded bugs of decisions: pauses, answers to questions, and what an undo takes back (docs/safety.md)."""

from __future__ import annotations

from tests.faults.cleanup.bugs import Bug

_APPROVALS, _UNDO = "tests/dags/test_approvals.py", "tests/unit/cleanup/test_undo.py"
_RUNS, _TOMBSTONES = "tests/contract/stores/test_runs.py", "tests/contract/stores/test_tombstones.py"
BUGS = (
    Bug(
        "a pause is a failure of the task",
        "plugins/storage_airflow/runtime.py",
        'raise AirflowSkipException(f"Skipped. {pause}") from None',
        "raise",
        "tests/dags/test_runtime.py::test_a_paused_task_is_skipped_and_says_since_when",
    ),
    Bug(
        "what was not planned is applied",
        "plugins/storage_airflow/maintenance.py",
        "PLANNED = TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS",
        "PLANNED = TriggerRule.NONE_FAILED",
        "tests/dags/test_dag_files.py::test_an_approval_is_a_rejection_unless_somebody_says_otherwise",
    ),
    Bug(
        "a pause in the middle of a run in parts is a failure of a part",
        "storage/engine/parts.py",
        "            guard.running(stores)  # a pause, not a failure, ended the parts early\n",
        "",
        "tests/unit/engine/test_parts.py::test_a_pause_in_the_middle_is_no_failure_of_a_part",
    ),
    Bug(
        "a forgotten pause is safe",
        "storage/engine/guard.py",
        "stores.clock() - pause.since <= LONGEST_PAUSE",
        "stores.clock() - pause.since <= 365 * LONGEST_PAUSE",
        "tests/unit/engine/test_guard.py::test_a_pause_of_more_than_a_day_is_not_safe",
    ),
    Bug(
        "status is well while a pause is forgotten",
        "storage/cli/installation.py",
        "default=EXIT_FAILED if unsafe else 0)",
        "default=0)",
        "tests/integration/cli/test_command_line.py::test_a_long_pause_is_not_safe[ministack]",
    ),
    Bug(
        "a pause does not say who set it",
        "storage/core/records.py",
        'return f"by {by}: {reason}" if reason else f"by {by}"',
        'return reason or f"by {by}"',
        "tests/integration/cli/test_command_line.py::test_pause_and_resume[ministack]",
    ),
    Bug(
        "no answer, or Reject, counts as Approve",
        "plugins/storage_airflow/approval.py",
        'event.get("chosen_options") == [self.APPROVE]',
        "True",
        f"{_APPROVALS}::test_a_rejection_is_recorded_and_final",
    ),
    Bug(
        "what was rejected is asked again by another try",
        "sql/queries/runs.sql",
        "(event = 'reject' OR event = 'approve' AND detail",
        "event IN ('reject', 'approve') AND (detail",
        f"{_RUNS}::test_a_question_without_a_run_is_answered_once[postgres]",
    ),
    Bug(
        "an answer is to the last question, whoever asked",
        "sql/queries/runs.sql",
        " AND (CAST(:task AS text) IS NULL OR ask.detail ->> 'task' = :task)",
        " AND (CAST(:task AS text) IS NULL OR true)",
        f"{_RUNS}::test_a_question_without_a_run_is_answered_once[postgres]",
    ),
    Bug(
        "other rules are put than were approved",
        "plugins/storage_airflow/lifecycle.py",
        "answer.by, answer.what)",
        'answer.by, _planned(manager, context["params"]).sha256)',
        f"{_APPROVALS}::test_rules_are_approved_as_they_are_planned_now",
    ),
    Bug(
        "an approval of rules is of a plan that was not shown",
        "plugins/storage_airflow/lifecycle.py",
        "if shown != made.sha256:",
        "if not shown:",
        f"{_APPROVALS}::test_rules_are_approved_as_they_are_planned_now",
    ),
    Bug(
        "another backup is restored than was approved",
        "plugins/storage_airflow/restore.py",
        'if params["backup"] not in ("latest", id) or _what_to_restore(',
        "if _what_to_restore(",
        f"{_APPROVALS}::test_a_restore_is_of_the_approved_backup",
    ),
    Bug(
        "the live database is replaced on an approval for a new one",
        "plugins/storage_airflow/restore.py",
        "_what_to_restore(context, params, id)[0] != answer.what:",
        "not answer.what:",
        f"{_APPROVALS}::test_a_restore_is_of_the_approved_backup",
    ),
    Bug(
        "what a guard refused can be approved",
        "sql/queries/runs.sql",
        "AND state NOT IN ('refused', 'rejected')",
        "AND state <> 'rejected'",
        f"{_RUNS}::test_what_a_guard_refused_cannot_be_approved[postgres]",
    ),
    Bug(
        "a dry run of undo takes back",
        "storage/stores/postgres/tombstones.py",
        "                connection.rollback()\n",
        "                pass\n",
        f"{_TOMBSTONES}::test_a_dry_run_of_undo_foretells_it_and_changes_nothing",
    ),
    Bug(
        "a dry run of undo moves files",
        "storage/engine/undo.py",
        "    if dry_run:\n        return stores.files.look(tombstone.key) is None\n",
        "",
        f"{_UNDO}::test_a_dry_run_moves_no_file",
    ),
    Bug(
        "undo of one key takes back the whole run",
        "storage/engine/undo.py",
        'if self.key in ("", item.key)]',
        "if item.key]",
        f"{_UNDO}::test_only_the_selected_part_is_taken_back",
    ),
    Bug(
        "undo knows a job by one spelling only",
        "storage/engine/undo.py",
        "return owner == self.job or bool(row and asked and row.id == asked.id)",
        "return owner == self.job",
        "tests/integration/cleanup/test_hidden_rows.py::test_undo_takes_a_job_in_another_spelling[ministack]",
    ),
    Bug(
        "a run that deleted for good is undone without an error",
        "storage/cli/undo.py",
        "bool(left or (not self.marks and (self.stays or self.unknown)))",
        "bool(left)",
        f"{_UNDO}::test_a_run_that_deleted_says_that_nothing_comes_back",
    ),
    Bug(
        "what reap has deleted counts as taken back before",
        "storage/engine/undo.py",
        '"reaped": GONE,',
        '"reaped": BEFORE,',
        f"{_UNDO}::test_a_part_that_is_gone_is_said_with_its_size",
    ),
)
