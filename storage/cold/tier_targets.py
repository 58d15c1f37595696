"""Tier targets of a store: the storage class or lifecycle rule of each tier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from storage.cold.model import TierTarget
from storage.cold.ports import ColdStores
from storage.core.tiers import CLASSES_OF, Tier

HOT = ("", "STANDARD", "REDUCED_REDUNDANCY")
WARM = ("STANDARD_IA", "ONEZONE_IA")  # any other class that is no tier target counts as cold


@dataclass(frozen=True, slots=True)
class TierTargets:
    """Available tiers, and the reasons why the others are missing."""

    by_tier: Mapping[Tier, TierTarget]
    missing: Mapping[Tier, str] = field(default_factory=dict)

    def why_not(self, tier: Tier) -> str:
        return self.missing.get(tier, f"this store has no tier {tier}")

    def tier_of(self, storage_class: str) -> Tier:
        """Return an object's tier by its storage class."""
        ours = {place.target: tier for tier, place in self.by_tier.items()}
        if storage_class in ours:
            return ours[storage_class]
        return "hot" if storage_class in HOT else "warm" if storage_class in WARM else "cold"


def tier_targets(stores: ColdStores) -> TierTargets:
    """Return the configured targets that the probe or the bucket's rules confirm; unset ones are detected."""
    classes, rules = stores.control.capabilities().storage_classes, stores.tier_store.rules()
    found: dict[Tier, TierTarget] = {}
    missing: dict[Tier, str] = {}
    for tier, usual in CLASSES_OF.items():
        name = stores.cold_settings.tiers.get(tier, "")
        kept = next((one for one in ((name,) if name else usual) if one in classes), "")
        moved_to = rules.get(tier, "")
        if kept:
            found[tier] = TierTarget(tier, "class", kept)
        elif moved_to and name in ("", moved_to):
            found[tier] = TierTarget(tier, "tag", moved_to)
        else:
            missing[tier] = _why_not(tier, name)
    return TierTargets(found, missing)


def _why_not(tier: Tier, name: str) -> str:
    if not name:
        return (
            f"this store has no tier {tier}: no storage class for it was proven, and STORAGE_TIERS names none"
        )
    case = "; such names are upper case" if name != name.upper() else ""
    return (
        f"the tier {tier} is set to {name}, but `storage probe` found no such storage class, and no rule of "
        f"the bucket moves objects tagged tier={tier} there (`storage lifecycle apply` installs it){case}"
    )
