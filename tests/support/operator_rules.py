"""An operator's own lifecycle rules in a real bucket, beside the managed ones."""

from __future__ import annotations

from storage.lifecycle.document import OURS, read
from storage.lifecycle.s3 import S3Lifecycle
from tests.support.command_line import Answer, Person

ABORT, TIER, TEMP, FAILED = (
    f"{OURS}{name}"
    for name in ("abort-incomplete-uploads", "tier-cold", "delete-temp-files", "delete-failed-jobs")
)
OPERATORS = b"""<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
  <!-- ours, do not touch -->
  <Rule><ID>ops logs</ID><Filter><And><Prefix>logs/</Prefix><Tag><Key>team</Key><Value>a &amp; b</Value></Tag>
    <ObjectSizeGreaterThan>5</ObjectSizeGreaterThan><ObjectSizeLessThan>500</ObjectSizeLessThan></And></Filter>
    <Status>Enabled</Status><Expiration><Days>400</Days></Expiration><Fancy><Deep>1</Deep></Fancy></Rule>
  <Rule><ID>ops old</ID><Filter><Prefix>old/</Prefix></Filter><Status>Disabled</Status>
    <NoncurrentVersionExpiration><NoncurrentDays>9</NoncurrentDays></NoncurrentVersionExpiration></Rule>
</LifecycleConfiguration>"""


def theirs(rules: S3Lifecycle) -> list[bytes]:
    return [piece.raw for piece in read(rules.get()).foreign]


def ours(rules: S3Lifecycle) -> set[str]:
    return set(read(rules.get()).ours)


def approved(storage: Person, *words: str) -> Answer:
    """Plan, then apply with the plan's hash as approval."""
    made = storage("lifecycle", "plan", *words, "--json").document
    return storage("lifecycle", "apply", *words, "--approve", made["sha256"])
