"""A run on live data keeps the venue's rules that held when it began."""

from decimal import Decimal

import msgspec
import numpy as np

from abidance.engine.config import StrategyConfig
from abidance.market.bars import Bars
from abidance.market.reference import instrument
from abidance.market.terms import Terms, Version
from abidance.run.config import RunConfig
from abidance.run.setup import gather_live

BTC = "BTC/USDT@BINANCE"
COARSE = msgspec.structs.replace(instrument(BTC), tick=Decimal("0.5"))


class Rules:
    """Since the moment 1,000 prices move in steps of a half."""

    def terms(self, id: str, ts: int | None = None) -> Version | None:
        return (
            Version(1_000, Terms(COARSE, "BTCUSDT")) if id == BTC and ts is not None and ts >= 1_000 else None
        )


def began(opened: int, rules: Rules | None) -> Decimal:
    """Return the price step of a run that began then."""
    config = RunConfig(instruments=(BTC,), strategies=(StrategyConfig(strategy="EmaCross"),))
    past = {(BTC, "1h"): Bars(BTC, "1h", np.empty(0, dtype=np.int64), np.empty((5, 0)))}
    return gather_live(config, past, opened, None, rules).instruments[BTC].tick


def test_the_rules_of_the_moment_are_taken() -> None:
    assert began(5_000, Rules()) == Decimal("0.5")


def test_rules_that_came_later_change_no_run_that_had_begun() -> None:
    assert began(999, Rules()) == instrument(BTC).tick


def test_without_known_rules_the_bundled_ones_hold() -> None:
    assert began(5_000, None) == instrument(BTC).tick
