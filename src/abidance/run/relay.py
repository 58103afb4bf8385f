"""The way of commands from the engine to the gateways, open only once nothing is repeated any more."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping

from abidance.market.live.inbox import Inbox
from abidance.model.command import Command, Submit
from abidance.model.event import AccountEvent
from abidance.model.market import BarSlice, BookSnapshot, MarketEvent, Quote, Trade
from abidance.model.order import Order
from abidance.venues.trading.gateway import VenueGateway

HURRY = 0.02
"""Seconds for which commands are on their way out."""


class Relay:
    """Hands commands to the gateway of their instrument, and prices to those that watch them (a `SimulatedVenue`).

    `used_at` is when it did so last, in seconds of the loop's clock. `inbox` is where prices come from: it knows how
    old those are that came late.
    While a record is repeated nothing leaves: its commands left when they were new.
    """

    is_idle = False

    def __init__(self) -> None:
        self.gateways: Mapping[str, VenueGateway] = {}
        self.is_open = False
        self.inbox: Inbox | None = None
        self.used_at = -HURRY
        self.seen: dict[str, Trade | Quote | BookSnapshot] = {}
        self._instruments: dict[str, str] = {}

    def know(self, orders: Iterable[Order]) -> None:
        """Take over orders that were sent before."""
        self._instruments |= {order.id: order.request.instrument for order in orders}

    def execute(self, commands: Iterable[Command]) -> Iterable[AccountEvent]:
        """Send commands where they belong."""
        if self.is_open:
            self.used_at = asyncio.get_running_loop().time()
        for command in commands:
            if isinstance(command, Submit):
                self._instruments[command.order_id] = command.request.instrument
            if self.is_open:
                self.gateways[self._instruments[command.order_id]].execute((command,))
        return ()

    def advance(self, event: MarketEvent) -> Iterator[AccountEvent]:
        """Let gateways see the price; their answers come by another way."""
        if not self.is_open:
            return iter(())
        if isinstance(event, BarSlice):
            for bar in event.bars:
                if (gateway := self.gateways.get(bar.instrument)) is not None:
                    gateway.sight.see_bar(bar)
        elif (
            isinstance(event, Trade | Quote) and (gateway := self.gateways.get(event.instrument)) is not None
        ):
            bid, ask = (event.price, event.price) if isinstance(event, Trade) else (event.bid, event.ask)
            gateway.sight.see(event.instrument, bid, ask, event.ts if self.inbox is None else self.inbox.told)
        return iter(())

    def reach(self, _kind: type[Trade | Quote | BookSnapshot], _instrument: str) -> tuple[float, float, int]:
        """Return that any tick may matter."""
        return 0.0, 0.0, 0

    def pass_over(self, ticks: Iterable[Trade | Quote | BookSnapshot]) -> None:
        """Do nothing: no tick is passed over here."""
