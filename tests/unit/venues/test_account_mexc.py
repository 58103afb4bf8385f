"""MEXC's account: what is asked, what answers prove, what the private stream says."""

import hashlib
import hmac
import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.market.reference import instrument
from abidance.model.command import Submit
from abidance.model.errors import VenueError
from abidance.model.instrument import MS_NS, SECOND_NS, Instrument
from abidance.model.order import Order, OrderRequest, OrderState, OrderType, Side, TimeInForce
from abidance.testing.exchange.mexc_frames import message
from abidance.venues.account import (
    Call,
    Credentials,
    Execution,
    Funds,
    KeyExpired,
    Moved,
    OrderReport,
    Page,
    Proof,
)
from abidance.venues.dialect import Alive, Answered, Dropped
from abidance.venues.mexc.account import MexcAccount
from abidance.venues.mexc.private import MexcStream
from abidance.venues.mexc.refusals import REFUSALS
from abidance.venues.net.budget import Budgets
from abidance.venues.net.transport import Answer
from abidance.venues.trading.wire import Wire
from tests.unit.venues.net_world import HandPulse

D = Decimal
DATA = json.loads((Path(__file__).parents[2] / "data/wire/accounts.json").read_text())
ID = "4f8c2a6b1d3e4f5a8b7c6d5e4f3a2b1c"
BTC = instrument("BTC/USDT@MEXC")


def like(name: str) -> Instrument:
    return Instrument(f"{name}@MEXC", BTC.tick, BTC.lot, BTC.min_quantity, BTC.min_notional)


ADA, ATLAS, LTC = like("ADA/USDT"), like("ATLAS/USDT"), like("LTC/USDT")
ACCOUNT = MexcAccount([BTC, ADA, ATLAS, LTC])
TS = 1_700_000_000 * SECOND_NS


def theirs(name: str) -> dict[str, str]:
    """Return what ccxt asks, without what signing adds."""
    found = dict(parse_qsl(urlsplit(DATA["orders"]["MEXC"][name]).query))
    return {key: value for key, value in found.items() if key not in ("timestamp", "recvWindow", "signature")}


def submitted(request: OrderRequest) -> Call:
    return ACCOUNT.submit(Submit(ID, request, TS))


def answer(body: object, status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("Spot limit buy", OrderRequest("s", ATLAS.id, Side.BUY, D(1000), OrderType.LIMIT, D("0.0050"))),
        ("Spot limit sell", OrderRequest("s", ATLAS.id, Side.SELL, D(1500), OrderType.LIMIT, D("0.007"))),
        (
            "tif IOC",
            OrderRequest(
                "s", ADA.id, Side.BUY, D("0.5"), OrderType.LIMIT, D(2), time_in_force=TimeInForce.IOC
            ),
        ),
        (
            "tif FOK",
            OrderRequest(
                "s", ADA.id, Side.BUY, D("0.5"), OrderType.LIMIT, D(2), time_in_force=TimeInForce.FOK
            ),
        ),
    ],
)
def test_orders_are_asked_for_as_ccxt_asks_with_our_id_besides(name: str, request_: OrderRequest) -> None:
    assert submitted(request_).params == theirs(name) | {
        "newClientOrderId": ID,
        "stpMode": "cancel_maker",
    }


def test_a_market_order_has_a_quantity_and_a_post_only_one_its_own_type() -> None:
    market = OrderRequest("s", BTC.id, Side.SELL, D("1E-4"), reduce_only=True)
    maker = OrderRequest("s", BTC.id, Side.BUY, D(1), OrderType.LIMIT, D(1), post_only=True)

    assert submitted(market).params == {
        "symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.0001", "newClientOrderId": ID,
        "stpMode": "cancel_maker",
    }  # fmt: skip
    assert submitted(market).is_urgent
    assert submitted(maker).params["type"] == "LIMIT_MAKER"


def test_no_stop_is_native_and_no_id_is_too_long() -> None:
    assert ACCOUNT.capability.native == {OrderType.MARKET, OrderType.LIMIT}
    assert not ACCOUNT.capability.ids_once  # a mark would make our id longer than MEXC takes
    assert len(ID) <= 32


