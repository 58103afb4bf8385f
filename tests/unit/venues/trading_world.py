"""A gateway that trades on a local exchange in one process, under a time that the test moves: no socket, no waiting."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from random import Random
from typing import Any

from abidance.execution.orders import Orders
from abidance.kernel.ids import OrderIds
from abidance.kernel.log import logger
from abidance.market.reference import instrument
from abidance.model.event import AccountEvent, OrderFilled
from abidance.model.instrument import SECOND_NS, Instrument, InstrumentKind
from abidance.model.intent import AmendRequest, CancelRequest
from abidance.model.money import ZERO
from abidance.model.order import OrderRequest, OrderType, Purpose, Side
from abidance.model.outcome import Approved
from abidance.risk.circuits import Sign
from abidance.testing.exchange import Account, LocalExchange, generated
from abidance.testing.exchange.faults import Wrong
from abidance.testing.exchange.house import Asked
from abidance.testing.exchange.kraken_orders import trade_id
from abidance.venues.account import AccountDialect, Credentials, Mode
from abidance.venues.accounts import account_of
from abidance.venues.dialect import Channel, Endpoint, Frame
from abidance.venues.net.budget import Budgets
from abidance.venues.net.transport import NONE, Answer, DisconnectedError, NotSentError
from abidance.venues.trading.books import Books
from abidance.venues.trading.gateway import VenueGateway
from abidance.venues.trading.line import Way
from abidance.venues.trading.modes import Wanted
from abidance.venues.trading.signs import Signs, unheeded
from abidance.venues.trading.wire import Wire
from tests.unit.venues.net_world import HandPulse, settle

D = Decimal
Speaks = Callable[[str, InstrumentKind, Sequence[Instrument]], AccountDialect]
SECRET = "YS1zZWNyZXQtaW4tYmFzZTY0"
PHRASE = "a-phrase"
EPOCH = 1_700_000_000 * SECOND_NS


@dataclass(frozen=True)
class Scene:
    """What a test must know of a venue to let things go wrong there.

    `order` is the path at which orders are placed, `every` what all signed paths begin with, `own` the topic of what
    happens to orders; `poor` is what the venue says when the money is not there.
    """

    order: str
    every: str
    own: str
    poor: str
    asked: str
    """The path of the question for open orders."""
    execution: Callable[[int], str] = str
    """How the venue writes the number of an execution."""
    tells_money: bool = True
    """The venue tells money that comes or goes by no order."""
    conditional: str = ""
    """The path at which orders with a trigger are placed, where that is another one."""


SCENES = {
    "BINANCE": Scene(
        "/api/v3/order", "/api/v3", "account executionReport", "insufficient balance", "/openOrders"
    ),
    "BYBIT": Scene(
        "/v5/order/create",
        "/v5",
        "account order",
        "Insufficient balance",
        "/order/realtime",
        tells_money=False,
    ),
    "KRAKEN": Scene(
        "/0/private/AddOrder",
        "/0/private",
        "account executions",
        "Insufficient funds",
        "/OpenOrders",
        trade_id,
    ),
    "KUCOIN": Scene(
        "/api/v1/hf/orders",
        "/api/v1",
        "account /spotMarket/tradeOrdersV2",
        "Balance insufficient",
        "/orders/active",
    ),
    "MEXC": Scene(
        "/api/v3/order", "/api/v3", "account spot@private.", "Insufficient position", "/openOrders"
    ),
}
PERPETUALS = {
    "BINANCE": Scene(
        "/fapi/v1/order",
        "/fapi/v1",
        "account ",
        "Margin is insufficient",
        "/openOrders",
        conditional="/fapi/v1/algoOrder",
    ),
    "BYBIT": SCENES["BYBIT"],
}
"""The same of the venues' perpetuals."""
MARGINS = {
    "BINANCE": Scene(
        "/sapi/v1/margin/order",
        "/sapi/v1/margin",
        "account executionReport",
        "insufficient balance",
        "/openOrders",
        tells_money=False,
    ),
    "KUCOIN": Scene(
        "/api/v3/hf/margin/order",
        "/api/v3",
        "account /spotMarket/tradeOrdersV2",
        "Balance insufficient",
        "/orders/active",
        tells_money=False,
    ),
}
"""The same of the venues' cross margin accounts."""
LEVERAGE = Decimal(20)
"""What the local exchange begins with."""


