"""A simulated venue on a small stage: orders in one line, bars in one line, answers recorded."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from abidance.model.command import Amend, Cancel, Command, Submit
from abidance.model.event import AccountEvent, MarketEvent, OrderFilled
from abidance.model.instrument import SECOND_NS, Instrument
from abidance.model.market import Bar, BarSlice
from abidance.model.order import Fill, OrderRequest, OrderType, Purpose, Side
from abidance.venues.sim.config import FeeTier, SlippageConfig, VenueConfig
from abidance.venues.sim.venue import SimVenue

D = Decimal
HOUR = 3_600 * SECOND_NS
SPOT = Instrument("BTC/USDT@SIM", D("0.1"), D("0.001"), D("0.001"), D(5))
ETHER = Instrument("ETH/USDT@SIM", D("0.01"), D("0.01"), D("0.01"), D(5))
PERP = Instrument("BTC/USDT:USDT@SIM", D("0.1"), D("0.001"), D("0.001"), D(5), D(50), D("0.01"))
FREE = VenueConfig(
    fees=(FeeTier(volume=0, maker=0, taker=0),),
    slippage=SlippageConfig(spread=0, fixed=0, volume_share=0),
    unlimited_volume=True,
)
"""A venue without costs and bounds, so that a test shows one rule alone."""

Answer = Callable[[AccountEvent], Iterable[Command]]


def costing(**changes: Any) -> VenueConfig:
    """Return FREE with some rules switched on."""
    return VenueConfig.model_validate(FREE.model_dump() | changes)


def fees(maker: float, taker: float) -> tuple[FeeTier, ...]:
    return (FeeTier(volume=0, maker=maker, taker=taker),)


class Scene:
    """One venue, hourly bars from time zero, a log of all answers."""

    def __init__(
        self,
        config: VenueConfig = FREE,
        instruments: Iterable[Instrument] = (SPOT, ETHER, PERP),
        drive: str = "1h",
        cash: str = "1000000",
        base: str = "0",
        leverage: str = "1",
    ) -> None:
        held = {each.id: each for each in instruments}
        self.venue = SimVenue(
            config,
            held,
            {"SIM": {"USDT": D(cash), "BTC": D(base)}},
            dict.fromkeys(held, drive),
            {"s": D(leverage)},
        )
        self.log: list[AccountEvent] = []
        self.now = 0
        self._ids = 0

    def order(
        self,
        side: str,
        quantity: str,
        price: str = "",
        trigger: str = "",
        at: int | None = None,
        **fields: Any,
    ) -> str:
        """Submit an order; its type follows from what is given. Return its id."""
        submit = self.submit(side, quantity, price, trigger, at, **fields)
        self.log += self.venue.execute([submit])
        return submit.order_id

    def submit(
        self,
        side: str,
        quantity: str,
        price: str = "",
        trigger: str = "",
        at: int | None = None,
        **fields: Any,
    ) -> Submit:
        is_goal = fields.pop("goal", False)
        kind = {
            (False, False): OrderType.MARKET,
            (True, False): OrderType.LIMIT,
            (False, True): OrderType.STOP,
            (True, True): OrderType.STOP_LIMIT,
        }[bool(price), bool(trigger)]
        if is_goal:
            kind = OrderType.TAKE_PROFIT_LIMIT if price else OrderType.TAKE_PROFIT
        values: dict[str, Any] = {"strategy": "s", "instrument": SPOT.id, "purpose": Purpose.ENTRY} | fields
        request = OrderRequest(
            side=Side(side),
            quantity=D(quantity),
            type=kind,
            price=D(price) if price else None,
            trigger=D(trigger) if trigger else None,
            **values,
        )
        self._ids += 1
        return Submit(f"o{self._ids}", request, self.now if at is None else at)

    def cancel(self, order_id: str) -> None:
        self.log += self.venue.execute([Cancel(order_id, self.now)])

    def amend(self, order_id: str, quantity: str = "", price: str = "", trigger: str = "") -> None:
        values = [D(text) if text else None for text in (quantity, price, trigger)]
        self.log += self.venue.execute([Amend(order_id, values[0], values[1], values[2], self.now)])

    def bar(
        self,
        ohlc: tuple[float, float, float, float],
        volume: float = 1e9,
        instrument: Instrument = SPOT,
        answer: Answer | None = None,
    ) -> list[AccountEvent]:
        """Let an hourly bar pass and return what it did."""
        bar = Bar(instrument.id, "1h", self.now, *ohlc, volume)
        return self.send(BarSlice(self.now + HOUR, (bar,)), answer)

    def send(self, event: MarketEvent, answer: Answer | None = None) -> list[AccountEvent]:
        """Let an event happen; `answer` plays the engine."""
        news = []
        for each in self.venue.advance(event):
            news.append(each)
            self.log.append(each)
            if answer is not None:
                replies = self.venue.execute(answer(each))
                news += replies
                self.log += replies
        self.now = max(self.now, event.ts)
        return news

    def total(self, asset: str = "USDT") -> Decimal:
        return self.venue.balances()["SIM", asset].total

    def free(self, asset: str = "USDT") -> Decimal:
        return self.venue.balances()["SIM", asset].free

    @property
    def fills(self) -> list[Fill]:
        return fills_of(self.log)

    @property
    def names(self) -> list[str]:
        """Return the kinds of all answers."""
        return [type(each).__name__ for each in self.log]


def fills_of(events: Iterable[AccountEvent]) -> list[Fill]:
    return [each.fill for each in events if isinstance(each, OrderFilled)]


def once(*commands: Command) -> Answer:
    """Return an answer that sends `commands` at the first fill and is silent then."""
    left = list(commands)

    def reply(event: AccountEvent) -> list[Command]:
        if not isinstance(event, OrderFilled):
            return []
        sent, left[:] = list(left), []
        return sent

    return reply
