"""What accounts really pay for trading beside what is configured: asked before a run begins and each hour after that.

A fee in a coin without a price stands for so much of the trade's value (`run.hearing`): where an account pays more than
is configured, for that. People are told, because backtests, sizes and limits on costs reckon with the configuration.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

from abidance.execution.cost import Costs
from abidance.kernel.log import logger
from abidance.model.errors import AbidanceError, VenueError
from abidance.model.instrument import parse_instrument_id
from abidance.model.money import to_decimal
from abidance.run.config import RunConfig
from abidance.run.setup import costs_of
from abidance.run.strangers import asking, dialects_of
from abidance.venues.account import AccountDialect, Call, Credentials, Rates
from abidance.venues.net.transport import Answer, DisconnectedError, Pulse, Transport
from abidance.venues.tariff import ask_rates

FIRST = 20.0
"""Seconds from the start of a run to the first question: what became of orders goes first."""
EVERY = 3_600.0
"""Seconds from one question to the next."""
AGAIN = 600.0
"""The same after a venue that did not tell."""

Ask = Callable[[Call], Awaitable[Answer]]


class FeeWatch:
    """Asks what accounts pay. `paid` holds what is known of that, by instrument.

    `costs` returns what is configured; `tell` takes a sentence about fees that are above it.
    """

    def __init__(self, costs: Callable[[], Mapping[str, Costs]], tell: Callable[[str], None]) -> None:
        self.paid: dict[str, Rates] = {}
        self._costs = costs
        self._tell = tell
        self._accounts: list[tuple[AccountDialect, Ask]] = []

    def add(self, dialect: AccountDialect, ask: Ask) -> None:
        """Take an account that is to be asked."""
        self._accounts.append((dialect, ask))

    def works(self, pulse: Pulse) -> list[Coroutine[object, object, None]]:
        """Return what goes on for as long as the run does."""
        return [self._keep(*each, pulse) for each in self._accounts if each[0].tariff is not None]

    async def _keep(self, dialect: AccountDialect, ask: Ask, pulse: Pulse) -> None:
        """Ask what one account pays, now and then until cancelled."""
        pause = FIRST
        while True:
            await pulse.sleep(pause)
            try:
                await self._look(dialect, ask)
                pause = EVERY
            except AbidanceError as error:
                pause = AGAIN
                logger("fees").warning("fees_not_told", venue=dialect.venue, reason=error.found)
            except Exception:  # noqa: BLE001 (a list that nobody foresaw is no reason to leave positions)
                pause = AGAIN
                logger("fees").exception("fees_not_told", venue=dialect.venue)

    async def _look(self, dialect: AccountDialect, ask: Ask) -> None:
        for id in dialect.instruments:
            rates = await ask_rates(dialect, ask, id)
            if rates is None or self.paid.get(id) == rates:
                continue
            self.paid[id] = rates
            if text := dearer(id, rates, self._costs().get(id)):
                self._tell(text)


def dearer(instrument: str, rates: Rates, costs: Costs | None) -> str:
    """Return what a person must know of fees above those that are configured; empty when there are none."""
    if costs is None:
        return ""
    pairs = {"maker": (rates.maker, costs.maker), "taker": (rates.taker, costs.taker)}
    more = [
        f"{float(paid):.4%} as a {name} where {given:.4%} is configured"
        for name, (paid, given) in pairs.items()
        if paid > to_decimal(given)
    ]
    if not more:
        return ""
    venue = parse_instrument_id(instrument).venue
    return (
        f"{instrument} costs this account {', and '.join(more)}: backtests and sizes reckon with too little "
        f"(venues.{venue}.fees)."
    )


async def dear_fees_at(
    config: RunConfig, access: Mapping[str, tuple[Credentials, str, str]], transport: Transport, pulse: Pulse
) -> list[str]:
    """Ask the accounts of a run, and return a sentence for each instrument that costs more than is configured.

    A venue that does not answer has a sentence, too. Raises UsageError where no orders can be sent.
    """
    found: list[str] = []
    for dialect in dialects_of(config):
        if dialect.tariff is None:
            continue
        try:
            found += await _dear_fees(config, dialect, access[dialect.venue], transport, pulse)
        except (VenueError, DisconnectedError) as error:
            found.append(f"What trading costs at {dialect.venue} is not told: {error.found}")
    return found


async def _dear_fees(
    config: RunConfig,
    dialect: AccountDialect,
    access: tuple[Credentials, str, str],
    transport: Transport,
    pulse: Pulse,
) -> Sequence[str]:
    wire, costs = await asking(dialect, access, transport, pulse), costs_of(config.venue_of(dialect.venue))
    told = [(id, await ask_rates(dialect, wire.ask, id)) for id in dialect.instruments]
    return [text for id, rates in told if rates is not None and (text := dearer(id, rates, costs))]


__all__ = ["FeeWatch", "dear_fees_at", "dearer"]
