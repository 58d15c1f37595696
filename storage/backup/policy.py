"""Which backups are kept, and which may go. Only proven ones count as backups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain

from storage.backup.actions import PruneBackup
from storage.backup.model import KINDS, MANIFEST, Backup, BackupId, BackupKind, folder
from storage.backup.ports import BackupStores
from storage.core.errors import InvalidName, Refused
from storage.core.model import ObjectKey, Prefix
from storage.engine.actions import Action, Keep
from storage.engine.policy import span

FRESH = timedelta(hours=26)  # nothing is pruned but after a proven backup this young
SETTLED = timedelta(hours=48)  # what is younger may still be worked on, whatever its row says
SKEW = timedelta(seconds=60)
COUNTED = ("complete", "proven")
LOST = "its manifest is not in the bucket: see `storage backup list --from-bucket`"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How many stay, of each kind: the newest ``last`` proven ones, all younger than ``daily_days``, and the
    newest proven one of each of the latest weeks (ISO), months and years (UTC) that have one.

    There are never fewer than ``minimum`` proven ones.
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
    """Why each one stays; what is not in it may go. At most half of a kind goes at once, the oldest first.

    ``now`` is the clock, where it is past ``as_of``: a nightly run reasons about the time it was due, and
    the night's backup is of some minutes later. What is expired already is no backup and does not count.
    Raises Refused when a backup is dated in the future, or no proven one is younger than 26 h.
    """
    stays: dict[BackupId, str] = {}
    for kind in KINDS:
        if mine := sorted((one for one in backups if one.kind == kind), key=_order, reverse=True):
            _refuse(kind, mine, now or as_of)
            stays |= _of_kind(mine, as_of, rule)
    return stays


def _order(backup: Backup) -> tuple[datetime, str]:
    return backup.taken_at, backup.id


def _refuse(kind: BackupKind, backups: Sequence[Backup], now: datetime) -> None:
    """Raise Refused unless the newest is of the past and the newest proven one is fresh."""
    newest = backups[0]
    if newest.taken_at > now + SKEW:
        raise Refused(
            "retention",
            f"the {kind} backup {newest.id} is dated in the future ({newest.taken_at.isoformat()}): a clock "
            "or the catalogue is wrong. Set the clocks (NTP), and look at `storage backup list`.",
        )
    proven = next((one for one in backups if one.state == "proven"), None)
    if proven is None or now - proven.taken_at > FRESH:
        which = f"is {span(now - proven.taken_at)} old" if proven else "is missing"
        raise Refused(
            "retention",
            f"the newest proven {kind} backup {which}; old ones go only after a proven one younger than "
            f"{span(FRESH)}. Run `storage backup run` (DAG daily_backup), which proves it, too.",
        )


def _of_kind(backups: Sequence[Backup], as_of: datetime, rule: Rule) -> dict[BackupId, str]:
    """As :func:`decide`, for those of one kind, newest first, one of them proven."""
    sets = [one for one in backups if one.state != "expired"]
    proven = [one for one in sets if one.state == "proven"]
    stays = _by_period(proven, rule)
    for one in backups:
        if why := _stays(one, as_of, rule, len(proven)):
            stays[one.id] = why
    for one in proven[: max(rule.last, rule.minimum)]:
        stays[one.id] = "one of the newest proven ones"
    stays[proven[0].id] = "the newest proven one"
    going = [one for one in reversed(sets) if one.id not in stays]
    for one in going[len(sets) // 2 :]:
        stays[one.id] = "goes with a later run: at most half of all go at once"
    return stays


def _by_period(proven: Sequence[Backup], rule: Rule) -> dict[BackupId, str]:
    """The newest one of each of the latest weeks, months and years."""
    stays: dict[BackupId, str] = {}
    for name, shape, count in (
        ("year", "%Y", rule.yearly),
        ("month", "%Y-%m", rule.monthly),
        ("week", "%G-W%V", rule.weekly),
    ):
        newest: dict[str, Backup] = {}
        for one in proven:
            newest.setdefault(one.taken_at.astimezone(UTC).strftime(shape), one)
        for period in list(newest)[:count]:
            stays[newest[period].id] = f"the proven one of the {name} {period}"
    return stays


def _stays(one: Backup, as_of: datetime, rule: Rule, proven: int) -> str | None:
    """Why it stays for its own sake; None when it may go. ``proven``: how many are."""
    if one.pinned:
        return f"pinned: {one.pinned}"
    if one.state == "expired":
        return None
    if one.state == "running":
        return "it is being taken"
    if one.state == "failed" and one.certificate:
        return "was proven once and failed a later proof: look into it, and prove it again"
    age, until = as_of - one.taken_at, SETTLED if _bare(one) else max(SETTLED, rule.young)
    if age < until:
        return f"{one.state}, {span(age)} old; it may go once {span(until)} old"
    if one.state != "proven" and not _bare(one) and proven < rule.minimum:
        return f"{one.state}, but only {proven} are proven; it may go once {rule.minimum} are"
    return None


def _bare(backup: Backup) -> bool:
    """Whether nothing of it could ever be restored: it ended before it had a manifest."""
    return backup.state == "failed" and not backup.manifest_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupInventory:
    """The catalogue beside the bucket. ``sizes``: bytes in each folder, 0 where there are only uploads;
    ``manifests``: the folders with one."""

    backups: Sequence[Backup]
    sizes: Mapping[str, int]
    manifests: frozenset[str]
    now: datetime


@dataclass(frozen=True, kw_only=True)
class OldBackups:
    """Backups that the rule does not keep. What the catalogue does not know stays, and counts for nothing."""

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
        unseen = (_folder(one) for one in backups if one.state not in ("running", "expired"))
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
        """The rows that are or leave anything, oldest first."""
        rows = sorted((one for one in inventory.backups if _lives(one, inventory)), key=_order)
        lost = {one.id for one in rows if _lost(one, inventory)}
        counted = [_as_shown(one, inventory) for one in rows if one.id not in lost]
        stays = dict.fromkeys(lost, LOST)
        stays |= decide(counted, as_of, self.rule, inventory.now)
        for one in rows:
            size = inventory.sizes.get(_folder(one), 0)
            if why := stays.get(one.id):
                yield Keep(_folder(one), size, why)
            else:
                yield self._prune(one, size, as_of, worthless=_bare(_as_shown(one, inventory)))

    def _prune(self, one: Backup, size: int, as_of: datetime, worthless: bool) -> PruneBackup:
        age = span(as_of - one.taken_at)
        if one.state == "expired":
            reason = "expired before, and not all of it is gone"
        elif worthless:
            reason = f"failed {age} ago without a manifest: {one.message}"
        else:
            reason = f"{one.state}, {age} old, and none of those that are kept"
        minimum = 0 if worthless or one.state == "expired" else self.rule.minimum
        return PruneBackup(
            id=one.id, kind=one.kind, state=one.state, size=size, minimum=minimum, reason=reason
        )


def _folder(backup: Backup) -> str:
    return folder(backup.kind, backup.id)


def _place(key: str) -> str:
    """The folder of a key, such as ``database/x/``; the key itself where it lies in none."""
    kind, _, rest = key.partition("/")
    name, slash, _ = rest.partition("/")
    return f"{kind}/{name}{slash}"


def _lives(backup: Backup, inventory: BackupInventory) -> bool:
    return backup.state != "expired" or _folder(backup) in inventory.sizes


def _lost(backup: Backup, inventory: BackupInventory) -> bool:
    """Whether somebody else took its manifest away: pruning turns the row first. What is left is evidence."""
    left = backup.state == "failed" and backup.manifest_sha256 and _folder(backup) in inventory.sizes
    return (backup.state in COUNTED or bool(left)) and _folder(backup) not in inventory.manifests


def _as_shown(backup: Backup, inventory: BackupInventory) -> Backup:
    """A backup that was killed between its manifest and its row is whole all the same."""
    whole = _bare(backup) and _folder(backup) in inventory.manifests
    return replace(backup, state="complete") if whole else backup


def _unknown(inventory: BackupInventory) -> Iterator[Keep]:
    known = {_folder(one) for one in inventory.backups}
    for place in sorted(inventory.sizes.keys() - known):
        yield Keep(place, inventory.sizes[place], _stranger(place, place in inventory.manifests))


def _stranger(place: str, manifest: bool) -> str:
    name = place.split("/")[1]
    try:
        BackupId(name)
    except InvalidName:
        return "no folder of a backup"
    beside = "" if manifest else ", and without a manifest"
    return f"unknown to the catalogue{beside}: see `storage backup list --from-bucket`"
