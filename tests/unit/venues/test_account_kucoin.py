"""KuCoin's account: what is asked, what answers prove, what the private stream says."""

import base64
import hashlib
import hmac
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.market.reference import instrument
from abidance.model.command import Submit
from abidance.model.errors import VenueError
from abidance.model.instrument import MS_NS, SECOND_NS, Instrument
from abidance.model.order import Order, OrderRequest, OrderState, OrderType, Side, TimeInForce
from abidance.venues.account import Call, Credentials, Execution, Funds, Moved, OrderReport, Page, Proof
from abidance.venues.dialect import Alive, Answered, Dropped
from abidance.venues.kucoin.account import KuCoinAccount
from abidance.venues.kucoin.private import KuCoinStream
from abidance.venues.kucoin.refusals import REFUSALS
from abidance.venues.net.budget import Budgets
from abidance.venues.net.transport import Answer
from abidance.venues.trading.wire import Wire
from tests.unit.venues.net_world import HandPulse

D = Decimal
DATA = json.loads((Path(__file__).parents[2] / "data/wire/kucoin_account.json").read_text())
REST = DATA["rest"]
ID = "4f8c2a6b1d3e4f5a8b7c6d5e4f3a2b1c"
BTC = instrument("BTC/USDT@KUCOIN")


def like(name: str) -> Instrument:
    return Instrument(f"{name}@KUCOIN", BTC.tick, BTC.lot, BTC.min_quantity, BTC.min_notional)


ADA, LTC = like("ADA/USDT"), like("LTC/USDT")
ACCOUNT = KuCoinAccount([BTC, ADA, LTC])
TS = 1_700_000_000 * SECOND_NS


def submitted(request: OrderRequest) -> Call:
    return ACCOUNT.submit(Submit(ID, request, TS))


def limit(side: Side = Side.BUY, price: str = "0.3", **given: Any) -> OrderRequest:
    return OrderRequest("s", ADA.id, side, D(20), OrderType.LIMIT, D(price), **given)


def answer(body: object, status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(body).encode())


def no(code: str, text: str = "No.", status: int = 200) -> Answer:
    return answer({"code": code, "msg": text}, status)


async def wire_of(credentials: Credentials) -> Wire:
    pulse = HandPulse()
    wire = Wire(ACCOUNT, credentials, object(), Budgets(pulse), pulse)  # type: ignore[arg-type]
    await wire.open()
    return wire


# --- what is asked


def test_a_post_only_order_is_asked_for_as_ccxt_asks_with_our_id() -> None:
    wanted = json.loads(DATA["orders"]["createOrder postOnly hf order"]["body"])

    assert submitted(limit(post_only=True)).params == wanted | {"clientOid": ID, "stp": "CO"}


@pytest.mark.parametrize("force", TimeInForce)
def test_a_limit_order_is_asked_for_as_ccxt_asks_and_says_how_long_it_is_good(force: TimeInForce) -> None:
    wanted = json.loads(DATA["orders"]["createOrder order with hf sync endpoint"]["body"])

    found = submitted(limit(time_in_force=force)).params

    assert found == wanted | {"clientOid": ID, "stp": "CO", "timeInForce": force.value.upper()}


def test_a_market_order_has_a_quantity_of_the_base_asset() -> None:
    market = submitted(OrderRequest("s", BTC.id, Side.SELL, D("1E-4"), reduce_only=True))

    assert market.params == {
        "clientOid": ID, "side": "sell", "symbol": "BTC-USDT", "type": "market", "size": "0.0001",
        "stp": "CO",
    }  # fmt: skip
    assert market.is_urgent


def test_no_stop_is_native_and_no_marked_id_is_too_long() -> None:
    assert ACCOUNT.capability.native == {OrderType.MARKET, OrderType.LIMIT}
    assert ACCOUNT.capability.ids_once
    assert len(f"{ID}r9999999") <= 40


