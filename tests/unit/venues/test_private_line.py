"""The private stream of an account, when the answer to the login is lost."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace

from abidance.kernel.log import logger
from abidance.model.instrument import SECOND_NS
from abidance.venues.account import Credentials, News, PrivateStream
from abidance.venues.dialect import Answered, Endpoint, Frame
from abidance.venues.trading.line import PrivateLine, Way
from tests.unit.venues.net_world import HandPulse


class Talk:
    """A connection on which a frame comes every three seconds; the n-th one says that the login was taken."""

    def __init__(self, pulse: HandPulse, answers_at: int) -> None:
        self._pulse = pulse
        self._answers_at = answers_at
        self._told = 0

    async def send(self, frame: Frame) -> None:
        pass

    async def receive(self) -> Frame:
        await self._pulse.sleep(3.0)
        self._told += 1
        return "answer" if self._told == self._answers_at else "news"

    async def close(self) -> None:
        pass


class Stream(PrivateStream):
    """A stream whose login is answered."""

    venue = "FAKE"
    url = "ws://127.0.0.1"
    confirms = True

    def token(self) -> None:
        return None

    def endpoint(self, token: object) -> Endpoint:
        return Endpoint("ws://127.0.0.1/private")

    def login(self, credentials: Credentials, now: int) -> tuple[Frame, ...]:
        return ("login",)

    def hear(self, frame: Frame) -> Sequence[News]:
        return [Answered(1)] if frame == "answer" else []

    def renew(self, token: object) -> None:
        return None

    def ping(self) -> None:
        return None


async def states(*answers_at: int) -> list[str]:
    """Return what was told of the stream in a minute of connections whose n-th frames are the answers."""
    pulse, told = HandPulse(), list[str]()
    talks = iter([Talk(pulse, each) for each in answers_at])

    async def connect(_endpoint: Endpoint) -> Talk:
        return next(talks)

    wire = SimpleNamespace(
        credentials=Credentials("k", "s"),
        now=lambda: round(pulse.now * SECOND_NS),
        check_stream=lambda _url: None,
    )
    way = Way(wire, SimpleNamespace(connect=connect), pulse, lambda: 0.5, logger("test"))  # type: ignore[arg-type]
    line = PrivateLine(Stream(), way, lambda _: None, lambda: told.append("up"), told.append)
    running = asyncio.ensure_future(line.run())
    await pulse.advance(60)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return told


async def test_a_login_whose_answer_is_lost_is_tried_again_though_other_frames_come() -> None:
    told = await states(1_000, 1)

    assert told == ["the login was not answered within 10 s", "up"]


async def test_a_login_that_is_answered_after_other_frames_is_good() -> None:
    told = await states(3)

    assert told == ["up"]
