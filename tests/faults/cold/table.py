"""Table of the acts on cold data that get faults, with the state required once each was repeated."""

from __future__ import annotations

from tests.faults.cold.acts import (
    COMPRESS,
    MOVE,
    NIGHT,
    Act,
    ask,
    bring_back,
    compress_first,
    decompress,
    in_parts,
    lifecycle,
    ours_stand,
    planned,
    rule_is_back,
    rule_is_gone,
    send,
    sent_earlier,
    taken,
)
from tests.faults.cold.things import DRESSED, FILM, LARGE, TEXT, TINY

_USUAL = (TEXT, DRESSED, FILM, TINY)
_TEXTS = (TEXT, DRESSED)
_MOVED = (TEXT, DRESSED, FILM)


def _of_both(kind: str) -> tuple[Act, ...]:
    return (
        Act(
            name=f"bring back from {'a remote tier' if kind == 'minio' else 'a class'}",
            kind=kind, things=_TEXTS, before=send, does=bring_back, ledger=("transition", "return"),
            by_hand=True,
        ),
        Act(
            name=f"lifecycle apply on {kind}", kind=kind, things=(TEXT,), does=lifecycle,
            before=lambda cold_env: cold_env.install(managed=False), more=ours_stand, by_hand=True,
        ),
    )  # fmt: skip


ACTS = (
    Act(
        name="compress", kind="minio", things=_USUAL, does=COMPRESS, compressed=_TEXTS, skipped=(FILM,),
    ),
    Act(
        name="compress in parts", kind="minio", things=(LARGE,), before=planned("compress"), does=in_parts,
        compressed=(LARGE,),
    ),
    Act(
        name="move by tag", kind="minio", things=_MOVED, before=planned("transition"), does=MOVE,
        between=taken, moved=_MOVED,
    ),
    Act(
        name="ask to move", kind="minio", things=_TEXTS, before=rule_is_gone, does=ask,
        between=rule_is_back, then=("second",), moved=_TEXTS,
    ),
    Act(
        name="follow up", kind="minio", things=_TEXTS, before=sent_earlier, does=MOVE, moved=_TEXTS,
    ),
    Act(
        name="decompress", kind="minio", things=_TEXTS, before=compress_first, does=decompress,
        ledger=("compress", "decompress"), skipped=_TEXTS, by_hand=True,
    ),
    Act(
        name="compress and move by class", kind="ministack", things=_MOVED, does=NIGHT, compressed=_TEXTS,
        skipped=(FILM,), moved=_MOVED,
    ),
    *_of_both("minio"),
    *_of_both("ministack"),
)  # fmt: skip
