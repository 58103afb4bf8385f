"""Two bots of the same strategy in one page: what was opened for one of them never acts on the other."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.dashboard import CIRCUIT, House, Visitor, answering, browser, playwright, pytestmark, until

__all__ = ["browser", "pytestmark"]  # a fixture, and what all tests of the dashboard need
ETH = "ETH/USDT@BINANCE"
OURS, OTHER = "delta", "gamma"
"""The one that is shown, as it comes first, and one that runs as well."""
SLOW = 2_400
"""Times as fast as the market: each page asks for all that it shows at each bar, and so many pages are open here."""
WRITES = {"POST", "PATCH", "PUT", "DELETE"}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[House]:
    """A house with two bots, each with a round trip behind it."""
    with House(tmp_path_factory.mktemp("two"), demo=True) as house:
        for name in (OTHER, OURS):
            house.start_bot(SLOW, name)
        context = browser.new_context()
        for name in (OURS, OTHER):
            way = f"{house.address}/api/v1/runs/{name}"
            until(lambda: context.request.get(way).ok, "the bot is seen")  # noqa: B023
            for number, side in enumerate(("buy", "sell"), 1):
                order = {"strategy": "EmaCross", "instrument": ETH, "side": side, "quantity": "0.1"}
                ours = {"Origin": house.address, "X-Abidance": "1"}
                answer = context.request.post(f"{way}/orders", data=order, headers=ours)
                assert answer.ok, answer.text()
                fills = f"{way}/fills?instrument={ETH.replace('/', '%2F')}"
                until(lambda: len(context.request.get(fills).json()["items"]) >= number, "a fill")  # noqa: B023
        context.close()
        yield house


APPLY = "Apply to the running bot"


class Form:
    """A page with something open that was meant for the bot it showed, and what it asks of bots by it."""

    def __init__(self, browser: Any, house: House, path: str, send: str, *, real: bool = False) -> None:
        self.visitor = Visitor(browser, house.address)
        self.page, self.send = self.visitor.page, send
        self.asked: list[str] = []
        if real:
            answering(self.page, "/api/v1/runs", lambda runs: [each | {"is_real": True} for each in runs])
            answering(self.page, "/api/v1/session", lambda me: me | {"role": "admin"})
            answering(self.page, "/api/v1/runs/*/risk", lambda risk: risk | {"circuits": [CIRCUIT]})
        self.page.on("request", self._see)
        self.visitor.go(path)
        playwright.expect(self.box).to_have_value(OURS)

    def _see(self, request: Any) -> None:
        if request.method in WRITES:
            self.asked.append(request.url)

    def pick(self, name: str) -> None:
        """Turn to another bot."""
        self.box.click()
        self.page.get_by_role("option", name=name).click()
        playwright.expect(self.box).to_have_value(name)

    @property
    def box(self) -> Any:
        return self.page.get_by_role("combobox", name="Run", exact=True)

    def act(self) -> None:
        """Press what sends it, if that is still there."""
        button = self.page.get_by_role("button", name=self.send, exact=True)
        if button.count():
            button.first.click()

    @property
    def bots(self) -> set[str]:
        """Return the bots of which something was asked."""
        ways = [each.partition("/api/v1/")[2].split("/") for each in self.asked]
        return {name for kind, name, *_ in ways if kind in ("runs", "bots")}


Open = Callable[..., Form]


@pytest.fixture
def opened(browser: Any, two: House) -> Iterator[Open]:
    """What opens such a page, and closes all of them in the end."""
    forms: list[Form] = []

    def opening(path: str, send: str, *, real: bool = False) -> Form:
        forms.append(Form(browser, two, path, send, real=real))
        return forms[-1]

    yield opening
    for each in forms:
        each.visitor.close()


def ordering(opened: Open) -> Form:
    form = opened("/orders", "Ask risk, then send")
    form.page.get_by_role("button", name="Order by hand").click()
    form.page.get_by_role("dialog").get_by_label("Quantity").fill("0.001")
    return form


def noting(opened: Open) -> Form:
    form = opened("/round-trips", "Keep it")
    form.page.get_by_role("table", name="Closed round trips").locator(".table-row").last.click()
    form.page.get_by_role("form", name="Notes").get_by_role("textbox", name="Note").fill("Mine.")
    return form


def stopping(opened: Open) -> Form:
    form = opened("/strategies", "Stop it", real=True)
    form.page.get_by_role("button", name="Stop the bot").click()
    return form


def closing(opened: Open) -> Form:
    form = opened("/risk", "Close it", real=True)
    form.page.get_by_role("button", name="Close it by hand").click()
    return form


def limited(form: Form) -> Any:
    return form.page.get_by_role("form", name="Limits").get_by_label("Max positions")


def parameter(form: Form) -> Any:
    return form.page.get_by_role("form", name="Parameters of EmaCross").get_by_label("fast")


@pytest.mark.timeout(240)
def test_what_was_typed_for_one_bot_is_gone_when_another_one_is_picked(opened: Open) -> None:
    for path, field in (("/risk", limited), ("/strategies", parameter)):
        form = opened(path, APPLY)
        for name in (OTHER, OURS):  # what is known of both by then comes at once
            form.pick(name)
            field(form).wait_for()
        before = field(form).input_value()
        field(form).fill("9")

        form.pick(OTHER)

        playwright.expect(field(form)).to_have_value(before)
        for button in form.page.get_by_role("button", name=APPLY).all():
            playwright.expect(button).to_be_disabled()
        assert form.bots == set()


def test_what_was_opened_for_a_bot_that_then_stops_never_acts_on_another_one(
    opened: Open, two: House
) -> None:
    dialogs = [each(opened) for each in (ordering, noting, stopping, closing)]
    fields = [opened("/risk", APPLY), opened("/strategies", APPLY)]
    for form, field in zip(fields, (limited, parameter), strict=True):
        field(form).fill("9")

    two.stop_bot()
    for form in (*dialogs, *fields):
        playwright.expect(form.box).not_to_have_value(OURS)
        for dialog in form.page.get_by_role("dialog").all():
            playwright.expect(dialog).to_have_accessible_name(re.compile(OURS))
        form.act()
        assert form.bots <= {OURS}, form.send
        assert form.box.input_value() == f"{OURS} (stopped)"

    assert [form.bots for form in dialogs] == [{OURS}] * len(dialogs)
