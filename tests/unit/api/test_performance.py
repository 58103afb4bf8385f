"""How a strategy does, held against its round trips counted one by one."""

from decimal import Decimal
from random import Random

import msgspec
import pytest
from starlette.testclient import TestClient

from abidance.api import performance as of
from abidance.api.house import House
from abidance.journal.metrics import trade_stats
from abidance.model.account import RoundTrip
from abidance.model.order import Direction
from tests.unit.api.conftest import logged_in

RUN, HOUR = "/api/v1/runs/demo", 3_600 * 10**9
CAPITAL = 10_000.0


@pytest.fixture
def viewer(nobody: TestClient, house: House) -> TestClient:
    return logged_in(nobody, house, "viewer")


def traded(house: House, count: int) -> tuple[str, list[RoundTrip]]:
    """Let a strategy that has all the capital close so many round trips, two of them at one moment."""
    replica, draw = house.runs.get("demo").replica, Random(7)
    name, config = next(iter(replica.state.strategies.items()))
    whole = config.model_copy(update={"allocation": 1.0})
    replica.state.strategies = {**replica.state.strategies, name: whole}
    first = replica.curve[0][0]
    for number in range(count):
        entry = first + number * HOUR - (number == 5) * HOUR
        trip = RoundTrip(
            next(id for id in config.instruments if id.endswith("/USDT@BINANCE")), name, Direction.LONG, entry,
            Decimal(100), entry + 2 * HOUR, Decimal(101), Decimal(2), Decimal(draw.randint(-90, 100)), Decimal(1),
            Decimal(0),
        )  # fmt: skip
        replica.trips.append(trip)
    return name, [each for each in replica.trips if each.strategy == name]


def test_a_strategys_figures_are_those_of_its_round_trips(viewer: TestClient, house: House) -> None:
    name, trips = traded(house, 40)

    found = viewer.get(f"{RUN}/strategies/{name}/performance").json()

    figures, stats = found["figures"], trade_stats(trips)
    for each in ("trades", "win_rate", "profit_factor", "average_win", "average_loss", "expectancy", "fees"):
        assert figures[each] == pytest.approx(getattr(stats, each)), each
    ends = sorted({each.ts_exit for each in trips if each.ts_exit})
    earned = [float(sum(each.pnl for each in trips if (each.ts_exit or 0) <= ts)) for ts in ends]
    assert found["ts"] == [each // 1_000_000 for each in (trips[0].ts_entry, *ends)]
    assert found["profit"] == pytest.approx([0.0, *earned])
    assert figures["profit"] == pytest.approx(earned[-1])
    falls = [(CAPITAL + now) / (CAPITAL + max(0.0, *earned[: at + 1])) - 1 for at, now in enumerate(earned)]
    assert found["capital"] == pytest.approx(CAPITAL)
    assert figures["max_drawdown"] == pytest.approx(min(falls)) != 0
    assert 0 < figures["time_in_market"] < 1


def test_funding_that_came_after_the_close_is_in_the_figures(viewer: TestClient, house: House) -> None:
    name, trips = traded(house, 3)
    trips_of_all = house.runs.get("demo").replica.trips
    last = trips[-1]
    viewer.get(f"{RUN}/strategies/{name}/performance")  # what is known by now is not told again

    trips_of_all[len(trips_of_all) - 1] = msgspec.structs.replace(last, pnl=last.pnl + 5, funding=Decimal(5))

    found = viewer.get(f"{RUN}/strategies/{name}/performance").json()
    assert found["profit"][-1] == pytest.approx(float(sum(each.pnl for each in trips)) + 5)
    assert found["figures"]["funding"] == pytest.approx(float(sum(each.funding for each in trips)) + 5)


def test_a_strategy_that_closed_nothing_has_no_figures_and_one_that_is_not_there_is_told(
    viewer: TestClient, house: House
) -> None:
    replica = house.runs.get("demo").replica
    name = next(iter(replica.state.strategies))
    replica.trips = type(replica.trips)(replica._shelf)

    found = viewer.get(f"{RUN}/strategies/{name}/performance")

    assert found.status_code == 200
    assert (found.json()["ts"], found.json()["figures"]["profit_factor"]) == ([], None)
    assert viewer.get(f"{RUN}/strategies/Nobody/performance").status_code == 404


def test_a_long_curve_is_thinned_and_its_figures_are_not(
    viewer: TestClient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _ = traded(house, 40)
    whole = viewer.get(f"{RUN}/strategies/{name}/performance").json()
    monkeypatch.setattr(of, "POINTS", 2)
    house.performances = of.Performances(house.reading)

    found = viewer.get(f"{RUN}/strategies/{name}/performance").json()

    assert found["profit"] == [0.0, whole["profit"][1], whole["profit"][-1]]
    assert found["figures"] == whole["figures"]
