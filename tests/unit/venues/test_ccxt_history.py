"""How long the past is waited for where a venue cannot be reached."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from abidance.model.errors import VenueError
from abidance.model.instrument import InstrumentKind
from abidance.venues.ccxt.history import ATTEMPTS, FIRST_ATTEMPTS, PATIENCE, CcxtHistory, Way
from abidance.venues.dialect import Endpoint
from abidance.venues.net.budget import Budgets
from abidance.venues.net.transport import NONE, Answer, NotSentError, Socket


class Impatient:
    """A clock on which waiting takes no time but is counted."""

    def __init__(self) -> None:
        self.waited = 0.0

    def wall(self) -> int:
        return 1_700_000_000_000_000_000

    def steady(self) -> float:
        return self.waited

    async def sleep(self, seconds: float) -> None:
        if seconds >= PATIENCE:  # how long one answer may take, which never comes to that here
            await asyncio.Event().wait()
        self.waited += seconds


class Nobody:
    """A network that reaches nobody, or one whose venue is out of order."""

    def __init__(self, status: int = 0) -> None:
        self.status, self.asked = status, 0

    async def connect(self, endpoint: Endpoint) -> Socket:
        raise NotImplementedError

    async def request(
        self,
        method: str,
        url: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] = NONE,
        body: bytes | None = None,
        leaving: Callable[[], None] | None = None,
    ) -> Answer:
        self.asked += 1
        if self.status:
            return Answer(self.status, {}, b"out of order")
        raise NotSentError("No connection: Name or service not known.")


def source(transport: Nobody, pulse: Impatient) -> CcxtHistory:
    return CcxtHistory("BINANCE", InstrumentKind.SPOT, Way(transport, Budgets(pulse), pulse, lambda: 0.5))


async def ask(history: CcxtHistory, pair: str) -> None:
    with pytest.raises(VenueError, match="BINANCE does not answer"):
        async for _ in history.bars(f"{pair}@BINANCE", "1h", 0, 3_600_000_000_000):
            pass


async def test_who_waits_for_a_venue_that_cannot_be_reached_soon_hears_so() -> None:
    network, pulse = Nobody(), Impatient()

    await ask(source(network, pulse), "BTC/USDT")

    assert network.asked == FIRST_ATTEMPTS
    assert pulse.waited < 2.0


async def test_a_second_pair_is_not_waited_for_but_a_later_one_is_tried() -> None:
    network, pulse = Nobody(), Impatient()
    history = source(network, pulse)

    await ask(history, "BTC/USDT")
    await ask(history, "ETH/USDT")
    at_once = network.asked
    await pulse.sleep(10.0)
    await ask(history, "ETH/USDT")

    assert at_once == FIRST_ATTEMPTS
    assert network.asked == 2 * FIRST_ATTEMPTS


async def test_a_venue_that_answers_and_is_out_of_order_is_given_time() -> None:
    network, pulse = Nobody(503), Impatient()

    await ask(source(network, pulse), "BTC/USDT")

    assert network.asked == ATTEMPTS
