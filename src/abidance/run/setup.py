"""From a configuration to a running core: instruments, bars, strategies, risk, portfolio, venue, wired once, here.

Backtest and paper trading differ in the feed, the journal and whether the tape is known in advance, nowhere else.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from abidance.engine.allocator import Allocator
from abidance.engine.config import StrategyConfig
from abidance.engine.engine import Engine
from abidance.engine.runners import BarRunner, EventRunner
from abidance.engine.series import Series
from abidance.engine.state import State, StrategyView
from abidance.execution.cost import Costs
from abidance.execution.orders import Orders
from abidance.kernel.ports import Feed, SimulatedVenue
from abidance.market.bars import Bars
from abidance.market.build import Tape
from abidance.market.feed import BarReplay, FundingReplay, TapeReplay, merge
from abidance.market.findings import reuses
from abidance.market.funding import Funding
from abidance.market.live.gaps import GapReplay, GapSpan
from abidance.market.quality import checked
from abidance.market.reference import Source, resolve
from abidance.market.store import fingerprint, parse_timerange, show
from abidance.market.terms import Version
from abidance.model.errors import ConfigError, DataError, StrategyError, UsageError
from abidance.model.event import BalanceChanged, Control, ControlAction
from abidance.model.instrument import SECOND_NS, Instrument, parse_instrument_id, timeframe_ns
from abidance.model.market import DataKind
from abidance.model.money import to_decimal
from abidance.portfolio.portfolio import Portfolio
from abidance.risk.breaker import Breakers
from abidance.risk.gate import Gate
from abidance.run import tapes
from abidance.run.config import TRADES, RunConfig
from abidance.run.plugins import find_strategy
from abidance.run.tapes import Traded, check_tapes
from abidance.strategy.base import BarStrategy, EventStrategy
from abidance.strategy.decisions import warmup_of
from abidance.strategy.mistakes import FAILURES, strategy_error
from abidance.strategy.parameters import set_parameters
from abidance.venues.sim.config import VenueConfig
from abidance.venues.sim.fills import slippage_rate
from abidance.venues.sim.venue import SimVenue

BarSource = tapes.BarSource
Key = tuple[str, str]
LEAST_HISTORY, WARMUPS = 2_000, 50
"""Bars before the time range that warm strategies up: so many, or so many times what they ask for. After that many an
average that never forgets its beginning has forgotten it to the last bit."""


@runtime_checkable
class TermsSource(Protocol):
    """Where the rules that venues set for instruments come from, as they were at a time."""

    def terms(self, instrument: str, ts: int | None = None) -> Version | None:
        """Return the version that held at `ts` (ns UTC), or None when none is known."""
        ...


@runtime_checkable
class GapSource(Protocol):
    """Where it is known when recorded streams could not be trusted."""

    def gaps(self, instrument: str, start: int | None = None, end: int | None = None) -> tuple[GapSpan, ...]:
        """Return the holes of an instrument's quotes and trades that reach into a stretch of time (ns UTC)."""
        ...


