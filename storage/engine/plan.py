"""Immutable plan file: all actions of a run as gzip JSON Lines in the maintenance bucket.

It is streamed both while planning and while applying, so a million actions need no more memory than one
batch. An approval names the file's SHA-256.
"""

from __future__ import annotations

import gzip
import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from storage.core.errors import PlanChanged, PlanUnreadable, UsageError
from storage.core.model import PROTECTED_PREFIXES, ObjectKey, Run, Totals
from storage.core.ports import ObjectStore
from storage.engine.actions import Action, Keep, decode, encode
from storage.engine.actions.base import S

CHUNK = 1 << 20


@dataclass(kw_only=True)
class Draft:
    """Summary of a written plan: totals, and the first action on a protected key."""

    considered: Totals = Totals()
    planned: Totals = Totals()
    by_verb: dict[str, Totals] = field(default_factory=dict)
    by_status: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    protected: str = ""
    sha256: str = ""
    uri: str = ""

    def count(self, decided: Action[Any] | Keep) -> bool:
        """Add one decision to the totals; return True if it is an action."""
        self.considered += Totals(1, decided.size)
        if isinstance(decided, Keep):
            if decided.counted:
                self.kept[decided.counted] = self.kept.get(decided.counted, 0) + 1
            return False
        added = Totals(1, decided.size)
        self.planned += added
        self.by_verb[decided.verb] = self.by_verb.get(decided.verb, Totals()) + added
        if status := getattr(decided, "status", ""):
            self.by_status[status] = self.by_status.get(status, 0) + 1
        if not self.protected and decided.touches == "object" and decided.key.startswith(PROTECTED_PREFIXES):
            self.protected = decided.key
        return True


def write(decisions: Iterable[Action[Any] | Keep], store: ObjectStore, job: str, run_id: str) -> Draft:
    """Write the actions among ``decisions`` to the store; without actions no file is stored."""
    draft = Draft()
    with tempfile.NamedTemporaryFile(prefix="plan-", suffix=".jsonl.gz") as file:
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=3, mtime=0, filename="") as lines:
            for decided in decisions:
                if draft.count(decided):
                    lines.write(encode(cast(Action[Any], decided)).encode() + b"\n")
        file.flush()
        if draft.planned.count:
            key = key_for(job, run_id)
            draft.sha256 = _sha256(Path(file.name))
            store.put_file(key, Path(file.name))
            draft.uri = f"s3://{store.bucket}/{key}"
    return draft


def read(run: Run, store: ObjectStore, verbs: Mapping[str, type[Action[S]]]) -> Iterator[Action[S]]:
    """Yield the actions of a run's plan in order, after checking the file's SHA-256 against the run.

    ``verbs`` are the action classes of the run's job, by verb. Raises PlanChanged before the first action
    if the hash differs.
    """
    for number, line in enumerate(lines(run, store), 1):
        yield _decoded(line, verbs, run.plan_uri, number)


def lines(run: Run, store: ObjectStore) -> Iterator[bytes]:
    """Yield the lines of a run's plan, undecoded. Raises PlanChanged if the hash differs, ObjectMissing."""
    if not run.plan_uri:
        return
    with tempfile.NamedTemporaryFile(prefix="plan-", suffix=".jsonl.gz") as file:
        with store.open(key_of(run.plan_uri, store)) as source:
            _copy(source, file)
        file.flush()
        found = _sha256(Path(file.name))
        if found != run.plan_sha256:
            raise PlanChanged(run.plan_uri, found, run.plan_sha256)
        with gzip.open(file.name, "rb") as plan:
            yield from plan


def _decoded(line: bytes, verbs: Mapping[str, type[Action[S]]], uri: str, number: int) -> Action[S]:
    """Decode one line. Raises PlanUnreadable for an unknown verb, or wrong fields for its verb."""
    try:
        return decode(line, verbs)
    except (KeyError, TypeError, ValueError) as error:
        raise PlanUnreadable(uri, number, f"{type(error).__name__}: {error}") from error


def key_for(job: str, run_id: str) -> ObjectKey:
    return ObjectKey(f"plans/{job}/{run_id}.jsonl.gz")


def key_of(uri: str, store: ObjectStore) -> ObjectKey:
    head = f"s3://{store.bucket}/"
    if not uri.startswith(head):
        raise UsageError(f"The plan {uri} is not in this installation's bucket {store.bucket}.")
    return ObjectKey(uri.removeprefix(head))


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    while chunk := source.read(CHUNK):
        target.write(chunk)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
