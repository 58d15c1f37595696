"""Plan, apply, verify and roll back lifecycle rules.

A store replaces the whole configuration by one request and supports no condition for it. So the current one
is read again immediately before, every rule of others is sent back byte for byte, and the result is read back
and compared. On any failure the previous configuration is restored.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from storage.core.errors import PlanChanged, StorageError, StoreRefused
from storage.core.ports import EngineStores
from storage.core.tiers import ColdSettings
from storage.engine import guard
from storage.lifecycle.document import Configuration, read
from storage.lifecycle.errors import (
    LifecycleChanged,
    LifecycleNotApproved,
    LifecycleNotHeld,
    LifecycleNotRestored,
    NoSuchRule,
    NoSuchVersion,
    RulesRefused,
)
from storage.lifecycle.lint import Finding, lint
from storage.lifecycle.plan import Effect, Plan, difference, digest, effects, foreign, form
from storage.lifecycle.ports import BucketRules, LeftOut, Version, VersionLog
from storage.lifecycle.readback import Readback, compared
from storage.lifecycle.rules import LifecycleRule, declared
from storage.lifecycle.xml import parse

LOCK = "lifecycle"
LOOKS, FIRST_PAUSE = 5, 0.5  # attempts to read a change back, seconds before the second; doubling


@dataclass(frozen=True, kw_only=True)
class Lifecycle:
    """Lifecycle manager of one bucket: its rules, and what is needed to judge and record them."""

    stores: EngineStores
    tiers: ColdSettings
    rules: BucketRules
    versions: VersionLog
    pause: Callable[[float], None] = time.sleep

    def declared(self) -> list[LifecycleRule]:
        return declared(self.tiers, self.stores.control.capabilities(), self.rules.versioned())


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """Result of applying a plan; ``number`` is the version recorded, 0 if nothing had to be done."""

    number: int
    changed: tuple[str, ...] = ()
    left_out: dict[str, LeftOut] = field(default_factory=dict)
    reordered: bool = False


# --- planning --------------------------------------------------------------------------------------
def plan(
    manager: Lifecycle, add: Iterable[str] = (), drop: Iterable[str] = (), *, again: bool = False
) -> Plan:
    """Compare the declared rules with the bucket's current configuration and return the plan of changes.

    ``add`` and ``drop`` name rules on request, in addition to those requested before. ``again`` retries rules
    that this store did not accept the last time. Raises NoSuchRule.
    """
    document, latest, rules = manager.rules.get(), manager.versions.latest(), manager.declared()
    offered = {rule.name for rule in rules if rule.on_request}
    for name in (*add, *drop):
        if name not in offered:
            raise NoSuchRule(name)
    asked = ({*(latest.requested if latest else ()), *add} - {*drop}) & offered
    wanted = [rule for rule in rules if not rule.on_request or rule.name in asked]
    memory = latest.left_out if latest and not again else {}
    left_out = {rule.id: memory[rule.id] for rule in wanted if _remembered(rule, memory.get(rule.id))}
    wanted = [rule for rule in wanted if rule.id not in left_out]
    return _planned(manager, document, wanted, left_out, tuple(sorted(asked)))


def rollback(manager: Lifecycle, number: int) -> Plan:
    """Return the plan that restores our rules of that version, beside the current rules of others."""
    version = manager.versions.get(number)
    if version is None:
        raise NoSuchVersion(number)
    then = read(version.document or None)
    wanted = [parse(id, piece.node) for id, piece in then.ours.items() if piece.node is not None]
    known = {one.id: one for one in manager.declared()}
    wanted = [replace(one, on_request=one.id in known and known[one.id].on_request) for one in wanted]
    asked = tuple(sorted(one.name for one in wanted if one.on_request))
    latest, back = manager.versions.latest(), {one.id for one in wanted}
    memory = {id: one for id, one in (latest.left_out if latest else {}).items() if id not in back}
    return _planned(manager, manager.rules.get(), wanted, memory, asked)


def _planned(
    manager: Lifecycle,
    document: bytes | None,
    wanted: Sequence[LifecycleRule],
    left_out: dict[str, LeftOut],
    asked: tuple[str, ...],
) -> Plan:
    current = read(document)
    return Plan(
        bucket=manager.rules.bucket,
        found=document,
        configuration=current,
        wanted={one.id: one for one in wanted},
        changes=difference(current, wanted, left_out),
        findings=tuple(findings(manager, wanted, current)),
        left_out=left_out,
        requested=asked,
    )


def findings(manager: Lifecycle, wanted: Sequence[LifecycleRule], there: Configuration) -> list[Finding]:
    return lint(wanted, foreign(there), manager.tiers, manager.stores.control.capabilities())


def effect(manager: Lifecycle, rules: Sequence[LifecycleRule]) -> list[Effect]:
    """Return what these rules would affect, from one listing of the whole bucket."""
    objects = manager.stores.objects
    return effects(rules, objects.inventory(), objects.uploads(), manager.stores.clock())


def _remembered(rule: LifecycleRule, memory: LeftOut | None) -> bool:
    return memory is not None and memory.form == form(rule)


# --- applying --------------------------------------------------------------------------------------
def apply(manager: Lifecycle, wanted: Plan, by: str, approved: str = "") -> Applied:
    """Apply a plan. ``approved`` is the SHA-256 of the plan an operator approved; required if it deletes.

    Raises RulesRefused, LifecycleNotApproved, PlanChanged (another plan was approved), LifecycleChanged
    (another client was faster), LifecycleNotHeld; nothing has changed after any of them but LifecycleChanged.
    """
    guard.running(manager.stores)
    if wanted.findings:
        raise RulesRefused("; ".join(map(str, wanted.findings)))
    if approved and approved != wanted.sha256:
        raise PlanChanged(f"for the lifecycle rules of {wanted.bucket}", wanted.sha256, approved)
    if wanted.deletes and not approved:
        raise LifecycleNotApproved(f"{_deleting(wanted)}. Its SHA-256 is {wanted.sha256}")
    with manager.stores.runs.lock(LOCK):
        return _recorded(manager, wanted, by, approved)


def _deleting(wanted: Plan) -> str:
    return ", ".join(change.id for change in wanted.changes if change.rule and change.rule.deletes)


def _recorded(manager: Lifecycle, wanted: Plan, by: str, approved: str) -> Applied:
    """Install a plan between two entries of the version log, which show what a killed process left."""
    latest = manager.versions.latest()
    if not wanted.changes and wanted.requested == (latest.requested if latest else ()):
        if latest and latest.state == "begun":
            manager.versions.end(replace(latest, state="applied"))
        return Applied(number=0, left_out=dict(wanted.left_out))
    standing = wanted.found or b""
    if latest is None or latest.document != standing:
        manager.versions.add(_version("found", standing, "somebody else"))
    begun = replace(
        _version("begun", wanted.configuration.with_ours(wanted.raw()), by),
        plan_sha256=wanted.sha256,
        requested=wanted.requested,
        left_out=wanted.left_out,
    )
    begun = replace(begun, number=manager.versions.add(begun))
    try:
        document, done = _install(manager, wanted)
    except LifecycleNotRestored:
        raise  # the current configuration is unknown: the version stays begun, as after a crash
    except BaseException as error:
        manager.versions.end(replace(begun, state="failed", note=str(error)[:500] or type(error).__name__))
        raise
    left_out = {**wanted.left_out, **done.left_out}
    ended = replace(_version("applied", document, by), number=begun.number, left_out=left_out)
    manager.versions.end(ended)
    manager.stores.audit.record("lifecycle", "", _summary(wanted, ended, by, approved))
    return replace(done, number=begun.number, left_out=left_out)


def _version(state: str, document: bytes, by: str) -> Version:
    return Version(state=state, document=document, sha256=digest(document), by=by)  # type: ignore[arg-type]


def _summary(wanted: Plan, ended: Version, by: str, approved: str) -> dict[str, object]:
    changes = {one.id: one.verb for one in wanted.changes}
    left_out = {id: one.why for id, one in ended.left_out.items()}
    return {
        "bucket": wanted.bucket, "version": ended.number, "plan": wanted.sha256, "by": by,
        "approved": bool(approved), "changes": changes, "left_out": left_out,
    }  # fmt: skip


def _install(manager: Lifecycle, wanted: Plan) -> tuple[bytes, Applied]:
    """Upload the new configuration, read it back and compare. On failure restore the previous one.

    Return the configuration now in effect.
    """
    try:
        if (now := manager.rules.get()) != wanted.found:
            raise LifecycleChanged(f"planned on {digest(wanted.found)[:12]}, now {digest(now)[:12]}")
        left_out = _put_what_is_taken(manager, wanted) if wanted.changes else {}
        sent, back = _looked(manager, wanted, left_out)
        _only_ours_differ(back)
        if unheld := back.ours:
            left_out |= {id: _left(wanted, id, f"the store altered it: {why}") for id, why in unheld.items()}
            put_rules(manager.rules, wanted.configuration.with_ours(wanted.raw(without=left_out)))
            sent, back = _looked(manager, wanted, left_out)
            _only_ours_differ(back)
        if back.ours:
            raise LifecycleNotHeld(back.words())
    except LifecycleChanged:
        raise  # the current configuration is another client's latest change: keep it
    except BaseException as error:
        _restore(manager, wanted.found, error)
        raise
    changed = tuple(change.id for change in wanted.changes if change.id not in left_out)
    return back.document, Applied(number=0, changed=changed, left_out=left_out, reordered=back.reordered)


def _only_ours_differ(back: Readback) -> None:
    """Check that others' rules are intact.

    Raises LifecycleChanged if another client changed them, LifecycleNotHeld if the store lost parts of them.
    """
    if back.somebody:
        raise LifecycleChanged(f"during the apply, another client changed {back.somebody}")
    if back.foreign:
        raise LifecycleNotHeld(back.words())


def _put_what_is_taken(manager: Lifecycle, wanted: Plan) -> dict[str, LeftOut]:
    """Put all rules at once; if the store refuses, one by one. Return the refused rules, with the reason.

    Obsolete rules of ours are removed last, so that the bucket never has less than before.
    """
    try:
        put_rules(manager.rules, wanted.configuration.with_ours(wanted.raw()))
        return {}
    except StoreRefused as error:
        whole = error
    news = [change for change in wanted.changes if change.rule is not None]
    gone = {change.id for change in wanted.changes if change.rule is None}
    left_out = {change.id: _left(wanted, change.id, "") for change in news}
    for change in news:
        own = left_out.pop(change.id)
        try:
            put_rules(manager.rules, wanted.configuration.with_ours(wanted.raw(without={*left_out, *gone})))
        except StoreRefused as error:
            left_out[change.id] = replace(own, why=f"the store refuses it: {error.args[-1]}")
    try:
        put_rules(manager.rules, wanted.configuration.with_ours(wanted.raw(without=left_out)))
    except StoreRefused:
        raise whole from None  # it refuses even the existing configuration: our rules are not the cause
    return left_out


def _left(wanted: Plan, id: str, why: str) -> LeftOut:
    return LeftOut(why, form(wanted.wanted[id]) if id in wanted.wanted else "")


def put_rules(rules: BucketRules, document: bytes) -> None:
    """Put a configuration, or delete it if it is empty: a store accepts no empty one."""
    if document:
        rules.put(document)
    else:
        rules.clear()


def _looked(manager: Lifecycle, wanted: Plan, left_out: Iterable[str]) -> tuple[bytes, Readback]:
    """Return what was sent, and how the current configuration differs; some stores show a change late."""
    sent, seconds = wanted.configuration.with_ours(wanted.raw(without=left_out)), FIRST_PAUSE
    for look in range(LOOKS):
        if look:
            manager.pause(seconds)
            seconds *= 2
        back = compared(sent, manager.rules.get(), wanted.wanted)
        if back.well:
            break
    return sent, back


def _restore(manager: Lifecycle, before: bytes | None, error: BaseException) -> None:
    """Restore the previous configuration. Raises LifecycleNotRestored."""
    try:
        if manager.rules.get() != before:
            put_rules(manager.rules, before or b"")
            if not compared(before or b"", manager.rules.get(), {}).well:
                raise LifecycleNotHeld("the previous configuration does not read back as it was")
    except StorageError as again:
        raise LifecycleNotRestored(f"{error}; {again}") from error
