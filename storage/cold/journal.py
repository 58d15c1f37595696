"""What is remembered of objects on their way between tiers, and what is entered when they are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from storage.cold.errors import ContentDamaged
from storage.cold.model import ColdRecord, Details, Saving, TierTarget, class_of, compression_of
from storage.cold.ports import ColdStores
from storage.core.model import ObjectKey, Outcome, Prefix, owner_of

PROCESSED = Prefix("processed/")


@dataclass(frozen=True, slots=True)
class Move:
    """One object, as it was seen, and where it is to go."""

    key: ObjectKey
    etag: str
    place: TierTarget


@dataclass(frozen=True, slots=True)
class Looked:
    """A move whose object was there when looked at."""

    move: Move
    seen: Details

    @property
    def there(self) -> bool:
        return self.seen.info.storage_class == self.move.place.target


@dataclass(frozen=True, slots=True)
class Arrived(Outcome):
    """An object seen in its tier. ``left_behind``: bytes of the version that the move left."""

    now: Details | None = None
    place: TierTarget | None = None
    left_behind: int = 0


def memory_of(now: Details, known: ColdRecord | None) -> ColdRecord:
    """What is remembered of exactly these bytes; made anew where nothing is."""
    info = now.info
    if known and known.etag == info.etag:
        return replace(known, size=info.size)
    return ColdRecord(
        key=info.key,
        etag=info.etag,
        size=info.size,
        object_class=class_of(info.key),
        owner=owner_of(info.key, PROCESSED),
        compression="compressed" if _is_coded(now) else "",
    )


def _is_coded(now: Details) -> bool:
    """Whether we compressed it; one that says nonsense of itself is found out where it is read."""
    try:
        return compression_of(now.info.key, now.attributes) is not None
    except ContentDamaged:
        return False


def note_asked(looked: Sequence[Looked], stores: ColdStores) -> dict[str, ColdRecord]:
    """Remember what is about to be asked, and since when; what was remembered until now."""
    known = stores.cold.get_records([one.move.key for one in looked])
    before: dict[str, ColdRecord] = {
        one.move.key: memory_of(one.seen, known.get(one.move.key)) for one in looked
    }
    asked = []
    for one in looked:
        was, tier = before[one.move.key], one.move.place.tier
        on_its_way = was.tier == tier and was.tier_state in ("asked", "held")
        since = was.asked_at if on_its_way else stores.clock()
        asked.append(replace(was, tier=tier, tier_state="asked", asked_at=since))
    stores.cold.save_records(asked)
    return before


def note_failed(looked: Sequence[Looked], before: Mapping[str, ColdRecord], stores: ColdStores) -> None:
    """What was not moved after all is remembered as it was."""
    stores.cold.save_records([before[one.move.key] for one in looked])


def enter(arrived: Sequence[Arrived], stores: ColdStores, run_id: str) -> None:
    """Into the ledger first: killed in between, an object is still on its way, and is entered once more."""
    known = stores.cold.get_records([one.now.info.key for one in arrived if one.now])
    savings, records = [], []
    for one in arrived:
        assert one.now and one.place
        info, tier = one.now.info, one.place.tier
        was = known.get(info.key)
        made = memory_of(one.now, was)
        since = was.asked_at if was and was.tier == tier else None
        records.append(replace(made, tier=tier, tier_state="held", asked_at=since or stores.clock()))
        savings.append(
            Saving(
                run_id=run_id,
                key=info.key,
                object_class=made.object_class,
                owner=made.owner,
                kind="transition",
                etag=info.etag,
                before=one.bytes,
                after=info.size,
                left_behind=one.left_behind,
                tier=tier,
            )
        )
    stores.cold.enter(savings)
    stores.cold.save_records(records)
