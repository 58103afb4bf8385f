"""`abidance venues`: what is told is what the code has."""

import pytest
import typer
from typer.testing import CliRunner, Result

from abidance.cli.venues import venues
from abidance.market.reference import instrument
from abidance.model.errors import UsageError
from abidance.model.instrument import InstrumentKind
from abidance.model.market import DataKind
from abidance.model.order import OrderType
from abidance.venues.accounts import ACCOUNTS, account_of
from abidance.venues.dialects import spoken_markets
from abidance.venues.survey import Offer, native_offers, offers_of

app = typer.Typer()
app.command()(venues)


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def rows(result: Result, name: str) -> list[str]:
    """Return what is said under a name, for each market and wallet of a venue."""
    found = [line.strip() for line in result.output.splitlines() if line.strip().startswith(name)]
    return [line.removeprefix(name).strip() for line in found]


def row(result: Result, name: str) -> str:
    (found,) = rows(result, name)
    return found


@pytest.mark.parametrize("key", sorted(spoken_markets()))
def test_each_market_that_is_spoken_is_offered_with_what_its_account_has(
    key: tuple[str, InstrumentKind],
) -> None:
    (offer,) = (each for each in native_offers() if (each.venue, each.market) == (key[0], key[1].value))

    if key not in ACCOUNTS:
        assert offer.orders is None
        assert offer.listens_at == ""
        return
    name = f"BTC/USDT{':USDT' * (key[1] is InstrumentKind.PERPETUAL)}@{key[0]}"
    account = account_of(*key, [instrument(name)])
    assert offer.orders == account.capability
    assert account.stream is not None
    assert offer.listens_at in account.stream.url
    assert offer.held | account.capability.native == frozenset(OrderType)


def test_the_list_says_of_each_venue_where_its_stops_and_goals_are() -> None:
    result = run()

    spot = {line.split()[0]: line for line in result.output.splitlines() if " spot " in line}
    assert result.exit_code == 0
    assert {"BINANCE", "BYBIT", "KRAKEN", "KUCOIN", "MEXC"} == set(spot)
    assert all("market, limit, post-only" in line for line in spot.values())
    assert {venue for venue, line in spot.items() if line.split()[-4:-2] == ["venue", "us"]} == {
        "BINANCE",
        "BYBIT",
        "KRAKEN",
    }
    assert {venue for venue, line in spot.items() if line.split()[-4:-2] == ["us", "venue"]} == set(spot) - {
        "BINANCE",
        "BYBIT",
        "KRAKEN",
    }
    contracts = [line for line in result.output.splitlines() if " perpetual " in line]
    assert [line.split()[-4:-2] for line in contracts] == [["venue", "venue"]] * 2
    assert row(run("kraken"), "goals") == "held by us while a stop stands"


def test_the_list_says_where_only_one_exit_of_a_position_can_stand() -> None:
    result = run()

    lines = [line for line in result.output.splitlines() if " spot " in line or " perpetual " in line]
    assert {" spot " in line for line in lines if " one " in line} == {True}
    assert {" perpetual " in line for line in lines if " all " in line} == {True}
    assert "the others are held by us" in result.output
    assert row(run("kraken"), "exits") == "one, the others are held by us"


def test_one_venue_is_told_with_what_is_odd_about_it() -> None:
    result = run("kucoin")

    spot, margin = offers_of("KUCOIN")
    assert spot.orders is not None
    assert margin.orders is not None
    assert {*margin.orders.notes} > {*spot.orders.notes}
    assert all(note in result.output for note in margin.orders.notes)
    assert rows(result, "data") == ["trades, quotes, book, bars"] * 2
    assert rows(result, "stops") == ["held by us"] * 2
    assert rows(result, "in force") == ["GTC, IOC, FOK"] * 2
    assert rows(result, "private stream") == ["ws-api-spot.kucoin.com"] * 2
    assert rows(result, "key is checked") == ["yes"] * 2
    assert rows(result, "loans") == ["none", "borrowed and repaid by hand"]


def test_a_venue_that_ccxt_alone_knows_has_data_and_orders_that_nobody_has_proven() -> None:
    result = run("okx")

    (offer,) = offers_of("okx")
    assert offer == Offer("OKX", "", frozenset(DataKind), is_native=False, orders=offer.orders)
    assert offer.orders is not None
    assert row(result, "read") == "through ccxt"
    assert row(result, "real orders") == "market, limit, post-only: spot, unproven"
    assert row(result, "stops") == "held by us"
    assert row(result, "private stream") == "none: it is asked"
    assert row(result, "key is checked") == "no"
    assert all(note in result.output for note in offer.orders.notes)


def test_a_venue_where_ccxt_lacks_a_part_says_why_it_takes_no_orders() -> None:
    (offer,) = offers_of("PHEMEX")

    assert offer.orders is None
    assert "could be lost or doubled: ccxt has no fetchTime" in offer.why_none
    assert "none: on paper only. Real orders at PHEMEX" in " ".join(run("phemex").output.split())


def test_a_venue_that_nobody_knows_is_refused_with_the_nearest_names() -> None:
    error = run("krakn").exception

    assert isinstance(error, UsageError)
    assert "kraken" in str(error)


def test_a_venue_tells_how_many_orders_may_be_open_and_which_accounts_may_have_others() -> None:
    kraken, binance = run("kraken"), run("binance")

    assert row(kraken, "open orders") == "80 in one instrument, 60 (starter), 225 (pro)"
    assert "200 in one instrument, 5 of them with a trigger" in binance.output
    assert "200 in one instrument, 10 of them with a trigger" in binance.output
