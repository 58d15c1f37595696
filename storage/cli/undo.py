"""The command ``storage undo``: what was taken back, what cannot be, and what to do about the rest."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from storage import catalog
from storage.cli import output
from storage.cli.common import settings, who
from storage.core.errors import StorageError, UsageError
from storage.core.model import Outcome, Run, Tombstone, Totals
from storage.engine.apply import load
from storage.engine.undo import BEFORE, EXAMPLES, GOING, GONE, Lasting, Selection, lasting, total, undo
from storage.installation import Installation, open_installation

#: What a verb did to how many, and the next step if there is one.
WORDS = {
    "delete": ("deleted {} objects for good", ""),
    "reap": ("deleted {} objects for good", ""),
    "unlink": ("deleted {} temp files for good", ""),
    "abort": ("aborted {} unfinished uploads", ""),
    "remove-folder": ("removed {} empty folders", ""),
    "clean-job": ("set {} jobs to cleaned_up", ""),
    "prune": ("deleted {} backups for good", ""),
    "prune-rows": ("removed old records in {} steps", ""),
    "prune-run": ("removed the records of {} runs", "`storage deleted KEY` still finds their deletions."),
    "prune-log": ("removed {} deletion logs", ""),
    "fail": ("set {} jobs to failed", "Undo changes no row of a job: retry those jobs in the pipeline."),
    "compress": ("compressed {} objects", "`storage decompress KEY --apply` restores one."),
    "transition": ("moved {} objects to another tier", "`storage tier restore KEY --apply` brings one back."),
}


@dataclass(frozen=True, kw_only=True)
class Report:
    """Outcome of an undo: the selected marks, what else the run did, and why that is not known if so."""

    run: Run
    dry_run: bool
    marks: Sequence[tuple[Tombstone, Outcome]]
    stays: Sequence[Lasting]
    unknown: str = ""

    def sum(self, status: str, why: str = "") -> Totals:
        """Sum the marks with an outcome of this status, and of this reason if one is given."""
        outcomes = [outcome for _, outcome in self.marks]
        return total(one for one in outcomes if one.status == status and why in ("", one.detail))

    @property
    def failed(self) -> bool:
        """Return True unless everything that was asked for is back, or was before."""
        left = self.sum("failed").count + self.sum("skipped", GONE).count + self.sum("skipped", GOING).count
        return bool(left or (not self.marks and (self.stays or self.unknown)))


def undo_run(args: Namespace) -> int:
    only = Selection(args.job, args.key)
    with open_installation(settings()) as stores:
        run = load(args.run, stores)
        marks = undo(run.id, stores, only, dry_run=args.dry_run, by=who())
        stays, unknown = _stays(run, only, stores)
    report = Report(run=run, dry_run=args.dry_run, marks=marks, stays=stays, unknown=unknown)
    if only != Selection() and not (marks or stays or unknown):
        raise UsageError(f"{run.id} did nothing to {args.key or args.job}. See `storage runs {run.id}`.")
    if args.json:
        output.emit_json(document(report))
    else:
        for line in lines(report):
            output.out.print(output.shown(line), soft_wrap=True)
    return int(report.failed)


def _stays(run: Run, only: Selection, stores: Installation) -> tuple[list[Lasting], str]:
    """Return what cannot be taken back, or why that is not known. By then the marks are taken back."""
    try:
        return lasting(catalog.get(run.job), run.id, stores, only), ""
    except StorageError as error:  # the plan is gone, or of another version
        return [], str(error)


def document(report: Report) -> dict[str, object]:
    """Return the report as plain values: one entry for each mark, and one for each verb that stays."""
    return {
        "run": report.run.id,
        "dry_run": report.dry_run,
        "marks": [
            {"key": mark.key, "kind": mark.kind, "bytes": mark.size, "status": one.status, "why": one.detail}
            for mark, one in report.marks
        ],
        "stays": [
            {"verb": one.verb, "count": one.total.count, "bytes": one.total.bytes, "keys": one.keys}
            for one in report.stays
        ],
        "unknown": report.unknown,
    }


def lines(report: Report) -> Iterator[str]:
    """Yield the report for a person."""
    if report.marks:
        yield from _of_marks(report)
    yield from _of_the_rest(report)
    if report.unknown:
        yield f"What else the run did cannot be told: {report.unknown}"
    if report.dry_run:
        yield "Nothing was changed: this was a dry run."


def _of_marks(report: Report) -> Iterator[str]:
    would = "can be" if report.dry_run else "were"
    done = report.sum("done")
    yield f"{done.count:,} of {len(report.marks):,} marks {would} taken back ({output.size(done.bytes)})."
    for why, text in (
        (GONE, "are gone: reap has deleted them for good"),
        (GOING, "stay: reap has begun to delete them"),
        ("kept by reap", "were kept by reap and need no undo"),
        (BEFORE, "were taken back before"),
    ):
        if (found := report.sum("skipped", why)).count:
            yield f"{found.count:,} {text} ({output.size(found.bytes)})."
    failed = [(mark, one) for mark, one in report.marks if one.status == "failed"]
    for mark, one in failed[:EXAMPLES]:
        yield f"  failed: {mark.key}: {one.detail}"
    if len(failed) > EXAMPLES:
        yield f"  and {len(failed) - EXAMPLES:,} more; `storage undo {report.run.id} --json` lists all."
    if done.count and not report.dry_run:
        yield "The next run marks them again if the reason still applies."


def _of_the_rest(report: Report) -> Iterator[str]:
    least = "" if report.run.state == "verified" else "at least "  # a batch under way is not recorded
    for one in report.stays:
        text, next_step = WORDS.get(one.verb, (f"did {one.verb} {{}} times", ""))
        amount = f" ({output.size(one.total.bytes)})" if one.total.bytes else ""
        head = "The run also" if report.marks else f"Nothing to take back: run {report.run.id}"
        yield f"{head} {text.format(f'{least}{one.total.count:,}')}{amount}. {next_step}".rstrip()
        if one.verb == "fail":
            yield from (f"  {key}" for key in one.keys)
            if more := one.total.count - len(one.keys):
                yield f"  and {more:,} more; `storage runs {report.run.id} --json` lists all."
    if not (report.marks or report.stays or report.unknown):
        yield f"Nothing to take back: run {report.run.id} ({report.run.state}) changed nothing."
