"""Build the stores of cold data from settings."""

from __future__ import annotations

from typing import TypedDict

from sqlalchemy import Engine

from storage.cold.ports import ColdLog, ObjectReplacer, TierStore
from storage.cold.postgres import PostgresCold
from storage.cold.s3.replace import S3ObjectReplacer
from storage.cold.s3.transition import S3TierStore
from storage.core.capabilities import Capabilities
from storage.core.ports import Stores
from storage.core.settings import Settings
from storage.core.tiers import ColdSettings
from storage.stores.s3.bucket import S3Bucket


class Members(TypedDict):
    """Members that :class:`storage.cold.ports.ColdStores` adds to the engine's stores."""

    replacer: ObjectReplacer
    tier_store: TierStore
    cold: ColdLog
    cold_settings: ColdSettings


def members(settings: Settings, shared: Stores, engine: Engine) -> Members:
    """Build the stores of cold data, beside the shared ones, on an open database."""
    objects, control = shared.objects, shared.control
    assert isinstance(objects, S3Bucket)  # as built by connect
    return Members(
        replacer=S3ObjectReplacer(
            objects,
            conditional=lambda: _honours_if_match(control.capabilities()),
            counts_tags=lambda: control.capabilities().counts_tags is True,
            uploads=shared.uploads,
        ),
        tier_store=S3TierStore(objects, control.capabilities, shared.uploads),
        cold=PostgresCold(engine, objects.bucket),
        cold_settings=settings.cold_settings,
    )


def _honours_if_match(found: Capabilities) -> bool:
    return found.conditional_put is True and found.conditional_complete is True
