"""How a run wants its perpetuals traded with real orders, and what speaks against it before the first one."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from abidance.engine.config import StrategyConfig
from abidance.kernel.config import Config
from abidance.model.errors import ConfigError, UsageError
from abidance.model.instrument import Instrument
from abidance.model.money import to_decimal

if TYPE_CHECKING:  # a backtest has this table, too, and talks to no account
    from abidance.venues.account import AccountDialect
    from abidance.venues.trading.modes import Wanted
    from abidance.venues.trading.wire import Wire


class PerpetualsConfig(Config):
    """How accounts trade perpetuals with real orders (`abidance trade --live`)."""

    margin: Literal["cross", "isolated"] = "cross"
    """What stands for a position: the whole wallet, or its own margin alone. Backtests and paper reckon with its own,
    which is liquidated sooner."""
    set_at_venue: bool = False
    """Whether a leverage or margin mode that differs is set at the venue at the start; else it stops new risk."""


def wanted_of(
    config: PerpetualsConfig,
    places: Sequence[tuple[StrategyConfig, Sequence[str]]],
    instruments: Mapping[str, Instrument],
) -> "Wanted":
    """Return how each perpetual of a run is to be traded, `places` being what each strategy may hold, by routes too.

    Raises ConfigError where strategies want it differently.
    """
    from abidance.venues.account import Mode
    from abidance.venues.trading.modes import Wanted

    modes: dict[str, Mode] = {}
    whose: dict[str, str] = {}
    for each, ids in places:
        for id in ids:
            if not instruments[id].is_perpetual:
                continue
            mode = Mode(to_decimal(each.leverage), config.margin == "isolated")
            if modes.setdefault(id, mode) != mode:
                raise ConfigError(
                    f"{whose[id]} and {each.name} want {id} with different leverages, and an account has one for it.",
                    "Give both the same leverage, or trade them with an account each.",
                )
            whose.setdefault(id, each.name)
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