@dataclass(frozen=True)
class Material:
    """What a run stands on: its complete configuration, instruments and bars.

    `past` holds the bars before the run's time range (they warm strategies up), `bars` those of the range, both by
    instrument and timeframe; `funding` holds the rates that fall due in the range, by perpetual. `notices` are
    sentences for the user. `drive` is the timeframe that gives each instrument's price, `fills` says what else fills
    its orders, `tapes` holds the trades that do. `gaps` are the holes that a recording has. On live data `bars` are
    those that have come so far, and `opened` is when the run began. With `is_real`, orders go to the venues themselves.
    """

    config: RunConfig
    strategies: Mapping[str, BarStrategy | EventStrategy]
    instruments: Mapping[str, Instrument]
    past: Mapping[Key, Bars]
    bars: Mapping[Key, Bars]
    drive: Mapping[str, str]
    notices: tuple[str, ...]
    funding: Mapping[str, Funding] = field(default_factory=dict)
    fills: Mapping[str, str] = field(default_factory=dict)
    tapes: Mapping[str, Tape] = field(default_factory=dict)
    gaps: tuple[GapSpan, ...] = ()
    opened: int | None = None
    is_real: bool = False

    @property
    def fingerprint(self) -> str:
        """Return the hash of the bars and funding rates of the range, under which a result's data are known."""
        return fingerprint(*self.bars.values(), *self.funding.values())

    @property
    def mode(self) -> str:
        """Return what a journal of this run is of."""
        if self.is_real:
            return "live"
        return "paper" if self.opened is None else "paper on live data"

    @property
    def start(self) -> int:
        """Return when the run begins, with the open of its first bar where it is a replay, ns UTC."""
        if self.opened is not None:
            return self.opened
        return min(int(bars.ts[0]) for bars in self.bars.values())

    @property
    def venues(self) -> tuple[str, ...]:
        """Return the names of the venues, sorted."""
        return tuple(sorted({instrument.venue for instrument in self.instruments.values()}))

    def recorded(self) -> dict[str, object]:
        """Return the configuration as results keep it: a strategy that was named by its file alone with its class."""
        found: dict[str, Any] = self.config.model_dump(mode="json")
        for each in found["strategies"]:
            if each["strategy"].endswith(".py"):
                each["strategy"] += f":{type(self.strategies[each['name']]).__name__}"
        return found

    def replay(self) -> Feed:
        """Return the bars of the range, the trades, the holes and the funding that falls due in it as a feed."""
        bars = BarReplay(tuple(self.bars.values()), tuple(self.instruments))
        others: list[Feed] = [TapeReplay(id, tape) for id, tape in self.tapes.items()]
        others += [GapReplay(self.gaps)] if self.gaps else []
        return merge(bars, *others, *self.payments()) if others or self.funding else bars

    def payments(self) -> list[Feed]:
        """Return the funding that falls due in the range as feeds, one for each perpetual."""
        return [self._payments(each) for each in self.funding.values()]

    def _payments(self, funding: Funding) -> FundingReplay:
        id = funding.instrument
        marks = self.bars[id, self.drive[id]]
        booked = funding.booked_over(marks)
        return FundingReplay(id, {"ts_ns": booked.ts, "funding_rate": booked.rate}, marks)

    def shown(self) -> dict[str, Bars]:
        """Return per instrument the bars that a strategy decides on, for reports."""
        found: dict[str, Bars] = {}
        for config in self.config.strategies:
            for instrument in config.instruments:
                found.setdefault(instrument, self.bars[instrument, config.timeframe])
        return found


def gather(config: RunConfig, source: BarSource, folder: Path | None) -> Material:
    """Load what `config` asks for. Raises UsageError, ConfigError, DataError or StrategyError, each with its remedy."""
    config = config.ready()
    strategies = {each.name: _strategy(each, folder) for each in config.strategies}
    keys = _keys(config, strategies)
    start, end = parse_timerange(config.timerange) if config.timerange else (None, None)
    history = history_of(strategies.values())
    gaps = _gaps(source, keys, start, end, trades=config.detail_timeframe == TRADES)
    if config.detail_timeframe == TRADES:
        check_tapes(strategies)
        source = Traded(source, keys, start, history)
    past: dict[Key, Bars] = {}
    bars: dict[Key, Bars] = {}
    for key in keys:
        bars[key] = checked(source.read(*key, start, end))
        if start is not None:
            whole = checked(source.read(*key, None, end))
            first = len(whole) - len(bars[key])
            past[key] = whole.slice(max(0, first - history), first)
    _check_history(config, strategies, past, bars)
    instruments, notices = _instruments(keys, bars, source)
    drive = {id: min((t for i, t in keys if i == id), key=timeframe_ns) for id in instruments}
    _check_leverage(config, instruments)
    traded = dict.fromkeys(id for each in config.strategies for id in config.places_of(each))
    perpetuals = [id for id in traded if instruments[id].is_perpetual]
    funding, lacking = _funding({id: bars[id, drive[id]] for id in perpetuals}, source)
    told = (*notices, *lacking, *_reuses(bars))
    found = Material(config, strategies, instruments, past, bars, drive, told, funding, gaps=gaps)
    if isinstance(source, Traded):
        trades = {id: source.tape(id, found.start) for id in instruments}
        return replace(found, fills=dict.fromkeys(instruments, "trade"), tapes=trades)
    return found


