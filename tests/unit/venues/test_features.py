"""What we say that each venue has is what ccxt's `features` say of it; where it differs, why stands here.

`features` and not `.has`: that one says that stop orders can be created at MEXC, where ccxt sends an order at market.
They have no word for changing an order, for taking all back and for reduce-only: what is sent for these is held by
the signed requests, the accounts' tests and ccxt's own fixtures.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from abidance.market.reference import instrument
from abidance.model.command import Submit
from abidance.model.instrument import InstrumentKind
from abidance.model.order import GOAL_TYPES, PRICED, STOP_TYPES, OrderRequest, OrderType, Side, TimeInForce
from abidance.venues.accounts import ACCOUNTS
from abidance.venues.ccxt.loading import exchange_class
from tests.unit.venues.test_self_trades import ASKED

MARKETS = {f"{venue} {kind.value}": (venue, kind) for venue, kind in ACCOUNTS}
DOCS = Path(__file__).parents[3] / "docs"
GOALS, SAME = "adr/0034-a-goal-is-a-limit-order-or-one-at-market.md", "backtesting-assumptions.md"


class Differs(NamedTuple):
    """Why we do not say of a venue what ccxt says: `ccxt_has` what we leave, or has no word for what there is."""

    ccxt_has: bool
    why: str
    source: str
    """The page under docs/ that says more, or the address of the venue's own."""


_GOAL = Differs(
    True, "As with its stops: we watch the market, and send the order at market once its price comes.", GOALS
)
_TRAILS = Differs(
    True,
    "We move the stop ourselves at each bar's close, so that it is where the backtest had it.",
    SAME,
)
_ENDS = Differs(True, "We take an order back after `expire_after`, at every venue alike.", SAME)
_ATTACHED = Differs(
    True,
    "What is attached to an entry has an id of the venue's making: whose it is could not be told after a restart.",
    GOALS,
)
DIFFERS: Mapping[tuple[str, str], Differs] = {
    ("KUCOIN spot", "stop"): Differs(
        True, "Once it triggers it is another order, and nothing says under which ids.", "venues.md"
    ),
    ("MEXC spot", "self-trade prevention"): Differs(
        False,
        "`stpMode=cancel_maker` is a parameter of its orders, of which ccxt's table does not know.",
        "https://www.mexc.com/api-docs/spot-v3/spot-account-trade",
    ),
    ("KUCOIN spot", "take-profit"): _GOAL,
    **{
        (market, "trailing"): _TRAILS
        for market in ("BINANCE perpetual", "BYBIT spot", "BYBIT perpetual", "KRAKEN spot")
    },
    **{(market, "attached"): _ATTACHED for market in ("BYBIT spot", "BYBIT perpetual")},
    **{(market, "good till date"): _ENDS for market in ("BINANCE perpetual", "KUCOIN spot")},
}
AT_MARKET = {"BYBIT spot"}
"""Where those with a limit are held by us: nothing says among which orders one is taken back once it was triggered."""
COMPARED = frozenset(
    {
        "stopLossPrice",
        "takeProfitPrice",
        "attachedStopLossTakeProfit",
        "trailing",
        "selfTradePrevention",
        "timeInForce",
    }
)
LEFT: Mapping[str, str] = {
    "triggerPrice": "ccxt's word for any trigger; which side it is on is told by the two that are compared",
    "triggerPriceType": "we name none: the last price, or the venue's default",
    "triggerDirection": "follows from the side of a stop, and is said where the venue wants it",
    "stopLoss": "the same as attached, in another word",
    "takeProfit": "the same as attached, in another word",
    "marginMode": "no order borrows",
    "leverage": "set and read apart from orders",
    "hedged": "an account in hedge mode is refused",
    "marketBuyByCost": "quantities are of the base asset",
    "marketBuyRequiresPrice": "quantities are of the base asset",
    "iceberg": "parts of an order are sent by us, one after the other",
    "icebergAmount": "parts of an order are sent by us, one after the other",
    "symbolRequired": "how ccxt is called",
}  # fmt: skip


def features(market: str) -> Mapping[str, Any]:
    """Return what ccxt says of orders in a market; one venue is imported, and nobody is asked."""
    venue, kind = MARKETS[market]
    told = exchange_class(venue.lower(), streaming=False)().features
    found = told["spot"] if kind is InstrumentKind.SPOT else told["swap"]["linear"]
    made: Mapping[str, Any] = found["createOrder"]
    return made


def theirs(market: str) -> dict[str, bool]:
    """Return what ccxt says that there is."""
    told = features(market)
    force = told["timeInForce"]
    return {
        "stop": bool(told["stopLossPrice"]),
        "take-profit": bool(told["takeProfitPrice"]),
        "attached": bool(told["attachedStopLossTakeProfit"]),
        "trailing": bool(told["trailing"]),
        "self-trade prevention": bool(told["selfTradePrevention"]),
        "until taken back": bool(force["GTC"]),
        "immediate or cancel": bool(force["IOC"]),
        "fill or kill": bool(force["FOK"]),
        "post-only": bool(force["PO"]),
        "good till date": bool(force["GTD"]),
    }


def ours(market: str) -> dict[str, bool]:
    """Return the same as our own table has it, and as our orders ask for it."""
    venue, kind = MARKETS[market]
    traded = instrument(f"BTC/USDT{':USDT' * (kind is InstrumentKind.PERPETUAL)}@{venue}")
    account = ACCOUNTS[venue, kind]([traded])
    can = account.capability
    sent = account.submit(Submit("0" * 32, OrderRequest("s", traded.id, Side.BUY, traded.lot), 0)).params
    for kinds in (STOP_TYPES, GOAL_TYPES):
        has = {each in can.native for each in kinds - (PRICED if market in AT_MARKET else set())}
        assert len(has) == 1, "a venue has both of a kind or none"
    return {
        "stop": OrderType.STOP in can.native,
        "take-profit": OrderType.TAKE_PROFIT in can.native,
        "attached": any("attached" in each for each in can.native),
        "trailing": any("trailing" in each for each in can.native),
        # Binance's spot markets do it unasked
        "self-trade prevention": market == "BINANCE spot"
        or any(name in sent for name in ("stptype", *ASKED)),
        "until taken back": TimeInForce.GTC in can.in_force,
        "immediate or cancel": TimeInForce.IOC in can.in_force,
        "fill or kill": TimeInForce.FOK in can.in_force,
        "post-only": can.post_only,
        "good till date": any(each.value == "gtd" for each in can.in_force),
    }


@pytest.mark.parametrize("market", MARKETS)
def test_a_venue_has_here_what_ccxt_says_that_it_has_but_for_what_is_listed(market: str) -> None:
    here, there = ours(market), theirs(market)

    found = {(market, what): there[what] for what in here if here[what] != there[what]}

    listed = {key: each.ccxt_has for key, each in DIFFERS.items() if key[0] == market}
    assert found == listed  # what is missing in `listed` is a lie or a gap; what is too much in it has gone


@pytest.mark.parametrize("market", MARKETS)
def test_each_feature_that_ccxt_knows_is_compared_or_left_for_a_reason(market: str) -> None:
    told = features(market)

    assert set(told) <= COMPARED | set(LEFT)
    assert set(told["timeInForce"]) == {"GTC", "IOC", "FOK", "PO", "GTD"}


def test_every_difference_has_a_reason_and_a_source() -> None:
    for (market, what), each in DIFFERS.items():
        assert market in MARKETS, what
        assert len(each.why) > 20
        assert each.source.startswith("https://") or (DOCS / each.source).is_file()
