"""Seeded bugs of clean-up: each a find-and-replace in one file, and the test that must fail with it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bug:
    """``find`` occurs exactly once in ``file``; with ``put`` in its place ``test`` must fail."""

    name: str
    file: str
    find: str
    put: str
    test: str


BUGS = (
    Bug(
        "wrong comparison: a thing exactly at the cut stays",
        "storage/cleanup/temp.py",
        "if changed > as_of - older_than:",
        "if changed >= as_of - older_than:",
        "tests/unit/cleanup/test_temp.py::test_temp_object_at_the_cut",
    ),
    Bug(
        "dropped re-check: the object is deleted whatever it has become",
        "storage/engine/actions/objects.py",
        "if (why := changed_owner(action.owner, action.owner_updated_at, jobs) or _changed(action, now))",
        "if (why := changed_owner(action.owner, action.owner_updated_at, jobs))",
        "tests/unit/engine/test_apply.py::test_object_overwritten_after_the_plan_survives",
    ),
    Bug(
        "dropped re-check: the job behind an object is not looked at again",
        "storage/engine/actions/objects.py",
        "if (why := changed_owner(action.owner, action.owner_updated_at, jobs) or _changed(action, now))",
        "if (why := _changed(action, now))",
        "tests/unit/engine/test_apply.py::test_objects_remain_when_their_job_moved_on",
    ),
    Bug(
        "prefix without '/': job-1 takes the objects of job-10",
        "storage/cleanup/failed_jobs.py",
        'stores.objects.scan(Prefix(f"{prefix}{job.id}/"))',
        'stores.objects.scan(f"{prefix}{job.id}")',
        "tests/unit/cleanup/test_policies.py::test_failed_job_is_condemned_with_exactly_its_own_objects",
    ),
    Bug(
        "lazy iterator: jobs are claimed when somebody counts them",
        "storage/engine/actions/jobs.py",
        "return [cls._claim(begun.get(action.tombstone), work) for action in batch]",
        "return (cls._claim(begun.get(action.tombstone), work) for action in batch)",
        "tests/unit/cleanup/test_reap.py::test_reap_cleans_the_job_and_deletes_what_is_its_own",
    ),
    Bug(
        "swallowed per-key error of a bulk delete",
        "storage/engine/actions/removal.py",
        "failures = self.objects.delete(targets)",
        "failures = self.objects.delete(targets) and []",
        "tests/unit/engine/test_apply.py::test_failed_keys_fail_the_run_and_the_rest_is_done",
    ),
    Bug(
        "batch marked before it is done",
        "storage/engine/apply.py",
        "    return _finish(batch, _verb(batch.actions[0]).apply(batch.actions, work), work)\n",
        "    work.stores.runs.finish_batch(work.run_id, batch.number, [], [], first=0)\n"
        "    return _finish(batch, _verb(batch.actions[0]).apply(batch.actions, work), work)\n",
        "tests/unit/engine/test_apply.py::test_crash_between_batches_does_not_repeat_the_finished_ones",
    ),
    Bug(
        "a run that keeps failing goes on",
        "storage/engine/breaker.py",
        "if self.in_a_row >= MAX_CONSECUTIVE_FAILURES:",
        "if self.in_a_row > 10 * MAX_CONSECUTIVE_FAILURES:",
        "tests/unit/engine/test_apply.py::test_ten_failures_in_a_row_stop_the_run",
    ),
    Bug(
        "kill switch read once only",
        "storage/engine/apply.py",
        "            guard.running(stores)\n",
        "",
        "tests/unit/engine/test_apply.py::test_pause_stops_before_the_next_batch",
    ),
    Bug(
        "a lost lock goes unnoticed",
        "storage/engine/apply.py",
        "            still_locked()\n",
        "",
        "tests/unit/engine/test_apply.py::test_lost_lock_stops_before_the_next_batch",
    ),
    Bug(
        "the plan's hash is not compared",
        "storage/engine/plan.py",
        "if found != run.plan_sha256:",
        "if not found:",
        "tests/unit/engine/test_engine.py::test_edited_plan_is_not_applied",
    ),
    Bug(
        "apply does not ask for the approval",
        "storage/engine/apply.py",
        'if run.state == "waiting" and run.approved_sha256 != run.plan_sha256:',
        'if run.state == "waiting" and not run.plan_sha256:',
        "tests/unit/engine/test_engine.py::test_limit_waits_for_the_approval_of_this_plan",
    ),
    Bug(
        "what a listing does not show counts as gone",
        "storage/engine/actions/recheck.py",
        "pool.map(lambda key: store.head(ObjectKey(key)), missing)",
        "[None] * len(missing)",
        "tests/unit/engine/test_apply.py::test_absence_from_a_listing_proves_nothing",
    ),
    Bug(
        "objects go without their job's claim",
        "storage/engine/actions/objects.py",
        'cleaned = row is not None and row.status == "cleaned_up" and action.owner in claimed',
        "cleaned = True",
        "tests/unit/cleanup/test_reap.py::test_retried_job_keeps_its_files",
    ),
    Bug(
        "an output that another row names is deleted",
        "storage/engine/actions/recheck.py",
        "for key, who in stores.references.of(keys).items()}",
        "for key, who in stores.references.of(keys).items() if not who}",
        "tests/unit/cleanup/test_reap.py::test_object_another_job_names_is_kept",
    ),
    Bug(
        "a plan is carried out in another bucket than it was made for",
        "storage/engine/apply.py",
        'if run.bucket not in ("", stores.objects.bucket):',
        "if not run.id:",
        "tests/unit/engine/test_buckets.py::test_a_plan_for_another_bucket_is_refused",
    ),
    Bug(
        "a run is carried out by another job",
        "storage/engine/apply.py",
        "if run.job != job.name:",
        "if not run.job:",
        "tests/unit/engine/test_buckets.py::test_a_run_of_another_job_is_refused",
    ),
    Bug(
        "a verb that the job does not name gets into its plan",
        "storage/engine/sweep.py",
        "if type(decided) not in allowed:",
        "if not allowed:",
        "tests/unit/engine/test_buckets.py::test_a_verb_that_the_job_does_not_name_is_no_plan",
    ),
    Bug(
        "a single act heeds no protected prefix",
        "storage/engine/single.py",
        "action.key.startswith(PROTECTED_PREFIXES)",
        "not action.key",
        "tests/unit/engine/test_single.py::test_a_protected_prefix_is_refused",
    ),
    Bug(
        "a single act heeds no pause",
        "storage/engine/single.py",
        "    guard.check_environment(stores, stores.clock())\n",
        "",
        "tests/unit/engine/test_single.py::test_a_paused_platform_does_nothing",
    ),
    Bug(
        "the fraction is of the selection, not of all",
        "storage/engine/guard.py",
        "share = counted.count / population",
        "share = counted.count / max(1, draft.considered.count) / 100",
        "tests/unit/engine/test_guard.py::test_fraction_is_of_all_jobs",
    ),
    Bug(
        "clocks an hour apart are well",
        "storage/engine/guard.py",
        "if skew > MAX_SKEW:",
        "if skew > 3600 * MAX_SKEW:",
        "tests/unit/engine/test_guard.py::test_wrong_world_is_refused",
    ),
    Bug(
        "a protected prefix is compared as a whole key",
        "storage/engine/plan.py",
        "decided.key.startswith(PROTECTED_PREFIXES)",
        "decided.key in PROTECTED_PREFIXES",
        "tests/unit/engine/test_guard.py::test_protected_prefix_is_refused",
    ),
    Bug(
        "a file that is open again is unlinked",
        "storage/engine/actions/files.py",
        " or busy:",
        ":",
        "tests/unit/cleanup/test_temp_folder.py::test_file_opened_in_condemned_is_put_back",
    ),
    Bug(
        "undo writes over what is new",
        "storage/engine/actions/files.py",
        "if files.look(aside) is None or files.look(path) is not None:",
        "if files.look(aside) is None:",
        "tests/unit/cleanup/test_temp_folder.py::test_undo_writes_over_nothing_new",
    ),
    Bug(
        "a folder goes though something in it stays",
        "storage/cleanup/temp.py",
        "if tree.kept(folder.path):",
        "if tree.kept(folder.path) and not folder.path:",
        "tests/unit/cleanup/test_temp.py::test_one_young_file_keeps_the_folders_above_it_alone",
    ),
    Bug(
        "an upload is judged by its oldest part",
        "storage/cleanup/uploads.py",
        "if signs and max(signs) > quiet_since:",
        "if signs and min(signs) > quiet_since:",
        "tests/unit/cleanup/test_policies.py::test_living_upload_is_kept",
    ),
    Bug(
        "an upload's heartbeat is not looked at again",
        "storage/engine/actions/uploads.py",
        " + ([heartbeat] if heartbeat else [])",
        "",
        "tests/unit/cleanup/test_jobs_and_uploads.py::test_upload_that_goes_on_after_the_plan_is_left_alone",
    ),
    Bug(
        "a verified run is never looked at",
        "storage/engine/apply.py",
        "    if broken:\n",
        "    if broken and not sample:\n",
        "tests/unit/engine/test_apply.py::test_a_store_that_lies_is_found_out",
    ),
    Bug(
        "runs that did nothing wear the history out",
        "storage/engine/sweep.py",
        'stores.runs.latest(job.name, HISTORY, "verified")',
        "stores.runs.latest(job.name, HISTORY)",
        "tests/unit/engine/test_old_plans.py::test_a_guard_does_not_wear_out",
    ),
    Bug(
        "a delete whose answer was lost is sent again",
        "storage/stores/s3/transport.py",
        'allowed_methods=("GET", "HEAD", "PUT")',
        "allowed_methods=None",
        "tests/unit/engine/test_old_plans.py::test_a_delete_is_never_sent_again_blindly",
    ),
    Bug(
        "an absent temp folder is taken for reaped files",
        "storage/engine/actions/files.py",
        "work.stores.files.check()  # files missing from an empty mount point must not count as reaped",
        "...",
        "tests/unit/engine/test_old_plans.py::test_an_absent_temp_folder_is_no_reaped_file",
    ),
)