def _gaps(
    source: BarSource, keys: Sequence[Key], start: int | None, end: int | None, *, trades: bool
) -> tuple[GapSpan, ...]:
    """Return the holes that a live run would have met: those of quotes, and of trades where they fill orders."""
    if not isinstance(source, GapSource):
        return ()
    ids = dict.fromkeys(id for id, _ in keys)
    found = (gap for id in ids for gap in source.gaps(id, start, end))
    return tuple(gap for gap in found if trades or gap.kind is DataKind.QUOTES)


def history_needed(config: RunConfig, folder: Path | None) -> dict[Key, int]:
    """Return the series that a run needs and how many bars before its start warm each of them up."""
    config = config.ready()
    strategies = {each.name: _strategy(each, folder) for each in config.strategies}
    count = max(LEAST_HISTORY, WARMUPS * max(map(_warmup, strategies.values())))
    return dict.fromkeys(_keys(config, strategies), count)


def gather_live(
    config: RunConfig,
    past: Mapping[Key, Bars],
    opened: int,
    folder: Path | None,
    rules: TermsSource | None = None,
) -> Material:
    """Return what a run on live data stands on, which began at `opened` (ns UTC) with the bars of `past`.

    Instruments keep the rules that held then, as `rules` know them. Orders fill from quotes. Raises UsageError,
    ConfigError or StrategyError, each with its remedy.
    """
    config = config.ready()
    strategies = {each.name: _strategy(each, folder) for each in config.strategies}
    keys = _keys(config, strategies)
    instruments, notices = _instruments(keys, past, rules, opened)
    _check_leverage(config, instruments)
    lacking = [
        f"{each.name} needs {needed} bars before its first signal; of {id} {each.timeframe} {there} are known."
        for each in config.strategies
        for id in each.instruments
        if (there := len(past[id, each.timeframe])) <= (needed := _warmup(strategies[each.name]))
    ]
    return Material(
        config,
        strategies,
        instruments,
        past,
        {key: past[key].slice(0, 0) for key in keys},
        {id: min((t for i, t in keys if i == id), key=timeframe_ns) for id in instruments},
        (*notices, *lacking),
        fills=dict.fromkeys(instruments, "quote"),
        opened=opened,
    )


def _strategy(config: StrategyConfig, folder: Path | None) -> BarStrategy | EventStrategy:
    return made(find_strategy(config.strategy, folder), config)


def made(
    kind: type[BarStrategy] | type[EventStrategy], config: StrategyConfig
) -> BarStrategy | EventStrategy:
    """Return a strategy with the parameters of its configuration. Raises StrategyError or UsageError."""
    try:
        found: BarStrategy | EventStrategy = kind()
    except FAILURES as error:
        raise strategy_error(kind, error, "__init__") from error
    try:
        set_parameters(found, dict(config.parameters))
    except (UsageError, StrategyError) as error:
        raise type(error)(f"{config.name}: {error.found}", error.remedy, error.fields) from None
    return found


def history_of(strategies: Iterable[BarStrategy | EventStrategy]) -> int:
    """Return how many bars before the time range warm these strategies up."""
    return max(LEAST_HISTORY, WARMUPS * max(map(_warmup, strategies)))


def _warmup(strategy: BarStrategy | EventStrategy) -> int:
    return warmup_of(strategy) if isinstance(strategy, BarStrategy) else 0


def _references(strategy: BarStrategy | EventStrategy) -> tuple[str, ...]:
    try:
        named: object = strategy.references
        if not isinstance(named, tuple | list):
            raise StrategyError(
                f"references is {named!r}.", 'Write a tuple: references = ("BTC/USDT@BINANCE",)'
            )
        for id in named:
            parse_instrument_id(id)
    except FAILURES as error:
        raise strategy_error(strategy, error, "references") from error
    return tuple(named)


