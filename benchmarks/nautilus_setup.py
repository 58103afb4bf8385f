"""NautilusTrader set up once for all of its workloads: instrument, engine, venue.

The set-up takes nothing from the peer that a measured user would not switch off too:
logging is bypassed and the closing analysis is not run.
"""

from __future__ import annotations

from decimal import Decimal

from harness import CASH, FEE
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TraderId, Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Money, Price, Quantity

VENUE = Venue("BINANCE")
INSTRUMENT_ID = InstrumentId(Symbol("BTCUSDT"), VENUE)
FIRST_BTC = 10.0


def instrument() -> CurrencyPair:
    """Return a spot pair with a price step of 0.01 and the workload's fee."""
    return CurrencyPair(
        instrument_id=INSTRUMENT_ID,
        raw_symbol=Symbol("BTCUSDT"),
        base_currency=BTC,
        quote_currency=USDT,
        price_precision=2,
        size_precision=3,
        price_increment=Price(0.01, 2),
        size_increment=Quantity(0.001, 3),
        lot_size=None,
        max_quantity=None,
        min_quantity=Quantity(0.001, 3),
        max_notional=None,
        min_notional=None,
        max_price=None,
        min_price=None,
        margin_init=Decimal(0),
        margin_maint=Decimal(0),
        maker_fee=Decimal(str(FEE)),
        taker_fee=Decimal(str(FEE)),
        ts_event=0,
        ts_init=0,
    )


def quiet_engine(wallet: float = CASH, *, trade_execution: bool = False) -> BacktestEngine:
    """Return an engine with one cash venue, without logging or closing analysis.

    Limit orders lock cash, and with 10^9 of it the floats of its account no longer add up: give less then.
    """
    engine = BacktestEngine(
        BacktestEngineConfig(
            trader_id=TraderId("BENCH-001"),
            logging=LoggingConfig(bypass_logging=True),
            run_analysis=False,
        )
    )
    engine.add_venue(
        venue=VENUE,
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH,
        base_currency=None,
        starting_balances=[Money(wallet, USDT), Money(FIRST_BTC, BTC)],
        trade_execution=trade_execution,
    )
    return engine


def profit(engine: BacktestEngine, last_price: float, wallet: float = CASH) -> float:
    """Return the change of the account's worth, what is still held marked at `last_price`."""
    account = engine.cache.account_for_venue(VENUE)
    cash = account.balance_total(USDT).as_double() - wallet
    held = account.balance_total(BTC).as_double() - FIRST_BTC
    return cash + held * last_price
