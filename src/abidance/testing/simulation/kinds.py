"""Which worlds there are: what is traded in each, how, and in whose language the venue is spoken to.

A seed decides which one it plays; `kind_of` says which.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random

from abidance.engine.config import StrategyConfig
from abidance.execution.config import ExecutionConfig, RoutingConfig
from abidance.market.reference import instrument
from abidance.model.instrument import SECOND_NS
from abidance.risk.config import BreakersConfig, LimitsConfig, RiskConfig
from abidance.run.config import RunConfig
from abidance.run.perpetuals import PerpetualsConfig
from abidance.strategy.config import ExitsConfig
from abidance.testing.exchange.house import Asked
from abidance.testing.exchange.kraken_orders import trade_id
from abidance.testing.exchange.market import FUNDING_NS
from abidance.testing.simulation.story import Shares, Terms
from abidance.venues.dialect import Frame
from abidance.venues.net.config import AddressConfig, FeedConfig
from abidance.venues.sim.config import FeeTier, VenueConfig
from abidance.venues.wallets import CROSS_MARGIN

SPOT, CONTRACT, ELSEWHERE = "BTC/USDT@BINANCE", "BTC/USDT:USDT@BINANCE", "BTC/USDT@BYBIT"
BESIDE = "ETH/USDT@BYBIT"
KRAKEN, KUCOIN, MEXC = "BTC/USDT@KRAKEN", "BTC/USDT@KUCOIN", "BTC/USDT@MEXC"
EPOCH = 1_760_000_040 * SECOND_NS
TAKER = Decimal("0.001")
CHEAP = Decimal("0.0008")
"""The fee at Bybit, the second venue of a world, so that entries do go there."""
LEVERAGE = 3.0
DEAREST = Decimal("0.00105")
"""The largest cost of an entry at market where one is set: the fee, and a spread that is not always met."""
LARGEST = 1_200
"""The most that one order may be worth where a limit is set, in quote units: some wishes of a strategy go beyond."""
USUAL = Shares()
APART = Shares(asset=Decimal(1), venue=Decimal("0.3"))
"""What one asset and one venue may come to, mostly, and where two venues may come to more than half of all."""
TOGETHER = Shares(venue=Decimal("0.3"))
"""The same where two assets at one venue may come to more than it may."""
PRO = "pro"
"""The grade of half of the accounts at Kraken; the others have the one that is taken where nobody says any."""
CALM = 30.0
"""Virtual seconds after which all must be well again."""
UNCOUNTED = frozenset({KUCOIN, MEXC})
"""Where orders are not counted apart from other requests."""
CANCEL, PLACE, ASK = "DELETE", "POST", "GET"
COIN, COIN_PRICE = "BNB", Decimal(500)
"""What pays fees where the account has any, and what one of it costs, in quote units."""
INSTEAD = {
    "spot": "coins",
    "routed": "apart",
    "shared": "margin",
    "kucoin": "kucoin-margin",
    "bybit": "bybit-pairs",
}
"""Kinds that take the place of others in a quarter of the worlds that these would be."""
RARE = 0.25


@dataclass(frozen=True)
class Tongue:
    """What must be known of a venue's requests: `order` is the path at which orders are placed, `signed` how all begin.

    `ids` are the names under which an order's own id leaves, `quotes` a piece of each frame that tells the best prices,
    `money` is where it is asked what the account has, `unknown` and `late` are pieces of what is answered to a key
    that is not known and to a request out of its time, `execution` is how the number of an execution is written,
    `stops` whether stops are sent there.
    """

    host: str
    order: str
    signed: str
    ids: tuple[str, ...]
    quotes: str
    money: str
    placing: tuple[str, ...]
    unknown: bytes
    late: bytes
    cancelling: tuple[str, ...] = ()
    streams: str = ""
    execution: Callable[[int], str] = str
    stops: bool = True

    def tells_quotes(self, frame: Frame) -> bool:
        """Say whether a frame tells the best prices."""
        return self.quotes in frame if isinstance(frame, str) else self.quotes.encode() in frame

    def word(self, method: str, path: str) -> str:
        """Return what a request is for (`PLACE`, `CANCEL`, `ASK`), empty where it is not of an account's orders."""
        if not path.startswith(self.signed):
            return ""
        if self.cancelling:
            name = path.rpartition("/")[2]
            return PLACE if name in self.placing else CANCEL if name in self.cancelling else ASK
        return method

    def placed(self, asked: Asked, named: Mapping[str, str]) -> str:
        """Return the id of the order that a request places, empty when it places none."""
        if self.word(asked.method, asked.path) != PLACE or asked.path.rpartition("/")[2] not in self.placing:
            return ""
        return next((named[each] for each in self.ids if each in named), "")