def _keys(config: RunConfig, strategies: Mapping[str, BarStrategy | EventStrategy]) -> tuple[Key, ...]:
    keys: dict[Key, None] = {}
    for each in config.strategies:
        for instrument in (*config.places_of(each), *_references(strategies[each.name])):
            keys[instrument, each.timeframe] = None
    if config.detail_timeframe and config.detail_timeframe != TRADES:
        for instrument in {instrument: None for instrument, _ in keys}:
            keys[instrument, config.detail_timeframe] = None
    return tuple(keys)


def _instruments(
    keys: Sequence[Key], bars: Mapping[Key, Bars], source: object = None, began: int | None = None
) -> tuple[dict[str, Instrument], tuple[str, ...]]:
    """Return the instruments by the rules that held when the run begins, and sentences about those that are guessed."""
    found: dict[str, Instrument] = {}
    notices: list[str] = []
    for id, timeframe in keys:
        if id in found:
            continue
        series = bars[id, timeframe]
        begins = began if began is not None or not len(series) else int(series.ts[0])
        version = source.terms(id, begins) if isinstance(source, TermsSource) else None
        reference = resolve(id, series, version, begins)
        found[id] = reference.instrument
        if reference.notice and reference.source is not Source.TYPICAL:
            notices.append(reference.notice)
    return found, tuple(notices)


def _reuses(bars: Mapping[Key, Bars]) -> list[str]:
    """Return a sentence for each place where a series seems to go on with another asset."""
    return [
        f"{id} {timeframe} at {show(found.ts)}: {found.text}"
        for (id, timeframe), series in bars.items()
        for found in reuses(series)
    ]


def _funding(marks: Mapping[str, Bars], source: BarSource) -> tuple[dict[str, Funding], list[str]]:
    """Return the funding of each perpetual while its bars last, and sentences about what is not there.

    What falls due at the last close is left to those who hold on.
    """
    found: dict[str, Funding] = {}
    notices = []
    for id, bars in marks.items():
        start, end = int(bars.ts[0]), int(bars.ts_close[-1])
        funding = source.funding(id, start, end)
        if funding is None:
            continue
        found[id] = funding
        if holes := funding.holes(start, end):
            hours = sum(until - since for since, until in holes) / 3_600 / SECOND_NS
            notices.append(
                f"The funding rates of {id} leave out {hours:,.0f} h of the run, first from {show(holes[0][0])} to"
                f" {show(holes[0][1])}: none is paid then."
            )
    if missing := [id for id in marks if id not in found]:
        notices.append(
            f"No funding rates are stored for {' or '.join(missing)} in this time: the run pays none. Import them with:"
            f" abidance import-data FILE --instrument {missing[0]} --funding"
        )
    return found, notices


def _check_history(
    config: RunConfig,
    strategies: Mapping[str, BarStrategy | EventStrategy],
    past: Mapping[Key, Bars],
    bars: Mapping[Key, Bars],
) -> None:
    """Refuse a run in which a strategy would still be warming up when the bars end."""
    for each in config.strategies:
        needed = _warmup(strategies[each.name])
        for id in each.instruments:
            key = (id, each.timeframe)
            there = len(bars[key]) + (len(past[key]) if key in past else 0)
            if there <= needed:
                raise DataError(
                    f"{each.name} needs more than {needed} bars of {each.timeframe} before its first signal; of {id}"
                    f" there are {there}.",
                    "Choose a shorter timeframe or a later end, import more bars, or ask for less warm-up.",
                )


def _check_leverage(config: RunConfig, instruments: Mapping[str, Instrument]) -> None:
    for each in config.strategies:
        for id in config.places_of(each):
            instrument = instruments[id]
            if instrument.is_perpetual and to_decimal(each.leverage) > instrument.max_leverage:
                raise ConfigError(
                    f"{each.name} asks for leverage {each.leverage:g} on {id}.",
                    f"The venue allows at most {instrument.max_leverage}.",
                )


V_co = TypeVar("V_co", bound=SimulatedVenue, covariant=True)


@dataclass(frozen=True)
class Core(Generic[V_co]):
    """A wired engine with the venue that takes its orders, and the events that open the run."""

    engine: Engine
    venue: V_co
    opening: tuple[BalanceChanged | Control, ...]


