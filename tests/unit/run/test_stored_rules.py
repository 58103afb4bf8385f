"""Searches and simulations trade by the rules and through the holes that a backtest meets."""

import pickle
from pathlib import Path

import pytest
from msgspec.structs import replace

from abidance.market.reference import resolve
from abidance.market.store import Catalog
from abidance.market.terms import Terms, TermsStore
from abidance.model.market import FeedState
from abidance.model.money import to_decimal
from abidance.research.stress import parse
from abidance.run.compiled import compiled_backtest
from abidance.run.recipe import Remembering
from abidance.run.setup import gather
from abidance.run.simulating import Plan, simulate
from tests.unit.run.test_gaps import BTC, CONFIG, START, catalog, record, status

__all__ = ["catalog"]  # a fixture
pytestmark = [pytest.mark.usefixtures("kernels_are_compiled"), pytest.mark.timeout(400)]


@pytest.fixture
def coarse(catalog: Catalog, tmp_path: Path) -> Catalog:
    """The venue takes whole hundredths of a coin only."""
    rules = replace(resolve(BTC).instrument, lot=to_decimal("0.01"), min_quantity=to_decimal("0.01"))
    TermsStore(tmp_path).replace_all("BINANCE", [Terms(rules, "BTCUSDT")], START)
    return catalog


def holed(catalog: Catalog) -> Catalog:
    record(
        catalog,
        status(0.1, FeedState.CERTIFIED),
        status(0.5, FeedState.STALE),
        status(30, FeedState.CERTIFIED),
    )
    return catalog


def test_a_search_trades_by_stored_rules_and_so_do_its_workers_elsewhere(coarse: Catalog) -> None:
    truth, plain = compiled_backtest(CONFIG, coarse), resolve(BTC).instrument
    here = Remembering(coarse)

    found = compiled_backtest(CONFIG, here)
    elsewhere = compiled_backtest(CONFIG, pickle.loads(pickle.dumps(here)))

    assert truth.fills[0].quantity % to_decimal("0.01") == 0
    assert plain.lot < to_decimal("0.01")
    assert found.digest == elsewhere.digest == truth.digest


def test_a_search_meets_the_holes_of_a_recording(catalog: Catalog) -> None:
    here = Remembering(holed(catalog))

    found = gather(CONFIG, here, None)

    assert found.gaps
    assert found.gaps == gather(CONFIG, catalog, None).gaps
    assert gather(CONFIG, pickle.loads(pickle.dumps(here)), None).gaps == found.gaps


def test_a_simulation_trades_by_stored_rules_and_through_the_holes_of_real_bars(coarse: Catalog) -> None:
    plan = Plan("real", parse(""), paths=2, jobs=1)
    whole = simulate(CONFIG, coarse, plan)
    clean = compiled_backtest(CONFIG, coarse).digest

    torn = simulate(CONFIG, holed(coarse), plan)

    assert [path.digest for path in whole.paths] == [clean]
    assert [path.digest for path in torn.paths] == [compiled_backtest(CONFIG, coarse).digest]
    assert torn.paths[0].digest != clean
    assert torn.paths[0].trades == 0