GOLDEN: dict[str, tuple[Call, str, str]] = {
    "market": (submitted(OrderRequest("s", BTC.id, Side.BUY, D(1))), "POST", "/api/v1/hf/orders"),
    "limit": (submitted(limit()), "POST", "/api/v1/hf/orders"),
    "post-only": (submitted(limit(post_only=True)), "POST", "/api/v1/hf/orders"),
    "IOC": (submitted(limit(time_in_force=TimeInForce.IOC)), "POST", "/api/v1/hf/orders"),
    "FOK": (submitted(limit(time_in_force=TimeInForce.FOK)), "POST", "/api/v1/hf/orders"),
    "cancel": (
        ACCOUNT.cancel(Order(ID, limit(), OrderState.OPEN, TS), ""),
        "DELETE",
        f"/api/v1/hf/orders/sync/client-order/{ID}?symbol=ADA-USDT",
    ),
    "cancel all": (
        ACCOUNT.cancel_all(LTC.id),
        "DELETE",
        DATA["orders"]["cancelAllOrders Cancel spot orders - hf order with symbol"]["url"][22:],
    ),
    "find": (
        ACCOUNT.find(Order(ID, limit(), OrderState.OPEN, TS))[0],
        "GET",
        f"/api/v1/hf/orders/client-order/{ID}?symbol=ADA-USDT",
    ),
    "open orders": (ACCOUNT.open_orders()[0], "GET", "/api/v1/hf/orders/active?symbol=BTC-USDT"),
    "order of an execution": (
        ACCOUNT.whose(Execution("1", "", "5c52", LTC.id, Side.BUY, D(1), D(1), D(0), "", TS)),
        "GET",
        "/api/v1/hf/orders/5c52?symbol=LTC-USDT",
    ),
    "executions": (
        ACCOUNT.executions(LTC.id, TS),
        "GET",
        "/api/v1/hf/fills?symbol=LTC-USDT&startAt=1700000000000&limit=100",
    ),
    "funds": (ACCOUNT.funds(), "GET", "/api/v1/accounts"),
    "token": (KuCoinStream({}).token(), "POST", "/api/v1/bullet-private"),
}


