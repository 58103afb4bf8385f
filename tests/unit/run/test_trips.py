"""Closed round trips keep the columns of statistics, wherever their rows lie and whatever is told of them later."""

from decimal import Decimal

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from abidance.journal.told import TripColumns
from abidance.model.account import RoundTrip
from abidance.model.order import Direction
from abidance.run.shelf import Shelf
from abidance.run.trips import Trips

amounts = st.integers(-9, 9).map(Decimal)
made = st.builds(
    lambda strategy, instrument, entry, pnl: RoundTrip(
        instrument, strategy, Direction.LONG, entry, Decimal(100), entry + 7, Decimal(101), Decimal(2),
        pnl, Decimal(1), Decimal(0),
    ),
    st.sampled_from("abc"), st.sampled_from(["BTC", "ETH"]), st.integers(0, 99), amounts,
)  # fmt: skip


@given(st.lists(made, max_size=30), st.lists(st.tuples(st.integers(0, 29), amounts), max_size=5))
def test_the_columns_of_a_strategy_are_those_of_its_round_trips(
    came: list[RoundTrip], paid: list[tuple[int, Decimal]]
) -> None:
    shelf = Shelf(4, 2)
    trips = Trips(shelf)
    for each in came:
        trips.append(each)
    for at, funding in paid:
        if at < len(came):
            old = came[at]
            trips[at] = came[at] = msgspec.structs.replace(
                old, pnl=old.pnl + funding, funding=old.funding + funding
            )

    assert {name: trips.wins[name] for name in "abc"} == {
        name: sum(each.strategy == name and each.pnl > 0 for each in came) for name in "abc"
    }
    for (strategy, instrument), brought in trips.brought.items():
        theirs = [each.pnl for each in came if (each.strategy, each.instrument) == (strategy, instrument)]
        assert brought == float(sum(theirs))
    for name in "abcd":
        columns = trips.columns()
        place = columns.strategies.index(name) if name in columns.strategies else -1
        found = columns.only(columns.strategy == place)
        expected = TripColumns.of(each for each in came if each.strategy == name)

        assert len(found) == len(expected)
        assert [found.instruments[each] for each in found.instrument] == [
            expected.instruments[each] for each in expected.instrument
        ]
        for column in ("ts_entry", "ts_exit", "is_open", "pnl", "fees", "funding", "value"):
            assert np.array_equal(getattr(found, column), getattr(expected, column)), column
    shelf.close()