BYBIT = Tongue(
    "localhost", "/v5/order/create", "/v5/", ("orderLinkId",), '"topic":"orderbook.1.', "/wallet-balance", ("create",),
    b"10003", b"10002", ("cancel", "cancel-all"), "/v5/public/spot",
)  # fmt: skip
TONGUES: Mapping[str, Tongue] = {
    SPOT: Tongue(
        "127.0.0.1", "/api/v3/order", "/api/v3", ("newClientOrderId",), "bookTicker", "/account", ("order",),
        b"-2015", b"-1021",
    ),
    CONTRACT: Tongue(
        "127.0.0.1", "/fapi/v1/order", "/fapi/v1", ("newClientOrderId", "clientAlgoId"), "bookTicker", "/balance",
        ("order", "algoOrder"), b"-2015", b"-1021",
    ),
    ELSEWHERE: BYBIT,
    BESIDE: BYBIT,
    KRAKEN: Tongue(
        "127.0.0.1", "/0/private/AddOrder", "/0/private", ("cl_ord_id",), '"channel":"ticker"', "/BalanceEx", ("AddOrder",),
        b"EAPI:Invalid key", b"EAPI:Invalid nonce", ("CancelOrder", "CancelAll"), "/v2", trade_id,
    ),
    KUCOIN: Tongue(
        "127.0.0.1", "/api/v1/hf/orders", "/api/v1", ("clientOid",), "/spotMarket/level1", "/accounts", ("orders", "stop-order"),
        b"400003", b"400002", stops=False,
    ),
    MEXC: Tongue(
        "127.0.0.1", "/api/v3/order", "/api/v3", ("newClientOrderId",), "bookTicker", "/account", ("order",),
        b"10072", b"700003", streams="/ws", stops=False,
    ),
}  # fmt: skip

OF_MARGIN: Mapping[str, Tongue] = {
    SPOT: replace(TONGUES[SPOT], order="/sapi/v1/margin/order", signed="/sapi/v1/margin"),
    KUCOIN: replace(
        TONGUES[KUCOIN], order="/api/v3/hf/margin/order", signed="/api/v3", money="/margin/accounts", placing=("order",),
    ),
}  # fmt: skip
"""Where orders are paid from a cross margin account."""