@pytest.mark.parametrize("name", GOLDEN)
async def test_each_request_is_signed_by_the_documented_rule_with_the_passphrase_signed_too(
    name: str,
) -> None:
    call, wanted_method, wanted = GOLDEN[name]
    wire = await wire_of(Credentials("a-key", "a-secret", "a-phrase"))

    method, url, headers, body = wire.signed(call)

    def signature(text: str) -> str:
        return base64.b64encode(hmac.new(b"a-secret", text.encode(), hashlib.sha256).digest()).decode()

    stamp = headers["KC-API-TIMESTAMP"]
    text = (body or b"").decode()
    assert (method, url) == (wanted_method, f"https://api.kucoin.com{wanted}")
    assert stamp == str(wire.now() // MS_NS)
    assert headers["KC-API-SIGN"] == signature(f"{stamp}{method}{wanted}{text}")
    assert headers["KC-API-PASSPHRASE"] == signature("a-phrase")
    assert (headers["KC-API-KEY"], headers["KC-API-KEY-VERSION"]) == ("a-key", "2")
    assert (json.loads(text) == call.params) if method == "POST" and text else not text


# --- what answers prove


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_a_listed_code_proves_that_nothing_was_taken(code: str) -> None:
    assert ACCOUNT.proof(no(code), BTC.id).proof is Proof.REFUSED
    assert ACCOUNT.proof(no(code, status=401), BTC.id).proof is Proof.REFUSED
    assert ACCOUNT.proof(no(code, status=502), BTC.id).proof is Proof.UNKNOWN


GONE = REST["cancel"]["data"]


@pytest.mark.parametrize(
    ("found", "proof"),
    [
        (no("400100", "order_not_exist_or_not_allow_to_cancel"), Proof.ABSENT),
        (no("400100", "The order does not exist."), Proof.ABSENT),
        (no("400100", "Order size below the minimum requirement."), Proof.REFUSED),
        (no("400100", "Duplicate clientOid."), Proof.LIVE),
        (no("400002", "KC-API-TIMESTAMP Invalid", 401), Proof.LATE),
        (no("500000", "Internal Server Error"), Proof.UNKNOWN),
        (no("503"), Proof.UNKNOWN),
        (no("408000"), Proof.UNKNOWN),
        (no("300000"), Proof.UNKNOWN),
        (no("999999", "new"), Proof.UNKNOWN),
        (answer(REST["add"]), Proof.DONE),
        (answer(REST["cancel"]), Proof.DONE),
        (answer(REST["cancel_by_id"]), Proof.DONE),
        (answer({"code": "200000", "data": "success"}), Proof.DONE),
        (answer({"code": "200000", "data": "failed"}), Proof.UNKNOWN),
        (answer({"code": "200000", "data": None}), Proof.UNKNOWN),
        (answer({"code": "200000", "data": {}}), Proof.UNKNOWN),
        (answer({"code": "200000", "data": {"clientOid": ID}}), Proof.UNKNOWN),
        (answer({"code": "200000", "data": GONE | {"status": "open"}}), Proof.UNKNOWN),
        (answer({"code": "200000", "data": GONE | {"dealSize": "0.000005"}}), Proof.UNKNOWN),
        (answer({"code": "200000", "data": GONE | {"dealSize": "NaN"}}), Proof.UNKNOWN),
        (answer(REST["add"], 500), Proof.UNKNOWN),
        (answer({}), Proof.UNKNOWN),
        (Answer(200, {}, b"<html>"), Proof.UNKNOWN),
        (Answer(504, {}, b""), Proof.UNKNOWN),
    ],
)
def test_an_answer_proves_no_more_than_it_says(found: Answer, proof: Proof) -> None:
    assert ACCOUNT.proof(found, BTC.id).proof is proof


def test_a_new_order_is_known_by_kucoins_id() -> None:
    assert ACCOUNT.proof(answer(REST["add"]), BTC.id).venue_id == "670fd33bf9406e0007ab3945"


# --- what is found


def test_an_order_that_is_not_known_is_nothing_and_any_other_error_is_no_answer() -> None:
    row = REST["active"]["data"][0]

    report = ACCOUNT.found(answer({"code": "200000", "data": row}), BTC.id)

    assert report == OrderReport(
        "5c52e11203aa677f33e493fb", "67120bbef094e200070976f6", BTC.id, OrderState.OPEN, Side.BUY, D("0.00001"),
        D(0), 1729235909862 * MS_NS, D(50000), created=1729235902748 * MS_NS,
    )  # fmt: skip
    assert ACCOUNT.found(no("400100", "order_not_exist"), BTC.id) is None
    assert ACCOUNT.found(answer({"code": "200000", "data": None}), BTC.id) is None
    for code in ("400005", "400100", "500000"):
        with pytest.raises(VenueError):
            ACCOUNT.found(no(code), BTC.id)


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, OrderState.FILLED),
        ({"dealSize": "0.000004"}, OrderState.CANCELLED),
        ({"dealSize": "0"}, OrderState.CANCELLED),
        ({"dealSize": "0.000004", "active": True}, OrderState.PARTIAL),
    ],
)
def test_what_became_of_an_order_is_told_by_what_traded(change: dict[str, Any], state: OrderState) -> None:
    row = REST["done"]["data"]["items"][0] | change

    (report,) = ACCOUNT.read_orders(answer({"code": "200000", "data": [row]}))

    assert report.state is state


def test_orders_of_other_symbols_are_left_out_and_no_orders_are_none() -> None:
    rows = [REST["active"]["data"][0] | {"symbol": "DOGE-USDT"}]

    assert ACCOUNT.read_orders(answer({"code": "200000", "data": rows})) == []
    assert ACCOUNT.read_orders(answer({"code": "200000", "data": None})) == []


@pytest.mark.parametrize(
    "bad",
    [
        Answer(200, {}, b"<html>"),
        no("500000", status=500),
        no("400003"),
        answer({"code": "200000"}),
        answer(None),
    ],
)
def test_what_is_no_answer_to_a_question_is_never_taken_for_nothing(bad: Answer) -> None:
    for read in (ACCOUNT.read_orders, ACCOUNT.read_funds, ACCOUNT.read_clock):
        with pytest.raises(VenueError):
            read(bad)
    with pytest.raises(VenueError):
        ACCOUNT.read_executions(bad, BTC.id)
    with pytest.raises(VenueError):
        ACCOUNT.found(bad, BTC.id)


