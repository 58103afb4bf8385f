"""Where entries go, against looking at every way to part them."""

from decimal import Decimal
from functools import partial
from itertools import product

from hypothesis import assume, given
from hypothesis import strategies as st

from abidance.execution.cost import Costs, Ladder, modelled
from abidance.execution.router import Candidate, route, unit_cost
from abidance.model.order import OrderRequest, OrderType, Side
from abidance.venues.sim.fills import slippage_rate

D = Decimal
NAMES = ("BTC/USDT@ONE", "BTC/USDT@TWO", "BTC/USDT@THREE")


def costs(taker: float) -> Costs:
    return Costs(taker, taker / 2, 0.0002, partial(slippage_rate, 0.0002, 0.0, 0.1))


def ladder(side: Side, best: float, steps: list[tuple[int, int]]) -> Ladder:
    price, levels = best + side.sign, []
    for step, size in steps:
        levels.append((price, float(size)))
        price += side.sign * step
    return Ladder(side, tuple(levels), best, "book")


@st.composite
def places(draw: st.DrawFn, side: Side) -> list[Candidate]:
    found = []
    for name in NAMES[: draw(st.integers(1, 3))]:
        lot = draw(st.sampled_from([D("0.5"), D(1), D(2)]))
        steps = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 4)), min_size=1, max_size=4))
        found.append(
            Candidate(
                name,
                lot,
                lot * draw(st.integers(1, 3)),
                lot * draw(st.sampled_from([0, 2, 5, 1_000])),
                ladder(side, float(draw(st.integers(990, 1_010))), steps),
                costs(draw(st.sampled_from([0.0, 0.0005, 0.002]))),
                draw(st.sampled_from([0.0, 0.001])),
            )
        )
    return found


def request(side: Side, quantity: Decimal, limit: str | None = None) -> OrderRequest:
    kind = OrderType.LIMIT if limit else OrderType.MARKET
    return OrderRequest("one", NAMES[0], side, quantity, kind, D(limit) if limit else None)


@given(st.data(), st.sampled_from(list(Side)), st.integers(1, 12), st.sampled_from([0.0, 0.001, 0.5]))
def test_shares_fit_their_venues_and_are_never_dearer_than_one_venue_alone(
    data: st.DataObject, side: Side, units: int, saving: float
) -> None:
    candidates, whole = data.draw(places(side)), D(units) * 2
    known = {each.instrument: each for each in candidates}
    wish = request(side, whole)

    shares = route(candidates, wish, saving)

    assert len({each.instrument for each in shares}) == len(shares)
    for id, quantity in shares:
        assert known[id].least <= quantity <= known[id].room
        assert quantity % known[id].lot == 0
    total = sum((each.quantity for each in shares), D(0))
    alone = [c for c in candidates if c.least <= whole <= c.room]
    if alone:
        best = min(unit_cost(c, wish, whole) for c in alone)
        paid = sum(unit_cost(known[id], wish, q) * float(q) for id, q in shares) / float(total)
        assert paid <= best + 1e-6
        assert whole - total < max(c.lot for c in candidates)
        if len(shares) > 1:
            assert best - paid >= saving * abs(best) - 1e-6
    if shares:
        assert total <= whole
        assert whole - total < max(c.lot for c in candidates)


@given(st.data(), st.sampled_from(list(Side)), st.integers(2, 6))
def test_parting_comes_as_cheap_as_the_best_of_all_ways(data: st.DataObject, side: Side, units: int) -> None:
    drawn = data.draw(places(side))
    candidates = [c._replace(lot=D(1), least=D(1), room=D(1_000)) for c in drawn]
    assume(len(candidates) > 1)
    wish = request(side, D(units))

    shares = dict(route(candidates, wish, 0.0))

    def cost(parts: tuple[int, ...]) -> float:
        pairs = zip(candidates, parts, strict=True)
        return sum(unit_cost(c, wish, D(part)) * part for c, part in pairs if part)

    every = [p for p in product(range(units + 1), repeat=len(candidates)) if sum(p) == units]
    ours = tuple(int(shares.get(each.instrument, D(0))) for each in candidates)
    assert cost(ours) <= min(map(cost, every)) + 1e-6


def test_of_equal_venues_the_first_is_taken_and_a_slow_one_last() -> None:
    side = Side.BUY
    one = Candidate(NAMES[0], D(1), D(1), D(100), ladder(side, 1_000.0, [(1, 50)]), costs(0.001), 0.0)
    two = one._replace(instrument=NAMES[1])

    assert route([one, two], request(side, D(5)), 0.0002)[0].instrument == NAMES[0]
    assert route([one._replace(penalty=0.001), two], request(side, D(5)), 0.0002)[0].instrument == NAMES[1]


def test_a_cheaper_fee_is_worth_a_dearer_price() -> None:
    side = Side.BUY
    dear = Candidate(NAMES[0], D(1), D(1), D(100), ladder(side, 1_000.0, [(1, 50)]), costs(0.0050), 0.0)
    free = dear._replace(instrument=NAMES[1], costs=costs(0.0), ladder=ladder(side, 1_003.0, [(1, 50)]))

    assert [each.instrument for each in route([dear, free], request(side, D(5)), 0.0)] == [NAMES[1]]


def test_a_limit_goes_to_one_venue_whole() -> None:
    side = Side.BUY
    one = Candidate(NAMES[0], D(1), D(1), D(100), ladder(side, 1_000.0, [(1, 1)]), costs(0.002), 0.0)
    two = one._replace(instrument=NAMES[1], costs=costs(0.001))

    assert route([one, two], request(side, D(5), "999"), 0.0) == [(NAMES[1], D(5))]


def test_where_money_lies_on_two_venues_both_are_used_and_too_little_on_both_is_none() -> None:
    side = Side.BUY
    one = Candidate(NAMES[0], D(1), D(1), D(3), ladder(side, 1_000.0, [(1, 50)]), costs(0.001), 0.0)
    two = one._replace(instrument=NAMES[1])

    assert route([one, two], request(side, D(5)), 0.5) == [(NAMES[0], D(3)), (NAMES[1], D(2))]
    assert route([one, two], request(side, D(7)), 0.5) == []


def test_on_bars_no_entry_is_parted() -> None:
    side = Side.BUY
    made = [
        Candidate(name, D(1), D(1), D(100), modelled(side, 1_000.0, 0.01, costs(0.001)), costs(0.001), 0.0)
        for name in NAMES
    ]

    assert route(made, request(side, D(50)), 0.0) == [(NAMES[0], D(50))]
