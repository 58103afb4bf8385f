"""The configuration of a run: what it may hold, how it is loaded, and what is said when it does not fit.

A setting comes from the first of these that gives it: command line, environment, files (the last one wins), default.
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
from pydantic import Field, ValidationInfo, field_validator, model_validator

from abidance.engine.config import AllocationConfig, StrategyConfig
from abidance.execution.config import RoutingConfig
from abidance.kernel.config import WORDS, Config, Described
from abidance.model.account import OWNER
from abidance.model.errors import ConfigError, UsageError
from abidance.model.instrument import InstrumentKind, is_venue, parse_instrument_id, timeframe_ns
from abidance.model.money import received, to_decimal
from abidance.risk.config import RiskConfig
from abidance.run.folders import NAME, is_aside
from abidance.run.loading import Given, MisfitError, assemble
from abidance.run.perpetuals import PerpetualsConfig
from abidance.run.reference import Reference
from abidance.run.sources import leaves, shown
from abidance.venues.ccxt.loading import streamed_venues
from abidance.venues.net.config import FeedConfig
from abidance.venues.net.limits import grades_of
from abidance.venues.sim.config import VenueConfig
from abidance.venues.wallets import SPOT, WALLETS

FILE_NAME = "config.toml"
"""The file in the user directory that `new-config` writes."""

C = TypeVar("C", bound=Config)
LARGEST = 1e12
"""The largest amount of money: what comes of it must still be exact to the ledger's unit."""
Amount = Annotated[float, Field(gt=0, le=LARGEST, allow_inf_nan=False)]
Balance = Annotated[float, Field(ge=0, le=LARGEST, allow_inf_nan=False)]
Name = Annotated[
    str,
    Field(
        pattern=NAME,
        json_schema_extra={WORDS: "up to 64 letters, digits, dots, dashes and underscores"},
    ),
]
Asset = Annotated[
    str, Field(pattern=r"^[A-Z0-9]{1,16}$", json_schema_extra={WORDS: "an asset in capitals, such as USDT"})
]
Place = Annotated[
    str,
    Field(pattern=r"^[^\x00-\x1f\x7f]*$", json_schema_extra={WORDS: "a folder, or the URL of a database"}),
]

Database = Annotated[
    str,
    Field(
        pattern=r"^(postgres(ql)?://[^\x00-\x1f\x7f]+)?$",
        json_schema_extra={WORDS: "the URL of a PostgreSQL database"},
    ),
]

STORE = "ABIDANCE_STORE"
"""The variable that names the store for every command, those that read no configuration too."""
_QUOTES = ("USDT", "USDC", "FDUSD", "USD", "EUR", "BTC", "ETH")
_DEFAULT_VENUE = "BINANCE"


TRADES = "trades"
"""As `detail_timeframe`: the trades themselves decide what fills."""


