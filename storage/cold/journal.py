"""Persist in-flight tier transitions, and record savings once a transition is confirmed."""

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
    """Object to move, as it was seen, and its target."""

    key: ObjectKey
    etag: str
    place: TierTarget


@dataclass(frozen=True, slots=True)
class Looked:
    """Move whose object was found by a HEAD."""

    move: Move
    seen: Details

    @property
    def there(self) -> bool:
        return self.seen.info.storage_class == self.move.place.target


@dataclass(frozen=True, slots=True)
class Arrived(Outcome):
    """Outcome of an object confirmed in its tier. ``left_behind``: bytes of the version the move left."""

    now: Details | None = None
    place: TierTarget | None = None
    left_behind: int = 0


def memory_of(now: Details, known: ColdRecord | None) -> ColdRecord:
    """Return the record of exactly these bytes, or a new one if there is none."""
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
    """Return True if we compressed the object; invalid metadata is reported where the object is read."""
    try:
        return compression_of(now.info.key, now.attributes) is not None
    except ContentDamaged:
        return False


def note_asked(looked: Sequence[Looked], stores: ColdStores) -> dict[str, ColdRecord]:
    """Record the moves about to be requested, with their time; return the previous records."""
    known = stores.cold.get_records([item.move.key for item in looked])
    before: dict[str, ColdRecord] = {
        item.move.key: memory_of(item.seen, known.get(item.move.key)) for item in looked
    }
    asked = []
    for item in looked:
        was, tier = before[item.move.key], item.move.place.tier
        on_its_way = was.tier == tier and was.tier_state in ("asked", "held")
        since = was.asked_at if on_its_way else stores.clock()
        asked.append(replace(was, tier=tier, tier_state="asked", asked_at=since))
    stores.cold.save_records(asked)
    return before


def note_failed(looked: Sequence[Looked], before: Mapping[str, ColdRecord], stores: ColdStores) -> None:
    """Restore the previous records of objects that were not moved."""
    stores.cold.save_records([before[item.move.key] for item in looked])


def enter(arrived: Sequence[Arrived], stores: ColdStores, run_id: str) -> None:
    """Write the ledger first: after a kill in between, the move is still pending and is entered again."""
    known = stores.cold.get_records([arrival.now.info.key for arrival in arrived if arrival.now])
    savings, records = [], []
    for arrival in arrived:
        assert arrival.now and arrival.place
        info, tier = arrival.now.info, arrival.place.tier
        was = known.get(info.key)
        made = memory_of(arrival.now, was)
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
                before=arrival.bytes,
                after=info.size,
                left_behind=arrival.left_behind,
                tier=tier,
            )
        )
    stores.cold.enter(savings)
    stores.cold.save_records(records)
