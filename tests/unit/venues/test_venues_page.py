"""What docs/venues.md says of trading is what the code has: a row that differs is shown as it should be."""

from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from abidance.market.reference import instrument
from abidance.model.command import Submit
from abidance.model.instrument import InstrumentKind
from abidance.model.order import OrderRequest, OrderType, Side, TimeInForce
from abidance.venues.account import AccountDialect
from abidance.venues.accounts import ACCOUNTS, IN_WALLETS, account_of, stops_stand
from abidance.venues.net.limits import open_limits
from abidance.venues.net.transport import Answer

LINES = (Path(__file__).parents[3] / "docs" / "venues.md").read_text(encoding="utf-8").splitlines()
ID = "0" * 32


KEYS = [(*key, "") for key in ACCOUNTS] + [
    (venue, InstrumentKind.SPOT, wallet) for venue, wallet in IN_WALLETS
]


def made(venue: str, kind: InstrumentKind, wallet: str) -> tuple[AccountDialect, str]:
    name = f"BTC/USDT@{venue}" if kind is InstrumentKind.SPOT else f"BTC/USDT:USDT@{venue}"
    return account_of(venue, kind, [instrument(name)], wallet), name


def named(kinds: Collection[OrderType]) -> str:
    return ", ".join(each.value.replace("_", "-") for each in OrderType if each in kinds) or "none"


def market(kind: InstrumentKind, wallet: str) -> str:
    return f"{kind.value}, `{wallet}`" if wallet else kind.value


def orders(venue: str, kind: InstrumentKind, wallet: str) -> str:
    """Return the row of the table of orders."""
    can = made(venue, kind, wallet)[0].capability
    yes = {True: "yes", False: "no"}
    held = frozenset(OrderType) - can.native
    by_us = [named(held)] * bool(held) + ["all exits of a position but one"] * can.one_exit
    cells = (
        venue,
        market(kind, wallet),
        named(can.native),
        "; ".join(by_us) or "none",
        "held by us while a stop stands" if can.holds_goals else "at the venue",
        ", ".join(each.value.upper() for each in TimeInForce if each in can.in_force),
        yes[can.post_only],
        yes[can.amends],
        yes[can.cancels_all],
        f"{can.window:g} s",
    )
    return f"| {' | '.join(cells)} |"


def ways(venue: str, kind: InstrumentKind, wallet: str) -> str:
    """Return the row of the table of ids and streams."""
    dialect, name = made(venue, kind, wallet)
    params = dialect.submit(Submit(ID, OrderRequest("s", name, Side.BUY, instrument(name).lot), 0)).params
    (field,) = (key for key, value in params.items() if value == ID)
    assert dialect.stream is not None
    call, renewed = dialect.stream.token(), ""
    if call is not None:
        body = b'{"listenKey":"k","result":{"token":"k"}}'
        due = dialect.stream.renew(Answer(200, {}, body))
        renewed = f", kept alive every {due[1]:g} s" if due is not None else ""
    door = "signed" if call is None else f"`{call.path}`{renewed}"
    cells = (
        venue,
        market(kind, wallet),
        f"`{field}`",
        f"`{urlsplit(dialect.stream.url).hostname}`",
        door,
        dialect.capability.dead_man or "none",
    )
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("key", KEYS)
def test_the_page_has_the_orders_of_each_venue(key: tuple[str, InstrumentKind, str]) -> None:
    assert orders(*key) in LINES


@pytest.mark.parametrize("key", KEYS)
def test_the_page_has_the_ids_and_the_stream_of_each_venue(key: tuple[str, InstrumentKind, str]) -> None:
    assert ways(*key) in LINES


@pytest.mark.parametrize("key", ACCOUNTS)
def test_the_page_has_how_many_orders_may_be_open_at_each_venue(key: tuple[str, InstrumentKind]) -> None:
    most = open_limits(*key)
    graded = sorted({*most.grades.values()})
    orders = (
        f"{', '.join(map(str, graded[:-1]))} or {graded[-1]} (`feed.grades`)" if graded else str(most.orders)
    )
    counts = bool(most.stops) and stops_stand(*key)

    assert any(
        line.startswith(f"| {key[0]} | {key[1].value} | {orders} | {most.stops if counts else ''}")
        for line in LINES
    )


@pytest.mark.parametrize("key", KEYS)
def test_the_page_has_what_is_odd_about_each_venue(key: tuple[str, InstrumentKind, str]) -> None:
    text = " ".join(" ".join(LINES).split())

    for note in made(*key)[0].capability.notes:
        assert note in text