@dataclass(frozen=True)
class Kind:
    """One kind of world: its instruments, the first of which is traded, and how often it is drawn of itself.

    No entry may be worth more than `largest`, where one is set. In one that `is_shared` two strategies hold the
    same instrument, and entries have goals beside their stops, at market in half of the worlds; in half of those with
    perpetuals entries have such goals, too. In one that `is_apart` each instrument has a strategy of its own, and
    nothing is routed. Fees are taken in its `coin`, if it has one, while the account has any. `shares` are what one
    asset and one venue may come to. One `of_margin` trades from cross margin accounts, and borrows nothing.
    """

    name: str
    instruments: tuple[str, ...]
    weight: int
    is_worked: bool = False
    is_shared: bool = False
    largest: int | None = None
    coin: str = ""
    is_apart: bool = False
    shares: Shares = USUAL
    of_margin: bool = False

    def tongue(self, id: str) -> Tongue:
        """Return what must be known of the requests to the venue of an instrument."""
        return (OF_MARGIN if self.of_margin else TONGUES)[id]

    @property
    def venues(self) -> tuple[tuple[str, ...], ...]:
        """Return its instruments by their venues, those of the first one first."""
        found: dict[str, tuple[str, ...]] = {}
        for id in self.instruments:
            venue = instrument(id).venue
            found[venue] = (*found.get(venue, ()), id)
        return tuple(found.values())

    @property
    def traders(self) -> tuple[tuple[str, str], ...]:
        """Return the names of its strategies, each with the instrument that it wishes for."""
        homes = self.instruments if self.is_apart else self.instruments[:1] * (1 + self.is_shared)
        return tuple(zip(("restless", "rival"), homes, strict=False))

    @property
    def routes(self) -> dict[str, tuple[str, ...]]:
        """Return where else wished positions may be entered."""
        home, *others = self.instruments
        return {home: tuple(others)} if others and not self.is_apart else {}

    @property
    def is_perpetual(self) -> bool:
        """Return True where perpetuals are traded."""
        return self.instruments == (CONTRACT,)


KINDS = {
    each.name: each
    for each in (
        Kind("spot", (SPOT,), 4),
        Kind("shared", (SPOT,), 3, is_shared=True),
        Kind("worked", (SPOT,), 2, is_worked=True, largest=LARGEST),
        Kind("perpetual", (CONTRACT,), 3),
        Kind("routed", (SPOT, ELSEWHERE), 3, largest=LARGEST),
        Kind("bybit", (ELSEWHERE,), 1, largest=LARGEST),
        Kind("kraken", (KRAKEN,), 2),
        Kind("kraken-shared", (KRAKEN,), 1, is_shared=True),
        Kind("kucoin", (KUCOIN,), 2, largest=LARGEST),
        Kind("mexc", (MEXC,), 2, largest=LARGEST),
        Kind("coins", (SPOT,), 0, coin=COIN),
        Kind("bybit-pairs", (ELSEWHERE, BESIDE), 0, is_apart=True, shares=TOGETHER),
        Kind("apart", (SPOT, ELSEWHERE), 0, is_apart=True, shares=APART),
        Kind("margin", (SPOT,), 0, is_shared=True, of_margin=True),
        Kind("kucoin-margin", (KUCOIN,), 0, largest=LARGEST, of_margin=True),
    )
}


def kind_of(seed: int) -> Kind:
    """Return which kind of world a seed plays."""
    kinds = tuple(KINDS.values())
    found = Random(f"kind:{seed}").choices(kinds, [each.weight for each in kinds])[0]
    instead = INSTEAD.get(found.name, "")
    return KINDS[instead] if instead and Random(f"{instead}:{seed}").random() < RARE else found


def coins_of(seed: int) -> Decimal:
    """Return how much of the coin the owner of an account has for fees: now and then so little that it is used up."""
    return Random(f"coins paid in:{seed}").choice((Decimal("0.01"), Decimal("0.05"), Decimal(5)))


def grade_of(seed: int, kind: Kind) -> str:
    """Return of which grade the account of a world is, empty where nobody says."""
    return Random(f"grade:{seed}").choice(("", PRO)) if KRAKEN in kind.instruments else ""


def triggers_goals(seed: int, kind: Kind) -> bool:
    """Say whether the goals of a world trade at market once their price is touched."""
    return (kind.is_shared or kind.is_perpetual) and Random(f"goals:{seed}").random() < 0.5