def assemble(
    material: Material, order_id: Callable[[int], str], *, tape: Mapping[Key, Bars] | None, isolate: bool
) -> Core[SimVenue]:
    """Wire a core. `tape` holds the bars that are known in advance by series; None when nothing is."""
    config = material.config
    engine = engine_of(material, order_id, tape=tape, isolate=isolate)
    balances = {venue: {config.currency: amount} for venue, amount in config.wallets(material.venues).items()}
    leverage = {each.name: to_decimal(each.leverage) for each in config.strategies}
    venues = {name: config.venue_of(name) for name in material.venues}
    venue = SimVenue(venues, material.instruments, balances, {**material.drive, **material.fills}, leverage)
    return Core(engine, venue, opening_of(material.start, balances))


def engine_of(
    material: Material, order_id: Callable[[int], str], *, tape: Mapping[Key, Bars] | None, isolate: bool
) -> Engine:
    """Wire an engine with everything but a venue."""
    config = material.config
    strategies = {each.name: each for each in config.strategies}
    venues = {name: config.venue_of(name) for name in material.venues}
    portfolio = Portfolio(
        material.instruments, config.currency, {name: each.leverage for name, each in strategies.items()}
    )
    rates = {id: cost_rate(venues[instrument.venue]) for id, instrument in material.instruments.items()}
    state = State(material.instruments, strategies, portfolio, Orders(), rates)
    state.pricing.costs = {
        id: costs_of(venues[instrument.venue]) for id, instrument in material.instruments.items()
    }
    state.routing = config.routing
    gate, breakers = Gate(config.risk), Breakers(config.risk.breakers)
    engine = Engine(state, gate, breakers, order_id, _allocator(material, state), isolate=isolate)
    for id, timeframe in material.bars:
        key = (id, timeframe)
        series = Series(id, timeframe, material.past.get(key), _tape(material, tape, key))
        series.drives = material.drive[id] == timeframe
        engine.add_series(series)
    _add_strategies(engine, material, strategies)
    engine.prepare()
    return engine


def _allocator(material: Material, state: State) -> Allocator | None:
    config = material.config
    if config.allocation.method == "fixed":
        return None
    return Allocator(
        config.allocation, state.allocations, state.portfolio, material.start, timeframe_ns(config.timeframe)
    )


def _tape(material: Material, tape: Mapping[Key, Bars] | None, key: Key) -> Bars | None:
    """Return past and known bars of a series in one piece."""
    if tape is None or key not in tape:
        return None
    known, past = tape[key], material.past.get(key)
    return known if past is None or not len(past) else past.followed_by(known)


def _add_strategies(engine: Engine, material: Material, configs: Mapping[str, StrategyConfig]) -> None:
    for name, config in configs.items():
        strategy = material.strategies[name]
        if isinstance(strategy, EventStrategy):
            view = StrategyView(engine.state, name)
            engine.add(EventRunner(name, strategy, config, config.instruments, view))
            continue
        for id in config.instruments:
            engine.add(BarRunner(name, strategy, config, engine.state.series[id, config.timeframe]))


def cost_rate(config: VenueConfig) -> float:
    """Return what taking is expected to cost at a venue, as a share of the value."""
    slippage = config.slippage
    return max(tier.taker for tier in config.fees) + slippage.spread / 2 + slippage.fixed


def costs_of(config: VenueConfig) -> Costs:
    """Return what trading at a venue is expected to cost, in detail."""
    slippage = config.slippage
    model = partial(slippage_rate, slippage.spread, slippage.fixed, slippage.volume_share)
    fees = config.fees
    return Costs(max(tier.taker for tier in fees), max(tier.maker for tier in fees), slippage.spread, model)


def opening_of(
    start: int, balances: Mapping[str, Mapping[str, Decimal]]
) -> tuple[BalanceChanged | Control, ...]:
    """Return the events that open a run: the balances of each venue by asset, then the start of the strategies."""
    deposits = (
        BalanceChanged(start, venue, asset, amount, "opening balance")
        for venue, wallet in balances.items()
        for asset, amount in wallet.items()
    )
    return (*deposits, Control(start, ControlAction.START, actor="run"))