class RunConfig(Config):
    """Everything that one run is told: with what, over which bars, by which strategies, under which rules."""

    name: Name = "bot"
    """Name of the run, in reports and as the name of its folder."""
    currency: Asset = "USDT"
    """Asset that equity, profit and limits are counted in."""
    dry_run_wallet: Amount | dict[str, Balance] = 10_000.0
    """Opening balance in the run's currency: one amount, split evenly over the venues, or one per venue."""
    instruments: tuple[str, ...] = ()
    """What is traded, written BASE/QUOTE@VENUE, or BASE/QUOTE:SETTLE@VENUE for perpetuals."""
    timeframe: str = "1h"
    """Bar length of strategies that do not name their own."""
    detail_timeframe: str | None = None
    """What decides the order of things inside a bar: shorter bars, whose length divides every strategy's, or "trades",
    the stored trades, of which all bars are then built."""
    timerange: str = ""
    """Which bars, as 20240101-20240601; either end may be left open, the end is not included, empty is all."""
    strategies: tuple[StrategyConfig, ...] = ()
    """The strategies of the run."""
    allocation: AllocationConfig = AllocationConfig()
    """How equity is divided among the strategies."""
    risk: RiskConfig = RiskConfig()
    """Limits and breakers."""
    routing: RoutingConfig = RoutingConfig()
    """Entries over several venues."""
    venue: VenueConfig = VenueConfig()
    """Costs and rules of every simulated venue."""
    venues: dict[str, VenueConfig] = Field(default_factory=dict)
    """What differs at one venue, by its name: `[venues.KRAKEN]`; the rest is as in `[venue]`."""
    feed: FeedConfig = FeedConfig()
    """Live market data."""
    perpetuals: PerpetualsConfig = PerpetualsConfig()
    """How accounts trade perpetuals."""
    spot_wallets: dict[str, str] = Field(default_factory=dict)
    """From which wallet real spot orders are paid, by venue, where there are several: at BINANCE and KUCOIN `spot`
    (if nothing is said) or `cross_margin`, to which they lend."""
    dead_man: bool = Field(True, exclude=True)
    """Whether a venue takes back what rests there to trade when the program is not heard for a minute, where it can and
    has no stops of ours to take along (KuCoin). It takes orders by hand in the same pairs, too."""
    journal_sync: Literal["always", "commands", "never"] = "commands"
    """When the journal is forced to the disk: at each record, before orders leave, or when the system likes. Real
    orders leave with `commands` alone."""
    store: Place = Field("", exclude=True)
    """Where market data lies: a folder, or postgresql://user@host/database; the user directory's when empty."""
    lease: Database = Field("", exclude=True)
    """Where several machines agree who trades on an account: postgresql://user@host/database; nowhere when empty."""

    @field_validator("name")
    @classmethod
    def _is_no_name_of_what_was_put_aside(cls, value: str) -> str:
        if is_aside(value):
            raise MisfitError(
                f"{value!r} is how a folder is called that a fresh start put aside.",
                "Choose a name without a date at its end.",
            )
        return value

    @field_validator("instruments")
    @classmethod
    def _instruments_exist_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        _check_instruments(value)
        return value

    @field_validator("timeframe", "detail_timeframe")
    @classmethod
    def _timeframe_is_one(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and (value != TRADES or info.field_name == "timeframe"):
            _length(value)
        return value

    @field_validator("timerange")
    @classmethod
    def _timerange_is_one(cls, value: str) -> str:
        if value:
            from abidance.market.store.timerange import parse_timerange

            try:
                parse_timerange(value)
            except UsageError as error:
                raise MisfitError(error.found, error.remedy) from None
        return value

    @field_validator("strategies")
    @classmethod
    def _strategies_fit_together(cls, value: tuple[StrategyConfig, ...]) -> tuple[StrategyConfig, ...]:
        names = [_name_of(each) for each in value]
        if OWNER in names:
            raise MisfitError(
                f"No strategy can be named {OWNER}: so is who owns the account.", "Name it otherwise."
            )
        for name in names:
            if names.count(name) > 1:
                raise MisfitError(
                    f"Two strategies are named {name}.", 'Give each its own, for example name = "slow".'
                )
        for each in value:
            _check_instruments(each.instruments)
            if each.timeframe:
                _length(each.timeframe)
            _check_execution(_name_of(each), each)
        total = math.fsum(each.allocation for each in value)
        if total > 1 + 1e-9:
            raise MisfitError(
                f"The allocations of {len(value)} strategies add up to {total:g}, more than there is.",
                f"Give each its share, for example allocation = {math.floor(1000 / len(value)) / 1000:g}.",
            )
        return value

    @field_validator("feed")
    @classmethod
    def _venues_can_be_meant(cls, value: FeedConfig) -> FeedConfig:
        for name in value.addresses:
            venue, dash, kind = name.partition("-")
            if not is_venue(venue) or (dash and kind not in tuple(InstrumentKind)):
                remedy = f"Write a venue in capitals, or one of its kinds: BINANCE, BINANCE-{InstrumentKind.PERPETUAL}."
                raise MisfitError(f"{name!r} is no venue that has an address.", remedy)
        for venue, grade in value.grades.items():
            if grade not in (known := grades_of(venue)):
                remedy = f"It has: {', '.join(sorted(known))}." if known else "Leave it out: all are alike."
                raise MisfitError(f"{venue} has no accounts of grade {grade!r}.", remedy)
        return value

    @field_validator("spot_wallets")
    @classmethod
    def _wallets_are_some(cls, value: dict[str, str]) -> dict[str, str]:
        for venue, wallet in value.items():
            if wallet not in (known := WALLETS.get(venue, frozenset())):
                remedy = f"It has: {', '.join(sorted(known))}." if known else "Leave it out: it has one."
                raise MisfitError(f"{venue} has no wallet {wallet!r} to pay spot orders from.", remedy)
        return value

    @model_validator(mode="after")
    def _parts_fit_together(self) -> "RunConfig":
        if self.detail_timeframe and self.detail_timeframe != TRADES:
            detail = _length(self.detail_timeframe)
            for timeframe in {
                self.timeframe,
                *(each.timeframe or self.timeframe for each in self.strategies),
            }:
                if detail >= _length(timeframe) or _length(timeframe) % detail:
                    raise MisfitError(
                        f"detail_timeframe {self.detail_timeframe} does not divide the bar length {timeframe}.",
                        "Choose a shorter one that fits a whole number of times, for example 1m.",
                    )
        _check_allocation(self.allocation, len(self.strategies))
        _check_routes(self.routing.routes, self.strategies, self.instruments)
        routed = (id for ids in self.routing.routes.values() for id in ids)
        used = {parse_instrument_id(id).venue for id in (*self._traded(), *routed)}
        wallet = self.dry_run_wallet if isinstance(self.dry_run_wallet, dict) else {}
        elsewhere = {name.partition("-")[0] for name in self.feed.addresses} - used
        if elsewhere:  # a file for several runs names venues of others, too
            elsewhere -= {name.upper() for name in streamed_venues()}
        for name in (*self.venues, *wallet, *sorted(elsewhere)):
            near = get_close_matches(name.upper(), used, 1)
            if name not in used and near:
                raise MisfitError(f"No instrument is traded at {name}.", f"Did you mean {near[0]}?")
        return self

    def _traded(self) -> tuple[str, ...]:
        """Return the run's instruments and those that strategies add, each once."""
        own = (id for each in self.strategies for id in each.instruments)
        return tuple(dict.fromkeys((*self.instruments, *own)))

    def places_of(self, strategy: StrategyConfig) -> tuple[str, ...]:
        """Return what a strategy of a resolved run trades, and where else its entries may go."""
        routes = self.routing.routes
        own = strategy.instruments
        return tuple(dict.fromkeys((*own, *(id for home in own for id in routes.get(home, ())))))

    def places(self) -> list[tuple[StrategyConfig, tuple[str, ...]]]:
        """Return the strategies of a resolved run, each with what it trades and where else its entries may go."""
        return [(each, self.places_of(each)) for each in self.strategies]

    def resolved(self) -> "RunConfig":
        """Return the same run with every strategy and venue complete: nothing is left to be taken from elsewhere."""
        strategies = tuple(
            each.model_copy(
                update={
                    "name": _name_of(each),
                    "instruments": each.instruments or self.instruments,
                    "timeframe": each.timeframe or self.timeframe,
                }
            )
            for each in self.strategies
        )
        venues = {name: self.venue_of(name) for name in self.venues}
        return self.model_copy(
            update={"strategies": strategies, "instruments": self._traded(), "venues": venues}
        )

    def ready(self) -> "RunConfig":
        """Return the resolved run. Raises ConfigError when there is nothing to run."""
        if not self.strategies:
            raise ConfigError(
                "No strategy is given.",
                "Name one with -s, or write [[strategies]] into a configuration file.",
                {"strategies": "Name one or more."},
            )
        resolved = self.resolved()
        for each in resolved.strategies:
            if not each.instruments:
                raise ConfigError(
                    f"The strategy {each.name} has nothing to trade.",
                    "Name instruments with -p, for example -p BTC/USDT, or set `instruments` in a configuration file.",
                    {"instruments": "Name one or more."},
                )
        return resolved

    def venue_of(self, name: str) -> VenueConfig:
        """Return a venue's settings: those of all venues, and over them its own."""
        own = self.venues.get(name)
        return _over(self.venue, own) if own else self.venue

    def wallet_of(self, venue: str) -> str:
        """Return the wallet from which spot orders are paid at a venue."""
        return self.spot_wallets.get(venue, SPOT)

    def wallets(self, venues: Sequence[str]) -> dict[str, Decimal]:
        """Return the opening balance of each venue in the run's currency; none lies where moods are read.

        Raises ConfigError when money lies at a venue that is not among them, or when there is none at all.
        """
        wallet = self.dry_run_wallet
        if not isinstance(wallet, dict):
            from abidance.market.readings import VENUE as SENTIMENT

            total = to_decimal(wallet)
            traded = [name for name in venues if name != SENTIMENT]
            share = received(total / len(traded))
            shares = dict.fromkeys(traded, share) | {traded[0]: total - share * (len(traded) - 1)}
            return {name: shares.get(name, Decimal(0)) for name in venues}
        if unknown := sorted(set(wallet) - set(venues)):
            raise ConfigError(
                f"dry_run_wallet puts money at {', '.join(unknown)}, where nothing is traded.",
                f"This run trades at {', '.join(venues)}.",
            )
        if not any(wallet.values()):
            raise ConfigError("dry_run_wallet is empty.", "Give at least one venue an amount above 0.")
        return {name: to_decimal(wallet.get(name, 0.0)) for name in venues}


class Loaded(NamedTuple):
    """A configuration and, by setting as it is written (`risk.limits.max_exposure`), where its value was given.

    Settings at their default are not in `sources`.
    """

    config: RunConfig
    sources: dict[str, str]


def digest_of(plain: Mapping[str, object]) -> str:
    """Return what tells a resolved configuration, as plain values, from all others."""
    return hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest()


def own_files(userdir: Path) -> list[Path]:
    """Return the user's own configuration file, if there is one."""
    path = userdir / FILE_NAME
    return [path] if path.exists() else []


def load(paths: Sequence[Path], overrides: Mapping[str, object], environ: Mapping[str, str]) -> RunConfig:
    """Return the configuration that files, environment and command line give together.

    `overrides` are what was typed: nested tables or dotted names, None where nothing was. Raises ConfigError, or
    UsageError when nothing but what was typed is wrong.
    """
    return trace(paths, overrides, environ).config


def trace(paths: Sequence[Path], overrides: Mapping[str, object], environ: Mapping[str, str]) -> Loaded:
    """Do what `load` does, and tell where each value was given."""
    config, settings = assemble(RunConfig, Given(paths, environ, overrides, {STORE: "store"}))
    sources = {shown(key): settings.where(key) or "" for key, _ in leaves(settings.values) if key}
    return Loaded(config, sources)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a configuration file."""
    found = RunConfig.model_json_schema(schema_generator=Described)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **found,
        "title": "Abidance configuration",
    }


def reference() -> str:
    """Return Markdown tables of every setting."""
    return Reference(schema).tables()


def template() -> str:
    """Return a configuration file to begin with: the defaults, and one strategy on two instruments."""
    title = "Settings of a run. What is commented out is not set. Every setting: docs/configuration.md"
    return Reference(schema).template(
        {**starter().model_dump(mode="json"), "store": "", "lease": "", "dead_man": True}, title
    )


def starter() -> RunConfig:
    """Return the run that `template` writes down."""
    return RunConfig(
        instruments=("BTC/USDT@BINANCE", "ETH/USDT@BINANCE"),
        strategies=(StrategyConfig(strategy="EmaCross"),),
    )


# --- what a value may be


def _length(timeframe: str) -> int:
    try:
        return timeframe_ns(timeframe)
    except UsageError as error:
        raise MisfitError(error.found, error.remedy) from None


def _check_instruments(ids: Sequence[str]) -> None:
    for id in ids:
        try:
            parse_instrument_id(id)
        except UsageError as error:
            near = _near_instrument(id)
            raise MisfitError(error.found, f"Did you mean {near}?" if near else error.remedy) from None
        if ids.count(id) > 1:
            raise MisfitError(f"{id} is listed twice.", "List each instrument once.")


def _check_routes(
    routes: Mapping[str, Sequence[str]], strategies: Sequence[StrategyConfig], instruments: Sequence[str]
) -> None:
    for home, others in routes.items():
        _check_instruments((home, *others))
        name = parse_instrument_id(home)
        for id in others:
            other = parse_instrument_id(id)
            if (other.base, other.quote, other.settle) != (name.base, name.quote, name.settle):
                raise MisfitError(
                    f"routing.routes sends {home} to {id}, which is another pair.",
                    "Name the same pair, of the same kind, at another venue.",
                )
            for each in strategies:
                own = each.instruments or instruments
                if home in own and id in own:
                    raise MisfitError(
                        f"{_name_of(each)} trades {id} itself and as a route of {home}.",
                        "Take one of the two out: a strategy has one position in an instrument.",
                    )


def _check_execution(name: str, config: StrategyConfig) -> None:
    execution = config.execution
    if execution.algo == "none":
        return
    if config.order_type != "market" or config.entry_timeout is not None:
        raise MisfitError(
            f"{name} asks for execution.algo {execution.algo} and for limit entries of its own.",
            'Leave order_type and entry_timeout out, or set execution.algo = "none".',
        )
    if execution.algo == "twap" and execution.slices > execution.duration:
        raise MisfitError(
            f"{name} asks for {execution.slices} slices within {execution.duration} s.",
            "Ask for one a second at most.",
        )


def _check_allocation(config: AllocationConfig, count: int) -> None:
    if config.method == "fixed":
        return
    if config.floor > config.cap:
        raise MisfitError(
            f"allocation.floor {config.floor:g} is above allocation.cap {config.cap:g}.",
            "Make the smallest share of a strategy smaller than the largest.",
        )
    left = 1 - config.reserve
    if config.floor * count > left + 1e-9:
        raise MisfitError(
            f"allocation.floor promises {count} strategies {config.floor:g} each, but {left:g} is what there is.",
            f"Lower it, for example floor = {math.floor(1000 * left / count) / 1000:g}.",
        )


def _near_instrument(text: str) -> str | None:
    """Return the instrument that was probably meant by `btc-usdt`, `BTCUSDT` or `BTC/USDT`."""
    pair, _, venue = text.strip().upper().partition("@")
    pair = re.sub(r"[-_ ]", "/", pair, count=1)
    for quote in _QUOTES:
        if "/" not in pair and pair.endswith(quote) and pair != quote:
            pair = f"{pair.removesuffix(quote)}/{quote}"
    meant = f"{pair}@{venue or _DEFAULT_VENUE}"
    try:
        parse_instrument_id(meant)
    except UsageError:
        return None
    return meant


def _name_of(strategy: StrategyConfig) -> str:
    """Return a strategy's name: as given, or its class, or its file."""
    if strategy.name:
        return strategy.name
    path, colon, name = strategy.strategy.rpartition(":")
    if colon and path.endswith(".py"):
        return name
    return PurePath(strategy.strategy).stem if strategy.strategy.endswith(".py") else strategy.strategy


def _over(below: C, above: C) -> C:
    """Return `below` with everything that was set in `above`."""
    update = {}
    for name in above.model_fields_set:
        old, new = getattr(below, name), getattr(above, name)
        update[name] = _over(old, new) if isinstance(new, Config) else new
    return below.model_copy(update=update)