@pytest.mark.parametrize(
    "change",
    [
        {"size": "NaN"},
        {"size": "-1"},
        {"side": "hold"},
        {"id": ""},
        {"dealSize": "Infinity"},
        {"createdAt": -1},
    ],
)
def test_an_order_that_cannot_be_is_no_answer(change: dict[str, Any]) -> None:
    row = REST["active"]["data"][0] | change

    with pytest.raises(VenueError):
        ACCOUNT.read_orders(answer({"code": "200000", "data": [row]}))


def test_executions_are_read_oldest_first_and_a_full_page_leads_to_older_ones() -> None:
    row = REST["fills"]["data"]["items"][0]
    rows = [row | {"id": 500 - n, "tradeId": 900 - n} for n in range(100)]

    one = ACCOUNT.read_executions(answer(REST["fills"]), BTC.id)
    full = ACCOUNT.read_executions(answer({"code": "200000", "data": {"items": rows, "lastId": 401}}), BTC.id)

    assert one == Page(
        (
            Execution(
                "11040911994273793", "", "671868085584bc0007d85f46", BTC.id, Side.BUY, D("0.00001"),
                D("67141.6"), D("0.000671416"), "USDT", 1729652744998 * MS_NS,
            ),
        )
    )  # fmt: skip
    assert [each.id for each in full.executions] == [str(801 + n) for n in range(100)]
    assert full.onward == {"lastId": 401}


def test_balances_are_those_that_can_be_traded_with() -> None:
    rows = REST["accounts"]["data"]
    old = {"currency": "USDT", "balance": "5", "available": "4"}
    more = [{"type": "main"} | old, {"type": "trade_hf"} | old]

    found = ACCOUNT.read_funds(answer({"code": "200000", "data": rows + more}))

    assert found == [
        Funds("USDT", D("45.12618754"), D("44.12618754")),
        Funds("LTC", D("0.171021"), D("0.171021")),
    ]
    with pytest.raises(VenueError):
        ACCOUNT.read_funds(answer({"code": "200000", "data": [rows[0] | {"balance": "-1"}]}))


# --- the private stream

STREAM = KuCoinStream({"BTC-USDT": BTC.id})
BALANCE, RECEIVED = DATA["frames"]


def push(topic: str, **data: Any) -> str:
    return json.dumps({"type": "message", "topic": topic, "data": data})


def change(**more: Any) -> str:
    return push("/spotMarket/tradeOrdersV2", **(RECEIVED["data"] | more))


def test_the_token_is_in_the_address() -> None:
    server = {"endpoint": "wss://ws-api-spot.kucoin.com/", "pingInterval": 18000}
    told = answer({"code": "200000", "data": {"token": "a/b==", "instanceServers": [server]}})

    assert STREAM.endpoint(told).url == "wss://ws-api-spot.kucoin.com/?token=a%2Fb%3D%3D"
    assert STREAM.renew(told) is None
    with pytest.raises(VenueError):
        STREAM.endpoint(no("400003", status=401))


def test_the_login_is_granted_once_all_topics_are() -> None:
    first, last = (json.loads(str(each)) for each in STREAM.login(Credentials("k", "s", "p"), TS))

    assert all(each["privateChannel"] and each["response"] for each in (first, last))
    assert STREAM.hear('{"id":"x","type":"welcome"}') == (Alive(),)
    assert STREAM.hear(json.dumps({"id": first["id"], "type": "ack"})) == (Alive(),)
    (granted,) = STREAM.hear(json.dumps({"id": last["id"], "type": "ack"}))
    (denied,) = STREAM.hear('{"id":"x","type":"error","code":404,"data":"topic is not found"}')
    assert isinstance(granted, Answered)
    assert granted.error == ""
    assert isinstance(denied, Answered)
    assert "404" in denied.error
    assert STREAM.hear('{"id":"ping","type":"pong","timestamp":1}') == (Alive(),)


