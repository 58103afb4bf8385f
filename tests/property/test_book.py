"""A book under a stream that loses, repeats and reorders: it is right, or it says that it is not whole."""

import random
import zlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.market.book import BookRule, Continuity, OrderBook, Taken
from abidance.model.instrument import Instrument
from abidance.model.market import BookDelta

NAME = "BTC/USDT@BINANCE"
PAIR = Instrument(NAME, Decimal("0.5"), Decimal("0.001"), Decimal("0.001"), Decimal(1))
Sides = tuple[dict[float, float], dict[float, float]]
RULES = {
    Continuity.RANGE: BookRule(Continuity.RANGE, snapshot_in_stream=False, depths=(0,)),
    Continuity.PREVIOUS: BookRule(Continuity.PREVIOUS, snapshot_in_stream=False, depths=(0,)),
    Continuity.STEP: BookRule(Continuity.STEP, snapshot_in_stream=True, depths=(50,)),
    Continuity.CHECKSUM: BookRule(Continuity.CHECKSUM, snapshot_in_stream=True, depths=(1000,)),
}


class Market:
    """A ladder kept the plain way, and the updates that a venue would tell of it."""

    def __init__(self, continuity: Continuity, seed: int) -> None:
        self.chance = random.Random(seed)
        self.continuity = continuity
        self.last = 100
        self.sides: Sides = (
            {100.0 - at / 2: 1.0 for at in range(1, 9)},
            {100.0 + at / 2: 1.0 for at in range(1, 9)},
        )
        self.truth = {self.last: self.copy()}

    def copy(self) -> Sides:
        bids, asks = self.sides
        return dict(bids), dict(asks)

    def sum(self) -> int:
        if self.continuity is not Continuity.CHECKSUM:
            return -1
        bids, asks = self.sides
        best = sorted(asks.items())[:10], sorted(bids.items(), reverse=True)[:10]
        digits = (f"{round(price * 10)}{round(size * 1000)}" for side in best for price, size in side)
        return zlib.crc32("".join(digits).encode())

    def step(self) -> BookDelta:
        """Change some levels near a mid that wanders, so that it never crosses."""
        chance, (bids, asks) = self.chance, self.sides
        mid = 100.0 + chance.randint(-3, 3) / 2
        changes: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
        for side, sign, told in ((bids, -1, changes[0]), (asks, 1, changes[1])):
            for price in [each for each in side if (each - mid) * sign <= 0]:
                del side[price]
                told.append((price, 0.0))
            for _ in range(chance.randint(0, 3)):
                price, size = mid + sign * chance.randint(1, 9) / 2, chance.randint(0, 4) / 4
                told.append((price, size))
                side.pop(price, None)
                if size:
                    side[price] = size
        first = self.last + 1
        previous, self.last = (
            self.last,
            self.last
            + (1 if self.continuity in {Continuity.STEP, Continuity.CHECKSUM} else chance.randint(1, 5)),
        )
        self.truth[self.last] = self.copy()
        return BookDelta(
            self.last * 10**6,
            NAME,
            *changes,
            first=first,
            last=self.last,
            previous=previous,
            checksum=self.sum(),
        )

    def snapshot(self) -> BookDelta:
        bids, asks = self.sides
        return BookDelta(
            0, NAME, list(bids.items()), list(asks.items()), True, last=self.last, checksum=self.sum()
        )


def ladder(book: OrderBook) -> Sides:
    top = book.top()
    return dict(top.bids), dict(top.asks)


@pytest.mark.parametrize("continuity", RULES)
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 60))
def test_a_whole_stream_leaves_the_very_ladder(continuity: Continuity, seed: int, steps: int) -> None:
    market = Market(continuity, seed)
    book = OrderBook(PAIR, RULES[continuity], depth=1000)
    book.apply(market.snapshot())

    for _ in range(steps):
        assert book.apply(market.step()) is Taken.APPLIED

    assert ladder(book) == market.sides
    bids, asks = book.top().bids, book.top().asks
    assert list(bids) == sorted(bids, reverse=True)
    assert list(asks) == sorted(asks)


@pytest.mark.parametrize("continuity", [Continuity.RANGE, Continuity.PREVIOUS, Continuity.STEP])
@given(seed=st.integers(0, 2**32), faults=st.lists(st.sampled_from("-drws"), max_size=60))
def test_a_faulty_stream_never_leaves_a_wrong_ladder_that_calls_itself_whole(
    continuity: Continuity, seed: int, faults: list[str]
) -> None:
    market = Market(continuity, seed)
    book = OrderBook(PAIR, RULES[continuity], depth=1000)
    held: list[BookDelta] = []
    snapshot = market.snapshot()
    book.apply(snapshot)

    for fault in faults:
        delta = market.step()
        # d: lost, r: told twice, w: told after the next one, s: an old snapshot arrives, taken some steps ago.
        arriving = {"d": [], "r": [delta, delta], "w": []}.get(fault, [delta, *held])
        held = [delta] if fault == "w" else held if fault == "d" else []
        for each in arriving:
            book.apply(each)
        if fault == "s":
            book.apply(snapshot)
            snapshot = market.snapshot()
        if book.is_whole:
            assert ladder(book) == market.truth[book.last]


@given(seed=st.integers(0, 2**32), missing=st.integers(0, 30))
def test_a_lost_update_is_found_by_the_checksum_or_has_left_no_trace(seed: int, missing: int) -> None:
    market = Market(Continuity.CHECKSUM, seed)
    book = OrderBook(PAIR, RULES[Continuity.CHECKSUM], depth=1000)
    book.apply(market.snapshot())

    for at in range(40):
        delta = market.step()
        if at != missing:
            book.apply(delta)
        if book.is_whole and at != missing:
            bids, asks = ladder(book)
            assert sorted(asks.items())[:10] == sorted(market.sides[1].items())[:10]
            assert sorted(bids.items())[-10:] == sorted(market.sides[0].items())[-10:]