class Ear:
    """One connection to the account's stream, as the exchange sees it and as the client reads it."""

    def __init__(self, path: str, number: int, exchange: LocalExchange) -> None:
        self.path, self.number, self.topics, self.is_over = path, number, set[str](), False
        self._exchange = exchange
        self._frames: deque[Frame] = deque()
        self._held: list[Frame] = []
        self._wake = asyncio.Event()

    def say(self, frame: Frame) -> None:
        self.push("", frame)

    def push(self, topic: str, frame: Frame) -> None:
        for fault in self._exchange.faults.on_frame(topic, frame):
            if fault.what is Wrong.GAP:
                return
            if fault.what is Wrong.REORDER:
                self._held.append(frame)
                return
            if fault.what is Wrong.DUPLICATE:
                self._frames.append(frame)
            elif fault.what is Wrong.DISCONNECT:
                self.is_over = True
        self._frames.append(frame)
        self._frames.extend(self._held)
        self._held.clear()
        self._wake.set()

    def listen(self, topic: str, market: object, channel: Channel, every: int = 0) -> None:
        raise NotImplementedError

    def leave(self, topic: str) -> bool:
        return False

    async def send(self, frame: Frame) -> None:
        self._exchange.house.hear(self, frame)

    async def receive(self) -> Frame:
        while not self._frames:
            if self.is_over:
                raise DisconnectedError("The connection ended.")
            self._wake.clear()
            await self._wake.wait()
        return self._frames.popleft()

    async def close(self) -> None:
        self.is_over = True
        self._wake.set()


class _Wall:
    """The exchange's clock is ours."""

    def __init__(self, pulse: HandPulse) -> None:
        self._pulse = pulse

    def now(self) -> int:
        return self._pulse.true()