def test_pushes_of_kucoins_own_library_are_read() -> None:
    (report,), (funds,) = STREAM.hear(json.dumps(RECEIVED)), STREAM.hear(json.dumps(BALANCE))

    assert report == OrderReport(
        "5c52e11203aa677f33e493fc", "6720da3fa30a360007f5f832", BTC.id, OrderState.OPEN, Side.BUY, D("0.00001"),
        D(0), 1730206271616000000, created=1730206271588 * MS_NS,
    )  # fmt: skip
    assert funds == Funds("USDT", D("21.133773386762"), D("20.132773386762"))


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ({"type": "open", "filledSize": "0"}, OrderState.OPEN),
        ({"type": "open", "filledSize": "0.000004"}, OrderState.PARTIAL),
        ({"type": "match", "filledSize": "0.000004"}, OrderState.PARTIAL),
        ({"type": "filled", "filledSize": "0.00001"}, OrderState.FILLED),
        ({"type": "canceled", "filledSize": "0.000004"}, OrderState.CANCELLED),
        ({"type": "update", "status": "open"}, OrderState.OPEN),
        ({"type": "update", "status": "done", "filledSize": "0.000004"}, OrderState.CANCELLED),
    ],
)
def test_each_kind_of_change_has_its_state(told: dict[str, Any], state: OrderState) -> None:
    (report,) = STREAM.hear(change(**told))

    assert isinstance(report, OrderReport)
    assert (report.state, report.filled) == (state, D(told.get("filledSize", "0")))


def test_money_that_came_by_transfer_is_told_and_other_accounts_are_passed_over() -> None:
    came = BALANCE["data"] | {"relationEvent": "trade.transfer", "availableChange": "10"}
    main = BALANCE["data"] | {"relationEvent": "main.deposit", "availableChange": "10"}

    found, passed = (
        STREAM.hear(push("/account/balance", **came)),
        STREAM.hear(push("/account/balance", **main)),
    )

    assert found[1:] == (Moved("USDT", D(10), 1730269283892 * MS_NS, "transfer", "354689988084000"),)
    assert passed == (Alive(),)
    assert STREAM.hear(change(symbol="ETH-USDT")) == (Alive(),)


@pytest.mark.parametrize(
    "frame",
    [
        change(type="unheard of"),
        change(side="hold"),
        change(originSize="NaN"),
        change(originSize=None),
        change(originSize="-1"),
        change(filledSize="Infinity"),
        change(orderId=""),
        push("/account/balance", **(BALANCE["data"] | {"total": "-1"})),
        push("/account/balance", **(BALANCE["data"] | {"currency": ""})),
        push("/account/balance", **(BALANCE["data"] | {"availableChange": "NaN"})),
    ],
)
def test_wrong_values_are_dropped(frame: str) -> None:
    (news,) = STREAM.hear(frame)

    assert isinstance(news, Dropped)


def test_a_frame_cut_anywhere_never_raises_nor_says_something_else() -> None:
    for whole in (json.dumps(RECEIVED), json.dumps(BALANCE)):
        for end in range(len(whole)):
            assert all(isinstance(news, Dropped) for news in STREAM.hear(whole[:end]))


@given(st.binary(max_size=80) | st.text(max_size=40))
def test_noise_never_raises(frame: bytes | str) -> None:
    assert all(isinstance(news, Alive | Dropped | Answered) for news in STREAM.hear(frame))


@given(st.recursive(st.none() | st.text(max_size=5) | st.integers() | st.floats(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(RECEIVED["data"])), inner, max_size=4), max_leaves=8))  # fmt: skip
def test_answers_of_any_shape_are_read_or_refused(data: object) -> None:
    found = answer({"code": "200000", "data": data})

    ACCOUNT.proof(found, BTC.id)
    for read in (
        ACCOUNT.read_orders,
        ACCOUNT.read_funds,
        ACCOUNT.read_clock,
        lambda each: ACCOUNT.read_executions(each, BTC.id),
        lambda each: ACCOUNT.found(each, BTC.id),
    ):
        try:
            read(found)
        except VenueError:
            continue
