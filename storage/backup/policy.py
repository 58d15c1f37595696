"""Retention of backups: which are kept, and which may be pruned. Only proven backups count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain

from storage.backup.actions import PruneBackup
from storage.backup.model import KINDS, MANIFEST, Backup, BackupId, BackupKind, BackupState, folder
from storage.backup.ports import BackupStores
from storage.core.errors import InvalidName, Refused
from storage.core.model import ObjectKey, Prefix
from storage.engine.actions import Action, Keep
from storage.engine.policy import span

FRESH = timedelta(hours=26)  # backups are pruned only if a proven one is this young
SETTLED = timedelta(hours=48)  # younger backups may still be in use, whatever their row says
SKEW = timedelta(seconds=60)
COUNTED: tuple[BackupState, ...] = ("complete", "proven")
QUARANTINED = "quarantined"  # begins the message of a backup in quarantine
LOST = "its manifest is not in the bucket: see `storage backup list --from-bucket`"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Numbers of backups to keep, of each kind.

    Kept are the newest ``last`` proven ones, all younger than ``daily_days``, and the newest proven one of
    each of the latest weeks (ISO), months and years (UTC) that have one. At least ``minimum`` proven ones
    remain.
    """

    last: int = 3
    daily_days: float = 30
    weekly: int = 8
    monthly: int = 12
    yearly: int = 3
    minimum: int = 3

    @property
    def young(self) -> timedelta:
        return timedelta(days=self.daily_days)


def decide(
    backups: Sequence[Backup], as_of: datetime, rule: Rule, now: datetime | None = None
) -> dict[BackupId, str]:
    """Return why each kept backup stays; backups not in the result may be pruned.

    At most half of a kind is pruned at once, the oldest first. ``now`` is the current time, where it is past
    ``as_of``: a nightly run plans for the time it was due, and that night's backup is some minutes later.
    Expired backups do not count. Raises Refused when a backup is dated in the future, or no proven one is
    younger than 26 h.
    """
    stays: dict[BackupId, str] = {}
    for kind in KINDS:
        if mine := sorted((backup for backup in backups if backup.kind == kind), key=_order, reverse=True):
            _refuse(kind, mine, now or as_of)
            stays |= _of_kind(mine, as_of, rule)
    return stays


def _order(backup: Backup) -> tuple[datetime, str]:
    return backup.taken_at, backup.id


def _refuse(kind: BackupKind, backups: Sequence[Backup], now: datetime) -> None:
    """Raise Refused unless every backup that may count is of the past and the newest proven one is fresh."""
    counting = (one for one in backups if one.state in ("running", *COUNTED))
    if ahead := next((one for one in counting if one.taken_at > now + SKEW), None):
        raise Refused(
            "retention",
            f"the {kind} backup {ahead.id} is dated in the future ({ahead.taken_at.isoformat()}): a clock "
            f"was wrong. Set the clocks (NTP); then `storage backup quarantine {ahead.id}`.",
        )
    proven = next((backup for backup in backups if backup.state == "proven"), None)
    if proven is None or now - proven.taken_at > FRESH:
        which = f"is {span(now - proven.taken_at)} old" if proven else "is missing"
        raise Refused(
            "retention",
            f"the newest proven {kind} backup {which}; old backups are pruned only while a proven one is "
            f"younger than {span(FRESH)}. Run `storage backup run` (DAG daily_backup), which also proves it.",
        )