def epoch_of(kind: Kind) -> int:
    """Return when a world begins, ns UTC: funding falls due in the midst of one with perpetuals."""
    return (EPOCH // FUNDING_NS + 1) * FUNDING_NS - 60 * SECOND_NS if kind.is_perpetual else EPOCH


def terms_of(kind: Kind) -> tuple[Terms, ...]:
    """Return what the checker must know of what is traded."""
    dearest = DEAREST if kind.is_worked else None
    largest = None if kind.largest is None else Decimal(kind.largest)
    found = []
    for id in kind.instruments:
        rules = instrument(id)
        sizes = rules.tick, rules.lot, rules.min_notional, rules.min_quantity
        coin = COIN_PRICE if kind.coin else Decimal(0)
        terms = Terms(id, rules.venue, rules.base, rules.quote, *sizes)
        tongue = kind.tongue(id)
        terms = terms._replace(execution=tongue.execution, stops=tongue.stops)
        found.append(
            terms._replace(
                is_perpetual=rules.is_perpetual,
                taker=taker_of(id),
                dearest=dearest,
                largest=largest,
                coin=coin,
            )
        )
    return tuple(found)


def config_of(seed: int, kind: Kind) -> RunConfig:
    """Return what the bot of a world is told."""
    strategies = tuple(_strategy(seed, kind, name, home) for name, home in kind.traders)
    addresses = {
        instrument(id).venue: AddressConfig(
            rest_url=f"http://{tongue.host}", stream_url=f"ws://{tongue.host}{tongue.streams}"
        )
        for id, tongue in ((id, kind.tongue(id)) for id in kind.instruments)
    }
    return RunConfig(
        instruments=kind.instruments,
        timeframe="1m",
        strategies=strategies,
        routing=RoutingConfig(routes=kind.routes),
        venues={instrument(id).venue: _costs(id) for id in kind.instruments},
        perpetuals=PerpetualsConfig(set_at_venue=True),
        spot_wallets={instrument(id).venue: CROSS_MARGIN for id in kind.instruments if kind.of_margin},
        risk=RiskConfig(
            limits=LimitsConfig(
                max_order_value=kind.largest,
                max_asset_exposure=float(kind.shares.asset),
                max_venue_exposure=float(kind.shares.venue),
            ),
            breakers=BreakersConfig(daily_loss=None, max_drawdown=None),
        ),
        feed=FeedConfig(
            addresses=addresses,
            grades={"KRAKEN": grade} if (grade := grade_of(seed, kind)) else {},
            anomalies=False,
        ),
    )


def _strategy(seed: int, kind: Kind, name: str, home: str) -> StrategyConfig:
    is_one_of_two = len(kind.traders) > 1
    draws = Random(f"{name}:{seed}").randrange(2**31) if is_one_of_two else seed
    aims, triggers = (0.7 if kind.routes else 0.0), triggers_goals(seed, kind)
    goals = 0.6 if kind.is_shared or triggers else 0.0
    return StrategyConfig(
        strategy="Restless",
        name=name,
        parameters={"seed": draws, "pair": home, "aims": aims, "goals": goals},
        timeframe="1m",
        instruments=(home,),
        allocation=0.5 if is_one_of_two else 1.0,
        execution=_execution(seed) if kind.is_worked else ExecutionConfig(),
        leverage=LEVERAGE if kind.is_perpetual else 1.0,
        allow_short=kind.is_perpetual,
        exits=ExitsConfig(take_profit_order="market" if triggers else "limit"),
    )


def taker_of(id: str) -> Decimal:
    """Return the fee that trading an instrument truly costs, as a share of the value."""
    return CHEAP if id in (ELSEWHERE, BESIDE) else TAKER


def _costs(id: str) -> VenueConfig:
    fee = float(taker_of(id))
    return VenueConfig(fees=(FeeTier(volume=0, maker=fee, taker=fee),))


def _execution(seed: int) -> ExecutionConfig:
    random = Random(f"execution:{seed}")
    duration = random.choice((5, 12, 30))
    return ExecutionConfig(
        algo=random.choice(("twap", "iceberg", "chase")),
        duration=duration,
        slices=min(random.choice((2, 4, 8)), duration),
        display=random.choice((0.2, 0.5)),
        interval=random.choice((1, 2, 4)),
        finish=random.choice(("cancel", "market")),
        max_cost=float(DEAREST),
    )
