"""kill -9 in the middle of a swap."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devstack.postgres import Postgres
from storage.backup.context import BackupContext
from storage.backup.database import backup_database
from storage.backup.restore.swap import swap, undo_swap
from tests.conftest import Place
from tests.faults import draw
from tests.support.killed_swap import killed_swap
from tests.support.plain_owner import ONE_STORE, add_jobs, context_of, count, databases, kept_database, live


@pytest.fixture
def context(place: Place, postgres_server: Postgres) -> Iterator[BackupContext]:
    with kept_database(postgres_server) as url, context_of(place, url) as made:
        yield made


@ONE_STORE
def test_the_live_database_is_wholly_old_or_new(context: BackupContext, postgres_server: Postgres) -> None:
    """Killed before and after statements of the exchange, and some of those around it: the live database
    answers at once and is whole, and the next swap clears away what the killed one left."""
    url, before = context.settings.database_url, databases(postgres_server)
    id = backup_database(context).id
    add_jobs(url, "later", 4)
    stages = killed_swap(context.settings, id, live(context), 0)
    undo_swap(context, typed=live(context), by="a person")
    found = []
    for point in _chosen(stages):
        killed_swap(context.settings, id, live(context), point)
        found.append(count(url))
        assert found[-1] in (9, 5), (point, stages[point - 1])
        assert bool(context.stores.control.read("restore_epoch")) == (found[-1] == 5)
        if found[-1] == 5:
            undo_swap(context, typed=live(context), by="a person")
    assert found == sorted(found, reverse=True)  # old up to the commit, new from there
    assert {5, 9} == set(found)
    last = swap(context, id, typed=live(context), by="a person")
    left = set(databases(postgres_server)) - set(before)
    assert last.kept in left
    assert not [name for name in left if "_restored_" in name]


def _chosen(stages: list[str]) -> list[int]:
    """Return the ends and a drawn third of the exchange, and first, middle and last of each other stage."""
    numbers = {stage: [n for n, one in enumerate(stages, 1) if one == stage] for stage in stages}
    assert numbers.keys() == {"_prepare", "copy_database_settings", "exchange", "_bring_stragglers"}
    assert len(numbers["exchange"]) >= 14
    others = [
        (some[0], some[len(some) // 2], some[-1]) for name, some in numbers.items() if name != "exchange"
    ]
    exchange = numbers["exchange"]
    drawn = {exchange[0], exchange[-1], *draw.share(exchange, 3)}
    return sorted({*drawn, *(n for some in others for n in some)})
