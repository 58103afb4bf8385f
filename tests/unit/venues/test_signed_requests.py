"""Every request by which orders are placed, changed and taken back, as it leaves: byte for byte, for each market.

What the bytes must be is in `signed_requests.json`. That what they ask for is what the venue's documents and ccxt's own
fixtures ask for is shown beside each account; here nothing may change unseen, no order type may be without its request,
and every signature is computed again by the rule that the venue documents, which its own example proves.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from abidance.market.reference import instrument
from abidance.model.command import Amend, Submit
from abidance.model.errors import ConfigError
from abidance.model.instrument import MS_NS, InstrumentKind
from abidance.model.order import (
    PRICED,
    TRIGGERED,
    Order,
    OrderRequest,
    OrderState,
    OrderType,
    Side,
    TimeInForce,
)
from abidance.venues.account import AccountDialect, Call, Contracts, Credentials
from abidance.venues.accounts import ACCOUNTS, IN_WALLETS, account_of
from abidance.venues.net.budget import Budgets
from abidance.venues.trading.wire import Wire
from tests.unit.venues.net_world import EPOCH, HandPulse

D = Decimal
WIRE = Path(__file__).parents[2] / "data/wire"
GOLDEN: Mapping[str, Mapping[str, Mapping[str, Any]]] = json.loads(
    (WIRE / "signed_requests.json").read_text()
)
VECTORS: Mapping[str, Mapping[str, str]] = {
    **json.loads((WIRE / "accounts.json").read_text())["signing"],
    "binance": json.loads((WIRE / "binance_usdm_account.json").read_text())["signing"],
}
ID = "4f8c2a6b1d3e4f5a8b7c6d5e4f3a2b1c"
KEYS = Credentials("a-key", base64.b64encode(b"a secret of the test").decode(), "a-phrase")
STAMP = str(EPOCH // MS_NS)


def market_of(name: str) -> tuple[AccountDialect, str]:
    """Return the account of a market, and the instrument that is traded there."""
    venue, kind = name.split()
    wallet = kind if (venue, kind) in IN_WALLETS else ""
    kind = "spot" if wallet else kind
    quote = "USDT" if kind == "spot" else "USDT:USDT"
    traded = instrument(f"BTC/{quote}@{venue}")
    return account_of(venue, InstrumentKind(kind), [traded], wallet), traded.id


MARKETS = [f"{venue} {kind.value}" for venue, kind in ACCOUNTS]
MARKETS += [" ".join(each) for each in IN_WALLETS]


def orders(account: AccountDialect, traded: str) -> Iterator[tuple[str, OrderRequest]]:
    """Yield an order of each type that the venue really has, and a limit order of each kind that it takes."""
    can = account.capability
    for type in OrderType:
        if type not in can.native:
            continue
        price = D("30000.50") if type in PRICED else None
        trigger = D("30100.0") if type in TRIGGERED else None
        is_exit = trigger is not None
        side = Side.SELL if is_exit else Side.BUY
        yield (
            type.value,
            OrderRequest("s", traded, side, D("0.0120"), type, price, trigger, reduce_only=is_exit),
        )
    limit = OrderRequest("s", traded, Side.SELL, D("0.0120"), OrderType.LIMIT, D("30000.50"))
    for force in (TimeInForce.IOC, TimeInForce.FOK):
        if force in can.in_force:
            yield f"limit {force.value}", limit.__replace__(time_in_force=force)
    if can.post_only:
        yield "limit post-only", limit.__replace__(post_only=True)
    if can.reduce_only:
        yield "limit reduce-only", limit.__replace__(reduce_only=True)
        yield (
            "market reduce-only",
            OrderRequest("s", traded, Side.SELL, D("0.0120"), OrderType.MARKET, reduce_only=True),
        )


def calls(name: str) -> Iterator[tuple[str, Call]]:
    account, traded = market_of(name)
    for what, request in orders(account, traded):
        yield what, account.submit(Submit(ID, request, EPOCH))
        if request.trigger is not None:
            guard = Order(ID, request, OrderState.OPEN, EPOCH)
            yield f"cancel {what}", account.cancel(guard, "")
            if account.capability.amends:
                yield f"amend {what}", account.amend(guard, Amend(ID, None, None, D("30200.0"), EPOCH), "")
    standing = Order(
        ID,
        OrderRequest("s", traded, Side.BUY, D(1), OrderType.LIMIT, D(9)),
        OrderState.OPEN,
        EPOCH,
    )
    yield "cancel", account.cancel(standing, "")
    if account.capability.amends:
        yield "amend", account.amend(standing, Amend(ID, D("0.5"), D("31000.5"), None, EPOCH), "")
    if account.capability.cancels_all:
        yield "cancel all", account.cancel_all(traded)
    for call in account.cancel_rest(traded):
        yield "cancel the rest", call
    if account.contracts is not None:
        yield from perpetual(account.contracts, traded)
    yield "find", next(iter(account.find(standing)))
    yield "funds", account.funds()
    if account.countdown is not None:
        yield "countdown", account.countdown.begin()
        yield "call the countdown off", account.countdown.call_off()
    if account.lender is not None:
        yield "borrow", account.lender.borrow("BTC", D("0.010"))
        yield "repay", account.lender.repay("BTC", D("0.010"))
        yield "interest", account.lender.interest(EPOCH)


def perpetual(contracts: Contracts, traded: str) -> Iterator[tuple[str, Call]]:
    """Yield how the leverage and, where each instrument has one, the margin mode are set and read."""
    yield "leverage", contracts.set_leverage(traded, D(5))
    for is_isolated in (True, False):
        if (call := contracts.set_margin(traded, isolated=is_isolated)) is not None:
            yield f"margin {'isolated' if is_isolated else 'crossed'}", call
    for number, call in enumerate(contracts.mode(traded), 1):
        yield f"mode {number}", call


async def signed(name: str) -> dict[str, dict[str, Any]]:
    found = {}
    account, _ = market_of(name)
    for what, call in calls(name):
        pulse = HandPulse()
        wire = Wire(account, KEYS, object(), Budgets(pulse), pulse)  # type: ignore[arg-type]
        await wire.open()
        method, url, headers, body = wire.signed(call)
        found[what] = {"method": method, "url": url, "headers": dict(headers), "body": (body or b"").decode()}
    return found


@pytest.mark.parametrize("name", MARKETS)
async def test_each_order_and_change_leaves_byte_for_byte_as_written_down(name: str) -> None:
    assert await signed(name) == GOLDEN[name]


@pytest.mark.parametrize("name", MARKETS)
def test_no_order_type_that_a_venue_really_has_is_without_its_request(name: str) -> None:
    account, _ = market_of(name)
    can = account.capability
    waits = can.native & TRIGGERED
    needed = {type.value for type in can.native} | {f"cancel {type.value}" for type in waits}
    needed |= {f"limit {force.value}" for force in can.in_force if force is not TimeInForce.GTC}
    needed |= {"limit post-only"} if can.post_only else set()
    needed |= {"limit reduce-only", "market reduce-only"} if can.reduce_only else set()
    needed |= {"amend"} | {f"amend {type.value}" for type in waits} if can.amends else set()
    if account.contracts is not None:
        needed |= {"leverage", "mode 1"}
        sets_margin = account.contracts.set_margin(market_of(name)[1], isolated=True) is not None
        needed |= {"margin isolated", "margin crossed"} if sets_margin else set()
    needed |= {"cancel all"} if can.cancels_all else set()
    needed |= {"countdown", "call the countdown off"} if account.countdown is not None else set()
    needed |= {"borrow", "repay", "interest"} if account.lender is not None else set()

    assert needed | {"cancel", "find", "funds"} <= set(GOLDEN[name])
    assert "cancel the rest" in GOLDEN[name] or not account.cancel_rest(market_of(name)[1])


def test_nothing_is_written_down_of_a_market_that_is_none() -> None:
    assert set(GOLDEN) == set(MARKETS)


# --- the signatures, by the venues' documented rules


def sent(told: Mapping[str, Any]) -> str:
    """Return what a request says: its body, or else what follows the question mark."""
    return str(told["body"] or urlsplit(told["url"]).query)


def hexed(secret: str, text: str) -> str:
    return hmac.digest(secret.encode(), text.encode(), "sha256").hex()


def based(secret: str, text: str) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), "sha256")).decode()


def krakens(secret: str, path: str, nonce: str, body: str) -> str:
    inner = path.encode() + hashlib.sha256(f"{nonce}{body}".encode()).digest()
    return base64.b64encode(hmac.digest(base64.b64decode(secret), inner, "sha512")).decode()


def of_v3(told: Mapping[str, Any]) -> tuple[str, str]:
    payload, _, signature = sent(told).rpartition("&signature=")
    assert parse_qs(payload)["timestamp"] == [STAMP]
    return signature, hexed(KEYS.secret, payload)


def of_bybit(told: Mapping[str, Any]) -> tuple[str, str]:
    headers = told["headers"]
    assert headers["X-BAPI-TIMESTAMP"] == STAMP
    payload = f"{STAMP}{KEYS.key}{headers['X-BAPI-RECV-WINDOW']}{sent(told)}"
    return headers["X-BAPI-SIGN"], hexed(KEYS.secret, payload)


def of_kucoin(told: Mapping[str, Any]) -> tuple[str, str]:
    headers, parts = told["headers"], urlsplit(told["url"])
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    assert headers["KC-API-TIMESTAMP"] == STAMP
    assert headers["KC-API-PASSPHRASE"] == based(KEYS.secret, KEYS.passphrase)
    return headers["KC-API-SIGN"], based(KEYS.secret, f"{STAMP}{told['method']}{path}{told['body']}")


def of_kraken(told: Mapping[str, Any]) -> tuple[str, str]:
    nonce = parse_qs(told["body"])["nonce"][0]
    assert nonce == STAMP
    return told["headers"]["API-Sign"], krakens(KEYS.secret, urlsplit(told["url"]).path, nonce, told["body"])


RULES: Mapping[str, tuple[Callable[[Mapping[str, Any]], tuple[str, str]], str]] = {
    "BINANCE": (of_v3, "X-MBX-APIKEY"),
    "MEXC": (of_v3, "X-MEXC-APIKEY"),
    "BYBIT": (of_bybit, "X-BAPI-API-KEY"),
    "KUCOIN": (of_kucoin, "KC-API-KEY"),
    "KRAKEN": (of_kraken, "API-Key"),
}


@pytest.mark.parametrize("venue", ["binance", "kraken", "mexc"])
def test_the_rule_gives_the_signature_that_the_venue_documents(venue: str) -> None:
    vector = VECTORS[venue]

    if venue == "kraken":
        found = krakens(vector["secret"], vector["path"], vector["nonce"], vector["payload"])
    else:
        found = hexed(vector["secret"], vector["payload"])

    assert found == vector["signature"]


@pytest.mark.parametrize("name", MARKETS)
def test_each_written_request_bears_the_signature_of_the_documented_rule(name: str) -> None:
    rule, key = RULES[name.split(maxsplit=1)[0]]

    for told in GOLDEN[name].values():
        found, wanted = rule(told)
        assert found == wanted
        assert told["headers"][key] == KEYS.key


@pytest.mark.parametrize("name", MARKETS)
def test_a_signed_request_goes_to_the_venues_own_host_with_its_secret_left_out(name: str) -> None:
    account, _ = market_of(name)

    for told in GOLDEN[name].values():
        assert told["url"].startswith("https://")
        assert urlsplit(told["url"]).hostname in account.hosts
        assert KEYS.secret not in json.dumps(told)
        assert f'"{KEYS.passphrase}"' not in json.dumps(told)


def test_each_order_is_placed_under_our_own_id() -> None:
    for market in GOLDEN.values():
        for what, told in market.items():
            begins = ("market", "limit", "stop", "take_profit", "cancel stop", "cancel take_profit", "amend")
            if what.startswith(begins) or what in ("cancel", "find"):
                asks_for_all = told["url"].endswith("/OpenOrders")  # Kraken's: one answer serves all who look
                assert asks_for_all or ID in sent(told) + told["url"]


@pytest.mark.parametrize("name", MARKETS)
def test_a_login_goes_to_the_venue_or_to_this_machine_alone(name: str) -> None:
    account, _ = market_of(name)
    pulse = HandPulse()
    wire = Wire(account, KEYS, object(), Budgets(pulse), pulse)  # type: ignore[arg-type]
    domain = ".".join(min(account.hosts).split(".")[-2:])
    own = getattr(account.stream, "url", f"wss://ws-api.{domain}")

    for theirs in (own, f"wss://any.{domain}:9443/ws?token=x", "ws://127.0.0.1:1/ws", "ws://localhost:1/ws"):
        wire.check_stream(theirs)
    for other in (
        own.replace("wss:", "ws:"), f"wss://not{domain}/ws", f"wss://{domain}.evil.example/ws",
        f"wss://evil.example/{domain}", f"wss://{domain}@evil.example/ws", "wss://10.0.0.1/ws", "127.0.0.1", "",
    ):  # fmt: skip
        with pytest.raises(ConfigError, match="no address of the venue"):
            wire.check_stream(other)
