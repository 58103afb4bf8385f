"""What the doorman refuses before any route is asked: by address, pace and patience."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from abidance.api.doorman import Doorman, Rules
from abidance.api.metrics import Metrics
from tests.unit.api.conftest import CHANGE, ORIGIN, RULES


class Inside:
    """An application that counts who came in, and answers nothing but 204."""

    def __init__(self) -> None:
        self.came = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.came += 1
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def client(inside: Inside, rules: Rules, address: str) -> TestClient:
    return TestClient(Doorman(inside, rules, Metrics()), ORIGIN, client=(address, 5))


def test_an_address_that_is_not_allowed_gets_no_further_than_the_door() -> None:
    inside, rules = Inside(), replace(RULES, addresses=("203.0.113.0/24", "2001:db8::/32"))
    addresses = ("203.0.113.7", "2001:db8::7", "203.0.114.7", "2001:db9::7", "127.0.0.1")

    answers = [client(inside, rules, each).get("/") for each in addresses]

    assert [each.status_code for each in answers] == [204, 204, 403, 403, 403]
    assert inside.came == 2
    assert answers[2].headers["content-type"] == "application/problem+json"


def test_who_asks_too_often_is_told_when_to_come_again_and_nobody_else_waits() -> None:
    inside, rules = Inside(), replace(RULES, rate=0.001, burst=3)
    doorman = Doorman(inside, rules, Metrics())
    often = TestClient(doorman, ORIGIN, client=("203.0.113.7", 5))
    other = TestClient(doorman, ORIGIN, client=("203.0.113.8", 5))

    answers = [often.get("/") for _ in range(5)]

    assert [each.status_code for each in answers] == [204, 204, 204, 429, 429]
    assert 900 <= int(answers[3].headers["retry-after"]) <= 1_000
    assert other.get("/").status_code == 204
    assert inside.came == 4


@pytest.mark.parametrize(("name", "is_limited"), [("a session", False), ("", True)])
def test_six_pages_of_one_user_are_never_limited_and_a_stranger_who_asks_as_much_is(
    name: str, is_limited: bool
) -> None:
    """As browsers were seen to ask: each page some 40 times as it opens, then 11 times a second on a fast replay."""
    inside, rules, clock = Inside(), Rules(RULES.hosts, RULES.scheme), [100.0]
    doorman = Doorman(inside, rules, Metrics(), lambda _: name, lambda: clock[0])
    pages = [TestClient(doorman, ORIGIN, client=("127.0.0.1", 5)) for _ in range(6)]
    statuses = [page.get("/").status_code for page in pages for _ in range(40)]

    for _ in range(20):
        clock[0] += 1.0
        statuses += [page.get("/").status_code for page in pages for _ in range(11)]

    assert (429 in statuses) is is_limited


def test_a_body_that_never_ends_is_given_up_and_reaches_no_route() -> None:
    inside, sent = Inside(), list[Message]()
    doorman = Doorman(inside, replace(RULES, patience=0.01), Metrics())
    named = {
        "Host": "localhost",
        "Content-Type": "application/json",
        "Transfer-Encoding": "chunked",
        **CHANGE,
    }
    scope: dict[str, Any] = {
        "type": "http", "method": "POST", "path": "/api/v1/users", "client": ("127.0.0.1", 5),
        "headers": [(name.lower().encode(), value.encode()) for name, value in named.items()],
    }  # fmt: skip
    parts = [{"type": "http.request", "body": b"{", "more_body": True}]

    async def receive() -> Message:
        if parts:
            return parts.pop()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(doorman(scope, receive, send))

    assert sent[0]["status"] == 408
    assert inside.came == 0


def test_a_method_that_nobody_knows_is_counted_as_other_and_takes_no_memory() -> None:
    metrics = Metrics()

    for number in range(1_000):
        metrics.request({"type": "http", "method": f"X{number}"}, 405, 0.001)
    metrics.request({"type": "http", "method": "GET"}, 200, 0.001)

    lines = [
        each
        for each in metrics.text(()).decode().splitlines()
        if each.startswith("abidance_http_requests_total")
    ]
    assert sorted(each.partition("{")[2].partition(",")[0] for each in lines) == [
        'method="GET"',
        'method="other"',
    ]