def _of_kind(backups: Sequence[Backup], as_of: datetime, rule: Rule) -> dict[BackupId, str]:
    """Decide as :func:`decide` for backups of one kind, newest first, at least one of them proven."""
    sets = [backup for backup in backups if backup.state != "expired"]
    proven = [backup for backup in sets if backup.state == "proven"]
    stays = _by_period(proven, rule)
    for backup in backups:
        if why := _stays(backup, as_of, rule, len(proven)):
            stays[backup.id] = why
    for backup in proven[: max(rule.last, rule.minimum)]:
        stays[backup.id] = "one of the newest proven backups"
    stays[proven[0].id] = "the newest proven backup"
    going = [backup for backup in reversed(sets) if backup.id not in stays]
    for backup in going[len(sets) // 2 :]:
        stays[backup.id] = "left for a later run: at most half of the backups are pruned at once"
    return stays


def _by_period(proven: Sequence[Backup], rule: Rule) -> dict[BackupId, str]:
    """Return the newest proven backup of each of the latest weeks, months and years, and the reason."""
    stays: dict[BackupId, str] = {}
    for name, shape, count in (
        ("year", "%Y", rule.yearly),
        ("month", "%Y-%m", rule.monthly),
        ("week", "%G-W%V", rule.weekly),
    ):
        newest: dict[str, Backup] = {}
        for backup in proven:
            newest.setdefault(backup.taken_at.astimezone(UTC).strftime(shape), backup)
        for period in list(newest)[:count]:
            stays[newest[period].id] = f"the proven backup of the {name} {period}"
    return stays


def _stays(backup: Backup, as_of: datetime, rule: Rule, proven: int) -> str | None:
    """Return why a backup itself must stay, or None. ``proven``: the number of proven backups."""
    if backup.pinned:
        return f"pinned: {backup.pinned}"
    if backup.state == "expired":
        return None
    if backup.state == "running":
        return "the backup is still running"
    if backup.state == "failed" and backup.message.startswith(QUARANTINED):
        return backup.message
    if backup.state == "failed" and backup.certificate:
        return "was proven once and failed a later proof: find the cause, and prove it again"
    age, until = as_of - backup.taken_at, SETTLED if _bare(backup) else max(SETTLED, rule.young)
    if age < until:
        return f"{backup.state}, {span(age)} old; it may go once {span(until)} old"
    if backup.state != "proven" and not _bare(backup) and proven < rule.minimum:
        return f"{backup.state}, but only {proven} are proven; it may go once {rule.minimum} are"
    return None


def _bare(backup: Backup) -> bool:
    """Return True if nothing of the backup can be restored: it ended before it had a manifest."""
    return backup.state == "failed" and not backup.manifest_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupInventory:
    """The catalogue's rows beside the bucket's folders.

    ``sizes``: bytes in each folder, 0 for a folder with uploads only; ``manifests``: the folders that have
    one.
    """

    backups: Sequence[Backup]
    sizes: Mapping[str, int]
    manifests: frozenset[str]
    now: datetime


@dataclass(frozen=True, kw_only=True)
class OldBackups:
    """Policy that prunes backups the rule does not keep.

    Backups unknown to the catalogue stay, and count for nothing.
    """

    rule: Rule = Rule()

    def select(self, stores: BackupStores, as_of: datetime) -> Iterator[BackupInventory]:
        backups, backup_bucket = stores.catalogue.all(), stores.backup_bucket
        sizes, manifests = dict[str, int](), set[str]()
        for info in chain.from_iterable(backup_bucket.scan(Prefix(f"{kind}/")) for kind in KINDS):
            place = _place(info.key)
            sizes[place] = sizes.get(place, 0) + info.size
            if info.key == place + MANIFEST:
                manifests.add(place)
        for upload in chain(stores.backup_uploads.open(), backup_bucket.uploads()):
            if upload.key.startswith(tuple(f"{kind}/" for kind in KINDS)):
                sizes.setdefault(_place(upload.key), 0)
        unseen = (_folder(backup) for backup in backups if backup.state not in ("running", "expired"))
        manifests |= {p for p in unseen if p not in manifests and backup_bucket.head(ObjectKey(p + MANIFEST))}
        yield BackupInventory(
            backups=backups, sizes=sizes, manifests=frozenset(manifests), now=stores.clock()
        )

    def plan(
        self, items: Iterable[BackupInventory], as_of: datetime
    ) -> Iterator[Action[BackupStores] | Keep]:
        for inventory in items:
            yield from self._known(inventory, as_of)
            yield from _unknown(inventory)

    def _known(self, inventory: BackupInventory, as_of: datetime) -> Iterator[Action[BackupStores] | Keep]:
        """Plan the rows that count or have left objects in the bucket, oldest first."""
        rows = sorted((backup for backup in inventory.backups if _lives(backup, inventory)), key=_order)
        lost = {backup.id for backup in rows if _lost(backup, inventory)}
        counted = [_as_shown(backup, inventory) for backup in rows if backup.id not in lost]
        stays = dict.fromkeys(lost, LOST)
        stays |= decide(counted, as_of, self.rule, inventory.now)
        for backup in rows:
            size = inventory.sizes.get(_folder(backup), 0)
            if why := stays.get(backup.id):
                yield Keep(_folder(backup), size, why)
            else:
                yield self._prune(backup, size, as_of, worthless=_bare(_as_shown(backup, inventory)))

    def _prune(self, backup: Backup, size: int, as_of: datetime, worthless: bool) -> PruneBackup:
        age = span(as_of - backup.taken_at)
        if backup.state == "expired":
            reason = "expired before, but not fully deleted"
        elif worthless:
            reason = f"failed {age} ago without a manifest: {backup.message}"
        else:
            reason = f"{backup.state}, {age} old, and not kept by the rule"
        minimum = 0 if worthless or backup.state == "expired" else self.rule.minimum
        return PruneBackup(
            id=backup.id, kind=backup.kind, state=backup.state, size=size, minimum=minimum, reason=reason
        )


def _folder(backup: Backup) -> str:
    return folder(backup.kind, backup.id)


def _place(key: str) -> str:
    """Return the folder of a key, such as ``database/x/``, or the key itself where it is in none."""
    kind, _, rest = key.partition("/")
    name, slash, _ = rest.partition("/")
    return f"{kind}/{name}{slash}"


def _lives(backup: Backup, inventory: BackupInventory) -> bool:
    return backup.state != "expired" or _folder(backup) in inventory.sizes


def _lost(backup: Backup, inventory: BackupInventory) -> bool:
    """Return True if another client deleted the manifest. What is left of the backup is evidence.

    Pruning does not do that: it expires the row first.
    """
    left = backup.state == "failed" and backup.manifest_sha256 and _folder(backup) in inventory.sizes
    return (backup.state in COUNTED or bool(left)) and _folder(backup) not in inventory.manifests


def _as_shown(backup: Backup, inventory: BackupInventory) -> Backup:
    """Return the backup as complete if it was killed between writing its manifest and its row."""
    whole = _bare(backup) and _folder(backup) in inventory.manifests
    return replace(backup, state="complete") if whole else backup


def _unknown(inventory: BackupInventory) -> Iterator[Keep]:
    known = {_folder(backup) for backup in inventory.backups}
    for place in sorted(inventory.sizes.keys() - known):
        yield Keep(place, inventory.sizes[place], _stranger(place, place in inventory.manifests))


def _stranger(place: str, manifest: bool) -> str:
    name = place.split("/")[1]
    try:
        BackupId(name)
    except InvalidName:
        return "not a backup's folder"
    beside = "" if manifest else ", and without a manifest"
    return f"unknown to the catalogue{beside}: see `storage backup list --from-bucket`"
