"""Seeded bugs of the records: what is known of runs, what is pruned, and what stays known of deletions."""

from __future__ import annotations

from tests.faults.cleanup.bugs import Bug

BUGS = (
    Bug(
        "a run that only planned stands for the last acting one",
        "storage/cli/installation.py",
        "next((run for run in newest if run.state in ACTED), None)",
        "next(iter(newest), None)",
        "tests/unit/cli/test_status.py::test_runs_that_only_planned_do_not_replace_it",
    ),
    Bug(
        "the newest run of a job hides its newest acting one",
        "sql/queries/runs.sql",
        "WHERE mine.job = one_job.job AND mine.state = one_state.state",
        "WHERE mine.job = one_job.job",
        "tests/contract/stores/test_runs.py::test_newest_of_each_job_and_state[postgres]",
    ),
    Bug(
        "the plan goes before the log of what it deleted",
        "storage/records/actions.py",
        """        if plan and not _logged(run, stores):
            return Outcome("failed", "its deletion log could not be written; the plan stays")
        if plan and (left := _delete(stores.plans, plan)):
            return left
""",
        """        if plan and (left := _delete(stores.plans, plan)):
            return left
        if plan and not _logged(run, stores):
            return Outcome("failed", "its deletion log could not be written; the plan stays")
""",
        "tests/unit/records/test_crashes.py::test_killed_before_each_effect[True]",
    ),
    Bug(
        "the row goes before the plan, which nothing finds again",
        "storage/records/actions.py",
        """        if plan and (left := _delete(stores.plans, plan)):
            return left
        if not stores.records.delete_run(run, self.before):
            return Outcome("skipped", "is referred to again, or went meanwhile")
""",
        """        if not stores.records.delete_run(run, self.before):
            return Outcome("skipped", "is referred to again, or went meanwhile")
        if plan and (left := _delete(stores.plans, plan)):
            return left
""",
        "tests/unit/records/test_crashes.py::test_killed_before_each_effect[False]",
    ),
    Bug(
        "a twin's deletes make the log incomplete",
        "storage/records/actions.py",
        """    batches = stores.records.batches(run)
    try:
        return""",
        """    try:
        plan = list(lines(run, stores.plans))
        batches = stores.records.batches(run)
        return deletions.write(run, deletions.deletions(run, plan, batches), stores.plans)
        return""",
        "tests/unit/records/test_crashes.py::test_a_twin_runs_before_each_effect[False]",
    ),
    Bug(
        "what was skipped is logged as deleted",
        "storage/records/deletions.py",
        "undone = skipped and not batch.some_gone if batch else doubtful > most",
        "undone = not batch and doubtful > most",
        "tests/unit/records/test_deletions.py::test_only_what_was_done",
    ),
    Bug(
        "what a killed process may have deleted is not logged",
        "storage/records/deletions.py",
        "undone = skipped and not batch.some_gone if batch else doubtful > most",
        "undone = skipped and not batch.some_gone if batch else True",
        "tests/unit/records/test_deletions.py::test_a_batch_that_a_kill_left_unrecorded_is_doubtful",
    ),
    Bug(
        "what an attempt deleted before it was killed is not logged",
        "storage/records/deletions.py",
        "undone = skipped and not batch.some_gone if batch else doubtful > most",
        "undone = skipped if batch else doubtful > most",
        "tests/unit/records/test_crashes.py"
        "::test_deleted_by_an_attempt_that_was_killed_before_it_recorded_it",
    ),
    Bug(
        "a plan that was never applied is logged as deletions",
        "storage/records/deletions.py",
        "if run.state not in ACTED and not batches:",
        "if not run:",
        "tests/unit/records/test_deletions.py::test_a_run_that_only_planned_deleted_nothing[planned]",
    ),
    Bug(
        "a run that waits for approval is pruned",
        "sql/queries/records.sql",
        "state NOT IN ('applying', 'waiting')",
        "state <> 'applying'",
        "tests/contract/records/test_records.py::test_runs_that_ended_are_old_the_oldest_first[postgres]",
    ),
    Bug(
        "the runs that the guards compare with are pruned",
        "sql/queries/records.sql",
        "LIMIT :newest)) AS recent",
        "LIMIT :newest - :newest)) AS recent",
        "tests/contract/records/test_records.py::test_the_newest_of_a_job_and_state_are_recent[postgres]",
    ),
    Bug(
        "a run goes while undo may need its tombstones",
        "sql/queries/records.sql",
        "AS tombstone WHERE tombstone.run_id = run.id)\n",
        "AS tombstone WHERE false)\n",
        "tests/contract/records/test_records.py::test_tombstones_mark_a_run_until_they_are_gone[postgres]",
    ),
    Bug(
        "a failed run is pruned while somebody applies it",
        "storage/records/actions.py",
        "if run.state not in MAY_BEGIN or run.job == work.job:",
        "if run:",
        "tests/unit/records/test_prune.py::test_a_failed_run_is_not_pruned_while_its_job_is_at_work",
    ),
    Bug(
        "the audit of this year can be deleted",
        "sql/migrations/0009_records.sql",
        "OLD.at < now() - interval '365 days'",
        "OLD.at < now()",
        "tests/integration/records/test_prune_records.py::test_the_audit_is_removed_by_nothing_but_its_age[minio]",
    ),
    Bug(
        "deletion logs go before the audit does",
        "storage/records/deletions.py",
        "if end is not None and end > before:",
        "if end is not None and not before:",
        "tests/unit/records/test_deletions.py::test_old_logs_end_with_the_first_young_month",
    ),
    Bug(
        "the oldest audit entries are found without an index",
        "sql/migrations/0009_records.sql",
        "CREATE INDEX audit_by_time ON maintenance.audit (at, id);\n",
        "",
        "tests/integration/records/test_many_records.py::test_no_statement_reads_a_table_whole[records-old_audit]",
    ),
)