def test_changes_and_questions_name_the_order_as_ccxt_does() -> None:
    order = Order(ID, OrderRequest("s", LTC.id, Side.BUY, D(1)), OrderState.OPEN, TS)

    one, ours, every = (
        ACCOUNT.cancel(order, "129402018493145088"),
        ACCOUNT.cancel(order, ""),
        ACCOUNT.cancel_all(LTC.id),
    )
    (found,) = ACCOUNT.find(order)

    assert (one.method, one.params) == ("DELETE", theirs("Cancel spot orders (one)"))
    assert ours.params == {"symbol": "LTCUSDT", "origClientOrderId": ID}
    assert (every.method, every.path, every.params) == ("DELETE", "openOrders", theirs("Cancel spot orders"))
    assert (found.method, found.params) == ("GET", {"symbol": "LTCUSDT", "origClientOrderId": ID})
    assert theirs("Spot open orders") in [call.params for call in ACCOUNT.open_orders()]


def test_the_documented_signature_is_what_the_rule_gives() -> None:
    vector = DATA["signing"]["mexc"]

    found = hmac.new(vector["secret"].encode(), vector["payload"].encode(), hashlib.sha256).hexdigest()

    assert found == vector["signature"]


async def test_a_request_is_signed_by_that_rule() -> None:
    secret, pulse = DATA["signing"]["mexc"]["secret"], HandPulse()
    wire = Wire(ACCOUNT, Credentials("a-key", secret), object(), Budgets(pulse), pulse)  # type: ignore[arg-type]
    await wire.open()

    method, url, headers, body = wire.signed(submitted(OrderRequest("s", BTC.id, Side.BUY, D(1))))

    query = urlsplit(url).query
    payload, _, signature = query.rpartition("&signature=")
    assert (method, body, headers["X-MEXC-APIKEY"]) == ("POST", None, "a-key")
    assert url.startswith("https://api.mexc.com/api/v3/order?")
    assert signature == hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    assert dict(parse_qsl(payload))["timestamp"] == str(wire.now() // MS_NS)
    assert float(dict(parse_qsl(payload))["recvWindow"]) / 1000 == ACCOUNT.capability.window


# --- what answers prove


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_a_listed_code_proves_that_nothing_was_taken(code: int) -> None:
    told = {"code": code, "msg": "No."}

    assert ACCOUNT.proof(answer(told, 400), BTC.id).proof is Proof.REFUSED
    assert ACCOUNT.proof(answer({"code": str(code), "msg": "No."}, 400), BTC.id).proof is Proof.REFUSED
    assert ACCOUNT.proof(answer(told, 502), BTC.id).proof is Proof.UNKNOWN


ACK = DATA["mexc_rest"]["New Order"]
CANCELLED = DATA["mexc_rest"]["Cancel Order"] | {"orderId": "4", "symbol": "LTCUSDT"}


@pytest.mark.parametrize(
    ("found", "proof"),
    [
        (answer({"code": -2011, "msg": "Unknown order sent."}, 400), Proof.ABSENT),
        (answer({"code": 700003, "msg": "Timestamp"}, 400), Proof.LATE),
        (answer({"code": 10101, "msg": "Insufficient balance"}, 200), Proof.REFUSED),
        (answer({"code": 500, "msg": "Internal error"}, 400), Proof.UNKNOWN),
        (answer({"code": 503, "msg": "service not available, please try again"}, 400), Proof.UNKNOWN),
        (answer({"code": 504, "msg": "Gateway Time-out"}, 400), Proof.UNKNOWN),
        (answer({"code": 20002, "msg": "Internal system error"}, 400), Proof.UNKNOWN),
        (answer({"code": 99999, "msg": "new"}, 400), Proof.UNKNOWN),
        (answer(ACK), Proof.DONE),
        (answer(CANCELLED), Proof.DONE),
        (answer([CANCELLED]), Proof.DONE),
        (answer([]), Proof.DONE),
        (answer(CANCELLED | {"status": "NEW"}), Proof.UNKNOWN),
        (answer(CANCELLED | {"status": "unheard of"}), Proof.UNKNOWN),
        (answer(CANCELLED | {"executedQty": "NaN"}), Proof.UNKNOWN),
        (answer({}), Proof.UNKNOWN),
        (Answer(200, {}, b"<html>"), Proof.UNKNOWN),
        (Answer(504, {}, b""), Proof.UNKNOWN),
    ],
)
def test_an_answer_proves_no_more_than_it_says(found: Answer, proof: Proof) -> None:
    assert ACCOUNT.proof(found, LTC.id).proof is proof


def test_a_new_order_is_known_by_mexcs_number_and_a_cancelled_one_by_what_it_filled() -> None:
    placed, gone = ACCOUNT.proof(answer(ACK), BTC.id), ACCOUNT.proof(answer(CANCELLED), LTC.id)

    (report,) = gone.reports
    assert placed.venue_id == "06a480e69e604477bfb48dddd5f0b750"
    assert (report.order_id, report.venue_id, report.state) == ("myOrder1", "4", OrderState.CANCELLED)


# --- what is found


def test_an_order_that_is_not_known_is_nothing_and_any_other_error_is_no_answer() -> None:
    order = DATA["mexc_rest"]["Current Open Orders"][0] | {"symbol": "LTCUSDT", "orderId": "1"}

    report = ACCOUNT.found(answer(order), LTC.id)

    assert report is not None
    assert (report.order_id, report.instrument, report.state) == ("myOrder1", LTC.id, OrderState.OPEN)
    assert ACCOUNT.found(answer({"code": -2013, "msg": "Order does not exist."}, 400), LTC.id) is None
    with pytest.raises(VenueError):
        ACCOUNT.found(answer({"code": 700002, "msg": "Signature"}, 400), LTC.id)


def test_orders_of_other_symbols_are_left_out() -> None:
    rows = [row | {"orderId": "1"} for row in DATA["mexc_rest"]["Current Open Orders"]]

    assert ACCOUNT.read_orders(answer(rows)) == []


@pytest.mark.parametrize(
    "bad", [Answer(200, {}, b"<html>"), answer({"code": 500}, 500), answer({"a": 1}), answer(None)]
)
def test_what_is_no_answer_to_a_question_is_never_taken_for_nothing(bad: Answer) -> None:
    for read in (ACCOUNT.read_orders, ACCOUNT.read_funds, ACCOUNT.read_clock):
        with pytest.raises(VenueError):
            read(bad)
    with pytest.raises(VenueError):
        ACCOUNT.read_executions(bad, BTC.id)
    with pytest.raises(VenueError):
        ACCOUNT.found(bad, BTC.id)


def test_executions_and_balances_are_read() -> None:
    page = ACCOUNT.read_executions(answer(DATA["mexc_rest"]["Account Trade List"]), BTC.id)
    funds = ACCOUNT.read_funds(answer(DATA["mexc_rest"]["Account Information"]))

    expected = Execution(
        "fad2af9e942049b6adbda1a271f990c6", "", "bb41e5663e124046bd9497a3f5692f39", BTC.id, Side.BUY,
        D("12.00000000"), D("4.00000100"), D("10.10000000"), "BNB", 1499865549590 * MS_NS,
    )  # fmt: skip
    assert page == Page((expected,))
    assert funds[0] == Funds("NBNTEST", D(1_111_111), D(1_111_078))


@pytest.mark.parametrize(("step", "name", "last"), [(-1, "endTime", 901), (1, "startTime", 1099)])
def test_a_full_page_goes_on_the_way_that_the_list_goes(step: int, name: str, last: int) -> None:
    trade = DATA["mexc_rest"]["Account Trade List"][0]
    rows = [trade | {"id": str(n), "time": 1_000 + step * n} for n in range(100)]

    page = ACCOUNT.read_executions(answer(rows), BTC.id)

    assert page.onward == {name: last}
    assert [each.ts for each in page.executions] == sorted(row["time"] * MS_NS for row in rows)


# --- the private stream

STREAM = MexcStream({"MXUSDT": "MX/USDT@MEXC"})
ORDER, DEAL, PLACED, TRANSFER = (bytes.fromhex(each["hex"]) for each in DATA["mexc_frames"])


def test_the_listen_key_is_in_the_address_and_is_renewed() -> None:
    key = answer(DATA["mexc_key"])

    call, seconds = STREAM.renew(key)

    assert STREAM.token() == Call(("spot", "private"), "POST", "userDataStream")
    assert STREAM.endpoint(key).url.endswith(f"/ws?listenKey={DATA['mexc_key']['listenKey']}")
    assert (call.method, call.params, seconds) == ("PUT", DATA["mexc_key"], 1800.0)
    with pytest.raises(VenueError):
        STREAM.endpoint(answer({"code": 700002, "msg": "Signature"}, 400))


def test_frames_that_mexcs_own_schema_made_are_read() -> None:
    (report,), (deal,), (funds,), (after, moved) = (
        STREAM.hear(frame) for frame in (ORDER, DEAL, PLACED, TRANSFER)
    )

    assert report == OrderReport(
        "", "C02__583905164440776704043", "MX/USDT@MEXC", OrderState.FILLED, Side.BUY, D(2000), D(2000),
        1736417034281 * MS_NS, D("0.001053"),
    )  # fmt: skip
    assert deal == Alive()  # its id need not be the one of REST: executions come from there alone
    assert funds == Funds("USDT", D("4.408216465074677006"), D("0.006016465074677006"))
    assert after == Funds("USDC", D("21.94210356004384"), D("21.94210356004384"))
    assert moved == Moved("USDC", D(10), 1736416910000 * MS_NS, "contract_transfer")


def test_the_login_is_granted_only_for_all_channels() -> None:
    (login,) = STREAM.login(Credentials("k", "s"), TS)
    names = json.loads(login)["params"]

    granted = STREAM.hear(json.dumps({"id": 0, "code": 0, "msg": ",".join(names)}))
    partly = STREAM.hear(json.dumps({"id": 0, "code": 0, "msg": names[0]}))
    blocked = STREAM.hear('{"id":0,"code":0,"msg":"Not Subscribed successfully! [x].  Reason: Blocked! "}')

    assert isinstance(granted[0], Answered)
    assert granted[0].error == ""
    assert all(isinstance(each[0], Answered) and each[0].error for each in (partly, blocked))
    assert STREAM.hear('{"id":0,"code":0,"msg":"PONG"}') == (Alive(),)
    assert STREAM.hear("Invalid listen key") == (KeyExpired(),)


def test_a_frame_cut_anywhere_never_raises_nor_says_something_else() -> None:
    for frame in (ORDER, DEAL, PLACED, TRANSFER):
        for end in range(len(frame)):
            assert all(isinstance(news, Dropped | Alive) for news in STREAM.hear(frame[:end]))


def pushed(number: int, *fields: tuple[int, Any]) -> bytes:
    return message(((1, "spot@private"), (3, "MXUSDT"), (6, 1_736_417_034_281), (number, message(fields))))


@pytest.mark.parametrize(
    "frame",
    [
        pushed(304, (1, "o"), (4, "1"), (8, 1), (15, 9)),
        pushed(304, (1, "o"), (4, "x"), (8, 1), (15, 1)),
        pushed(304, (4, "1"), (8, 1), (15, 1)),
        pushed(307, (1, "USDT"), (3, "-1")),
        pushed(307, (3, "1")),
    ],
)
def test_wrong_values_are_dropped(frame: bytes) -> None:
    (news,) = STREAM.hear(frame)

    assert isinstance(news, Dropped)


@given(st.binary(max_size=80) | st.text(max_size=40))
def test_noise_never_raises(frame: bytes | str) -> None:
    assert not [each for each in STREAM.hear(frame) if isinstance(each, Execution)]
