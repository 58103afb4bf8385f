"""How a run wants its perpetuals traded with real orders, and what speaks against it before the first one."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from abidance.engine.config import StrategyConfig
from abidance.kernel.config import Config
from abidance.model.errors import ConfigError, UsageError
from abidance.model.instrument import Instrument, InstrumentKind, parse_instrument_id
from abidance.model.money import to_decimal

if TYPE_CHECKING:  # a backtest has this table, too, and talks to no account
    from abidance.venues.account import AccountDialect
    from abidance.venues.trading.modes import Wanted
    from abidance.venues.trading.wire import Wire


Places = Sequence[tuple[StrategyConfig, Sequence[str]]]
"""The strategies of a run, each with the instruments that it may hold, by routes too."""


class PerpetualsConfig(Config):
    """How accounts trade perpetuals with real orders (`abidance trade --live`)."""

    margin: Literal["cross", "isolated"] = "cross"
    """What stands for a position: the whole wallet, or its own margin alone. Backtests and paper reckon with its own,
    which is liquidated sooner."""
    set_at_venue: bool = False
    """Whether a leverage or margin mode that differs is set at the venue at the start; else it stops new risk."""


def check_holders(places: Places) -> None:
    """Raise ConfigError where two strategies may hold one perpetual.

    An account has one position of it: what one of them holds would close what the other does, and no stop or exit of
    either would be its own.
    """
    whose: dict[str, str] = {}
    for each, ids in places:
        for id in ids:
            if parse_instrument_id(id).kind is InstrumentKind.SPOT:
                continue
            if whose.setdefault(id, each.name) != each.name:
                raise ConfigError(
                    f"{whose[id]} and {each.name} may both hold {id}, of which an account has one position.",
                    "With real orders give each perpetual to one strategy, or trade them with an account each.",
                )


def wanted_of(config: PerpetualsConfig, places: Places, instruments: Mapping[str, Instrument]) -> "Wanted":
    """Return how each perpetual of a run is to be traded: by its strategy's leverage, where entries may go, too."""
    from abidance.venues.account import Mode
    from abidance.venues.trading.modes import Wanted

    is_isolated = config.margin == "isolated"
    modes = {
        id: Mode(to_decimal(each.leverage), is_isolated)
        for each, ids in places
        for id in ids
        if instruments[id].is_perpetual
    }
    return Wanted(modes, config.set_at_venue)


async def enforce(dialect: "AccountDialect", wire: "Wire", wanted: "Wanted") -> None:
    """Raise ConfigError unless an account trades its perpetuals as wanted, after setting what may be set."""
    from abidance.venues.trading.modes import differences

    found = await differences(dialect, wire.ask, wanted, sets=True)
    if found:
        raise ConfigError(
            found,
            "Change it at the venue or in the configuration; `perpetuals.set_at_venue` lets us set leverage and margin.",
        )


def check_purses(dialects: Sequence["AccountDialect"]) -> None:
    """Raise UsageError where a venue pays the markets of one run from different wallets."""
    purses: dict[str, str] = {}
    for each in dialects:
        if purses.setdefault(each.venue, each.purse) != each.purse:
            raise UsageError(
                f"{each.venue} keeps money for {purses[each.venue]} and for {each.purse} apart.",
                "Trade each in a run and with an account of its own.",
            )
