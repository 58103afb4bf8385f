"""A whole core on a short tape: a scripted strategy, one or more instruments, the simulated venue, every outcome."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from abidance.engine.config import StrategyConfig
from abidance.engine.pump import Pump
from abidance.kernel.ids import OrderIds
from abidance.market.bars import Bars
from abidance.model.command import Amend, Cancel, Command, Submit
from abidance.model.event import AccountEvent, Control, ControlAction, OrderAccepted, OrderFilled, Timer
from abidance.model.instrument import SECOND_NS, Instrument
from abidance.model.market import Bar, BarSlice
from abidance.model.order import Fill, Order, Side
from abidance.model.outcome import Notice, Outcome, Refused
from abidance.risk.config import BreakersConfig, LimitsConfig, RiskConfig, SizingConfig
from abidance.run.config import RunConfig
from abidance.run.setup import Core, Material, assemble
from abidance.strategy.base import BarStrategy, EventStrategy, Signals
from abidance.strategy.config import ExitsConfig
from abidance.venues.sim.config import FeeTier, SlippageConfig, VenueConfig
from abidance.venues.sim.venue import SimVenue

D = Decimal
HOUR = 3_600 * SECOND_NS
DAY = 24 * HOUR
START = 20_000 * DAY
SPOT = Instrument("BTC/USDT@SIM", D("0.1"), D("0.001"), D("0.001"), D(1))
OTHER = Instrument("ETH/USDT@SIM", D("0.1"), D("0.001"), D("0.001"), D(1))
PERP = Instrument("BTC/USDT:USDT@SIM", D("0.1"), D("0.001"), D("0.001"), D(1), D(50), D("0.01"))
FREE = VenueConfig(
    fees=(FeeTier(volume=0, maker=0, taker=0),),
    slippage=SlippageConfig(spread=0, fixed=0, volume_share=0),
    max_volume_share=1.0,
)
LOOSE = RiskConfig(
    limits=LimitsConfig(
        max_exposure=100, max_asset_exposure=100, max_venue_exposure=100, max_leverage=50, duplicate_window=0
    ),
    breakers=BreakersConfig(daily_loss=None, max_drawdown=None, data_anomaly=None),
)
Row = Sequence[float]


class Scripted(BarStrategy):
    """Wishes what it is told, row by row, and nothing after that."""

    def __init__(self, targets: Sequence[float], **given: Any) -> None:
        self.targets = list(targets)
        self.given = given

    def signals(self, bars: Bars) -> Signals:
        target = np.full(len(bars), np.nan)
        known = self.targets[: len(bars)]
        target[: len(known)] = known
        return Signals(target, **self.given)


def bars_of(instrument: str, rows: Sequence[Row], timeframe: str = "1h", step: int = HOUR) -> Bars:
    """Return bars from rows of open, high, low, close and, if given, volume."""
    full = np.array([(*row, 1e6)[:5] for row in rows], dtype=np.float64).reshape(-1, 5)
    ts = START + np.arange(len(rows), dtype=np.int64) * step
    return Bars(instrument, timeframe, ts, full.T.copy())


def flat(*prices: float) -> list[Row]:
    """Return bars that stand still at each price."""
    return [(price, price, price, price) for price in prices]


def material_of(
    strategies: Mapping[str, BarStrategy | EventStrategy],
    tapes: Mapping[Instrument, Bars],
    *,
    configs: Mapping[str, Mapping[str, Any]] | None = None,
    extra: Iterable[Bars] = (),
    **run: Any,
) -> Material:
    """Return what a run stands on, without a store and without files of strategies."""
    ids = tuple(instrument.id for instrument in tapes)
    given = {
        name: {
            "instruments": ids,
            "allocation": 1 / len(strategies),
            "sizing": SizingConfig(method="fixed_quantity", quantity=1.0),
            **((configs or {}).get(name, {})),
        }
        for name in strategies
    }
    config = RunConfig(
        **{
            "instruments": ids,
            "risk": LOOSE,
            "venue": FREE,
            "strategies": tuple(
                StrategyConfig(strategy="Given", name=name, **each) for name, each in given.items()
            ),
            **run,
        }
    ).ready()
    bars = {(each.instrument, each.timeframe): each for each in (*tapes.values(), *extra)}
    drive: dict[str, str] = {}
    for each in (*extra, *tapes.values()):
        drive.setdefault(each.instrument, each.timeframe)
    return Material(config, strategies, {i.id: i for i in tapes}, {}, bars, drive, ())


@dataclass
class Rig:
    """A core in motion. With `venue` off, commands are only collected: the test plays the venue."""

    material: Material
    ahead: bool = True
    isolate: bool = False
    venue: bool = True
    outcomes: list[Outcome] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.core: Core[SimVenue] = assemble(
            self.material,
            OrderIds(0, 0, b"test").make,
            tape=self.material.bars if self.ahead else None,
            isolate=self.isolate,
        )
        self.engine = self.core.engine
        self.state = self.engine.state
        self.pump = Pump(self.engine, self.core.venue, observe=self.see)
        self.slices = self.material.replay().events()
        self.ts = START
        for event in self.core.opening:
            self.tell(event)

    def see(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.commands.extend(outcome.commands)

    def tell(self, event: AccountEvent | Control | Timer) -> Outcome:
        """Hand in anything but bars."""
        if self.venue:
            before = len(self.outcomes)
            self.pump.step(event)
            return self.outcomes[before]
        outcome = self.engine.process(event)
        self.see(outcome)
        return outcome

    def control(self, action: ControlAction, strategy: str = "", **values: Any) -> Outcome:
        return self.tell(Control(self.ts, action, strategy, "tester", values))

    def step(self, count: int = 1) -> list[Outcome]:
        """Take the next bars of the tape."""
        before = len(self.outcomes)
        for _ in range(count):
            event = next(self.slices)
            self.ts = event.ts
            if self.venue:
                self.pump.run([event])
            else:
                self.see(self.engine.process(event))
        return self.outcomes[before:]

    def run(self) -> "Rig":
        """Take the rest of the tape."""
        for event in self.slices:
            self.ts = event.ts
            self.pump.run([event])
        return self

    # --- what has come of it

    @property
    def fills(self) -> list[Fill]:
        return self.engine.fills

    @property
    def trades(self) -> list[tuple[str, str, str, str]]:
        """Return each fill as side, quantity, price, purpose."""
        return [(f.side.value, f"{f.quantity:f}", f"{f.price:f}", f.purpose.value) for f in self.fills]

    @property
    def notices(self) -> list[Notice]:
        return [notice for outcome in self.outcomes for notice in outcome.notices]

    @property
    def refusals(self) -> list[Refused]:
        return [v for outcome in self.outcomes for v in outcome.verdicts if isinstance(v, Refused)]

    @property
    def submits(self) -> list[Submit]:
        return [each for each in self.commands if isinstance(each, Submit)]

    @property
    def cancels(self) -> list[Cancel]:
        return [each for each in self.commands if isinstance(each, Cancel)]

    @property
    def amends(self) -> list[Amend]:
        return [each for each in self.commands if isinstance(each, Amend)]

    def open(self) -> list[Order]:
        return list(self.state.orders.open())

    def position(self, instrument: Instrument = SPOT, strategy: str = "one") -> Decimal:
        return self.state.position(strategy, instrument.id).quantity

    # --- the test plays the venue

    def accept(self, submit: Submit) -> Outcome:
        return self.tell(OrderAccepted(self.ts, submit.order_id))

    def fill(self, submit: Submit, quantity: str, price: str, id: str = "") -> Outcome:
        return self.tell(OrderFilled(self.ts, fill_of(submit, quantity, price, self.ts, id)))


def fill_of(submit: Submit, quantity: str, price: str, ts: int, id: str = "") -> Fill:
    request = submit.request
    return Fill(
        id or f"{submit.order_id}-{quantity}-{price}", submit.order_id, request.instrument, "", request.side,
        D(quantity), D(price), D(0), "USDT", ts,
    )  # fmt: skip


def rig_of(
    strategy: BarStrategy | EventStrategy | Mapping[str, BarStrategy | EventStrategy],
    rows: Sequence[Row],
    instrument: Instrument = SPOT,
    *,
    config: Mapping[str, object] | None = None,
    ahead: bool = True,
    isolate: bool = False,
    venue: bool = True,
    **run: Any,
) -> Rig:
    """Return a rig of one instrument; a lone strategy is called `one`."""
    named = strategy if isinstance(strategy, Mapping) else {"one": strategy}
    configs = dict.fromkeys(named, config or {})
    made = material_of(named, {instrument: bars_of(instrument.id, rows)}, configs=configs, **run)
    return Rig(made, ahead, isolate, venue)


__all__ = [
    "DAY", "FREE", "HOUR", "LOOSE", "OTHER", "PERP", "SPOT", "START", "Bar", "BarSlice", "D", "ExitsConfig", "Rig",
    "Scripted", "Side", "bars_of", "fill_of", "flat", "material_of", "rig_of",
]  # fmt: skip