class World:
    """The exchange, the account, the gateway and everything that it told; also the way between them."""

    def __init__(
        self,
        seed: int = 7,
        venue: str = "BINANCE",
        *,
        is_perpetual: bool = False,
        speaks: Speaks = account_of,
        limited: bool = False,
        wallet: str = "",
    ) -> None:
        self.pulse = HandPulse()
        self._speaks = partial(account_of, wallet=wallet) if wallet else speaks
        self.scene = MARGINS[venue] if wallet else (PERPETUALS if is_perpetual else SCENES)[venue]
        self.btc = instrument(f"BTC/USDT{':USDT' * is_perpetual}@{venue}")
        self.market = generated(self.btc.id, seed, EPOCH, pace=5.0, past_seconds=600)
        owner = Account("a-key", SECRET, PHRASE)
        self.account = owner.open_margin() if wallet else owner
        self.exchange = LocalExchange(
            [self.market], start=EPOCH, clock=_Wall(self.pulse), accounts=[owner], limited=limited
        )
        self.exchange.desk.transfer(self.account, "USDT", D(1_000_000), EPOCH)
        self.events: list[AccountEvent] = []
        self.unheard: list[AccountEvent] = []
        self.is_busy = False
        """Nobody hears events just now: they wait."""
        self.orders = Orders()
        self.ears: list[Ear] = []
        self.is_up = True
        self.connecting = 0.0
        """Seconds until the connection of a request stands."""
        self.asked: Counter[str] = Counter()
        self.answers: list[Answer] = []
        self.instead: Callable[[Asked], Answer | None] = lambda _: None
        self.departed: set[str] = set()
        self.sets = False
        self.signs: Signs = unheeded
        self.ids = OrderIds(1, 1, b"world")
        self._number = 0
        self.gateway = self.made()
        self._task: asyncio.Task[None] | None = None

    def made(self) -> VenueGateway:
        """Return a new gateway to the account: a process that starts."""
        dialect = self._speaks(self.btc.venue, self.btc.kind, [self.btc])
        credentials = Credentials("a-key", SECRET, PHRASE)
        here = "http://127.0.0.1"
        self.wire = Wire(dialect, credentials, self, Budgets(self.pulse), self.pulse, here, self.sign)
        self.wire.leaps = True
        log, departs = logger("gateway"), self.departed.add
        way = Way(self.wire, self, self.pulse, Random(1).random, log, signs=self.sign, departs=departs)
        way.unheard = lambda: self.unheard
        books = Books(dict, self.exposed)
        wanted = Wanted({self.btc.id: Mode(LEVERAGE)} if self.btc.is_perpetual else {}, sets=self.sets)
        return VenueGateway(dialect, way, books, self.hear, self.ids.is_ours, lambda: None, wanted)

    def sign(self, sign: Sign, value: float, text: str) -> None:
        """Hand on what is seen of the venue."""
        self.signs(sign, value, text)

    def exposed(self) -> Mapping[str, Decimal]:
        """Return the position that the fills which were told add up to."""
        fills = [event.fill for event in self.events if isinstance(event, OrderFilled)]
        return {self.btc.id: sum((each.quantity * each.side.sign for each in fills), ZERO)}

    def hear(self, event: AccountEvent) -> None:
        """Take an event as an engine and its record do."""
        if self.is_busy:
            self.unheard.append(event)
            return
        self.events.append(event)
        self.orders.apply(event)

    def hear_all(self) -> None:
        """Take what waits."""
        self.is_busy = False
        while self.unheard:
            self.hear(self.unheard.pop(0))

    async def start(self) -> "World":
        await self.wire.open()
        self._task = asyncio.ensure_future(self.gateway.run())
        await self.advance(1)
        return self

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def restart(self, down: float = 0.0) -> None:
        """Let the process die where it is, and another one begin with what is on record."""
        await self.stop()
        since = self.pulse.wall() - 60 * SECOND_NS
        await self.advance(down)
        for ear in self.ears:
            ear.is_over = True
        self.gateway = self.made()
        known, orders = self.departed.__contains__, self.orders
        self.gateway.recover(orders.all(), orders.fills, since, known, orders.amend_of, orders.is_called_off)
        await self.start()

    async def advance(self, seconds: float, step: float = 0.25) -> None:
        """Let time pass for the exchange and for us."""
        for _ in range(round(seconds / step)):
            await self.pulse.advance(step)
            self.exchange.catch_up()
            await settle()

    # --- the transport

    async def connect(self, endpoint: Endpoint) -> Ear:
        if not self.is_up:
            raise NotSentError("No connection: refused.")
        ear = Ear("/" + endpoint.url.split("/", 3)[3], len(self.ears), self.exchange)
        self.ears.append(ear)
        self.exchange.house.welcome(ear)
        return ear

    async def request(
        self,
        method: str,
        url: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] = NONE,
        body: bytes | None = None,
        leaving: Callable[[], None] | None = None,
    ) -> Answer:
        if not self.is_up:
            raise NotSentError("No connection: refused.")
        if self.connecting:
            await self.pulse.sleep(self.connecting)
        if leaving is not None:
            leaving()
        self.asked[method] += 1
        path, _, raw = url.removeprefix("http://127.0.0.1").partition("?")
        asked = Asked(method, path, _query(raw), dict(headers), body or b"", raw)
        if (instead := self.instead(asked)) is not None:
            return instead
        slow = self.exchange.faults.on_request(path, Wrong.SLOW)
        if slow is not None:
            await self.pulse.sleep(slow.seconds)
        answer = self.exchange.answer(asked)
        late = self.exchange.faults.on_request(path, Wrong.LATE)
        if late is not None:
            await self.pulse.sleep(late.seconds)
        if answer is None:
            raise DisconnectedError("No answer: the connection broke.")
        self.answers.append(answer)
        return answer._replace(headers={name.lower(): value for name, value in answer.headers.items()})

    # --- what a strategy asks, and what came of it

    def bid(self) -> Decimal:
        """Return the best bid, or the last price while nobody bids."""
        bids = self.market.ladder(1).bids
        return D(str(bids[0][0])) if bids else self.market.tape.price[-1] * self.btc.tick

    def submit(
        self, side: Side = Side.BUY, quantity: str = "0.1", strategy: Any = "s", **given: object
    ) -> str:
        order_id = self.ids.make(self._number)
        self._number += 1
        request = OrderRequest(strategy, self.btc.id, side, D(quantity), **given)  # type: ignore[arg-type]
        self.gateway.execute([self.orders.create(Approved(request), order_id, self.pulse.wall())])
        return order_id

    def rest(self, below: int = 500, quantity: str = "0.1") -> str:
        """Send a purchase far below the market."""
        price = self.bid() - below
        return self.submit(quantity=quantity, type=OrderType.LIMIT, price=price)

    async def guarded(self, quantity: str = "0.1", below: int = 300) -> str:
        """Buy at market, state a stop, wait until both have come about, and return the stop's id."""
        self.submit(quantity=quantity)
        await self.advance(1)
        stop = self.stop_loss(below=below)
        await self.advance(1)
        return stop

    def goal(self, above: int, quantity: str = "0.09", strategy: str = "s", *, triggers: bool = False) -> str:
        """State a take-profit: a limit order, or one that `triggers`."""
        price = self.bid() + above
        return self.submit(
            Side.SELL,
            quantity,
            strategy,
            type=OrderType.TAKE_PROFIT if triggers else OrderType.LIMIT,
            price=None if triggers else price,
            trigger=price if triggers else None,
            reduce_only=True,
            purpose=Purpose.TAKE_PROFIT,
        )

    def stop_loss(self, below: int, quantity: str = "0.09", strategy: str = "s") -> str:
        trigger = self.bid() - below
        return self.submit(
            Side.SELL,
            quantity,
            strategy,
            type=OrderType.STOP,
            trigger=trigger,
            reduce_only=True,
            purpose=Purpose.STOP_LOSS,
        )

    def cancel(self, order_id: str) -> None:
        command = self.orders.cancel(CancelRequest(order_id), self.pulse.wall())
        self.gateway.execute([command] if command is not None else [])

    def amend(self, order_id: str, **given: Decimal) -> None:
        command = self.orders.amend(AmendRequest(order_id, **given), self.pulse.wall())
        self.gateway.execute([command] if command is not None else [])

    def told(self, order_id: str) -> list[str]:
        """Return what the engine was told of an order, in order."""
        return [
            type(event).__name__
            for event in self.events
            if (event.fill.order_id if isinstance(event, OrderFilled) else getattr(event, "order_id", ""))
            == order_id
        ]

    def lots(self, quantity: str) -> int:
        """Return a quantity in lots."""
        return int(D(quantity) / self.btc.lot)

    def placed(self, order_id: str) -> int:
        """Return how many orders the exchange took under an id."""
        return sum(order.ticket.client_id == order_id for order in self.exchange.desk.orders.values())

    def posted(self) -> int:
        """Return how many orders arrived at the venue."""
        return sum((each.method, each.path) == ("POST", self.scene.order) for each in self.exchange.requests)

    def filled(self, order_id: str) -> Decimal:
        """Return the quantity in the fills that were told."""
        fills = [event.fill for event in self.events if isinstance(event, OrderFilled)]
        return sum((fill.quantity for fill in fills if fill.order_id == order_id), ZERO)


def _query(raw: str) -> dict[str, str]:
    from urllib.parse import parse_qsl

    return dict(parse_qsl(raw, keep_blank_values=True))
