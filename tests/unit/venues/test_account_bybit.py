"""Bybit's account: what is asked, what answers prove, what the private stream says."""

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
from abidance.model.command import Amend, Submit
from abidance.model.errors import UsageError, VenueError
from abidance.model.instrument import MS_NS, SECOND_NS, Instrument
from abidance.model.order import Order, OrderRequest, OrderState, OrderType, Side, TimeInForce
from abidance.venues.account import (
    Call,
    Credentials,
    Execution,
    Exposure,
    Funds,
    Mode,
    Moved,
    OrderReport,
    Proof,
)
from abidance.venues.bybit.account import BybitLinearAccount, BybitSpotAccount
from abidance.venues.bybit.refusals import REFUSALS
from abidance.venues.dialect import Alive, Answered, Dropped
from abidance.venues.net.budget import Budgets
from abidance.venues.net.transport import Answer
from abidance.venues.trading.wire import Wire
from tests.unit.venues.net_world import HandPulse

D = Decimal
DATA = json.loads((Path(__file__).parents[2] / "data/wire/bybit_account.json").read_text())
ASKED, TOLD = DATA["orders"], DATA["docs"]
ID = "4f8c2a6b1d3e4f5a8b7c6d5e4f3a2b1c"
BTC = instrument("BTC/USDT@BYBIT")
TS = 1_700_000_000 * SECOND_NS


def like(name: str) -> Instrument:
    return Instrument(f"{name}@BYBIT", BTC.tick, BTC.lot, BTC.min_quantity, BTC.min_notional)


ADA, LTC = like("ADA/USDT"), like("LTC/USDT")
SPOT = BybitSpotAccount([BTC, ADA, LTC])


def submitted(request: OrderRequest) -> Call:
    return SPOT.submit(Submit(ID, request, TS))


def answer(body: object, status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(body).encode())


def rows(*found: object, cursor: str = "") -> Answer:
    return answer({"retCode": 0, "retMsg": "OK", "result": {"list": found, "nextPageCursor": cursor}})


ORDER = TOLD["order/order-list"]["result"]["list"][0] | {"orderLinkId": ID, "category": "spot"}
TRADE = TOLD["private/execution"]["data"][0] | {"category": "spot", "orderLinkId": ID, "feeCurrency": ""}


# --- what is asked


@pytest.mark.parametrize(
    ("name", "request_", "besides"),
    [
        (
            "Spot limit order",
            OrderRequest("s", ADA.id, Side.BUY, D(50), OrderType.LIMIT, D("0.10")),
            {"timeInForce": "GTC"},
        ),
        (
            "Spot limit buy with postOnly",
            OrderRequest("s", LTC.id, Side.BUY, D("0.1"), OrderType.LIMIT, D(60), post_only=True),
            {},
        ),
        (
            "Create market buy with base amount (UTA only)",
            OrderRequest("s", LTC.id, Side.BUY, D("0.2")),
            {},
        ),
    ],
)
def test_orders_are_asked_for_as_ccxt_asks_with_our_id_besides_and_never_borrow(
    name: str, request_: OrderRequest, besides: dict[str, str]
) -> None:
    call = submitted(request_)

    assert (call.method, call.path) == ("POST", "v5/order/create")
    asked = ASKED[name] | besides | {"orderLinkId": ID, "isLeverage": 0}
    assert call.params == asked | {"smpType": "CancelMaker"}


@pytest.mark.parametrize("force", [TimeInForce.IOC, TimeInForce.FOK])
def test_an_order_says_how_long_it_waits(force: TimeInForce) -> None:
    request = OrderRequest("s", BTC.id, Side.SELL, D("1E-4"), OrderType.LIMIT, D("1E+5"), time_in_force=force)

    params = submitted(request).params

    assert (params["timeInForce"], params["qty"], params["price"]) == (
        force.value.upper(),
        "0.0001",
        "100000",
    )


def test_a_spot_stop_keeps_its_assets_as_ccxt_asks_for_it_and_is_urgent() -> None:
    request = OrderRequest("s", LTC.id, Side.SELL, D("0.2"), OrderType.STOP, trigger=D(90), reduce_only=True)
    theirs = dict(ASKED["spot stopLossPrice order"])
    del theirs["reduceOnly"]  # what is documented for perpetuals alone

    call = submitted(request)

    assert call.params == theirs | {"orderLinkId": ID, "isLeverage": 0, "smpType": "CancelMaker"}
    assert call.is_urgent


def test_a_spot_order_with_a_trigger_is_taken_back_where_it_waits_and_a_limit_of_ours_where_it_rests() -> (
    None
):
    def taken_back(kind: OrderType, price: Decimal | None = None) -> object:
        request = OrderRequest("s", LTC.id, Side.SELL, D(1), kind, price, D(90), reduce_only=True)
        return SPOT.cancel(Order(ID, request, OrderState.OPEN, TS), "").params.get("orderFilter")

    assert [taken_back(kind) for kind in (OrderType.STOP, OrderType.TAKE_PROFIT)] == ["tpslOrder"] * 2
    assert taken_back(OrderType.STOP_LIMIT, D(89)) is None  # we hold it: once it is there it has no trigger
    assert "orderFilter" not in SPOT.cancel_all(LTC.id).params
    assert [each.params for each in SPOT.cancel_rest(LTC.id)] == [
        {"category": "spot", "symbol": "LTCUSDT", "orderFilter": "tpslOrder"}
    ]
    assert LINEAR.cancel_rest(PERP) == ()


def test_the_limits_with_a_trigger_alone_are_held_by_us_in_the_spot_market() -> None:
    assert set(OrderType) - SPOT.capability.native == {OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT_LIMIT}
    assert SPOT.capability.ids_once
    assert submitted(OrderRequest("s", BTC.id, Side.SELL, D(1), reduce_only=True)).is_urgent


def test_changes_and_questions_name_the_order_by_our_id() -> None:
    order = Order(ID, OrderRequest("s", LTC.id, Side.BUY, D(1)), OrderState.OPEN, TS)
    named = {"category": "spot", "symbol": "LTCUSDT", "orderLinkId": ID}
    theirs = {name: value for name, value in ASKED["edit order using clientOrderId"].items() if name in named}

    changed = SPOT.amend(order, Amend(ID, D("0.22"), D(73), None, TS), "7")
    gone, every = SPOT.cancel(order, "7"), SPOT.cancel_all(LTC.id)

    assert named == theirs | {"orderLinkId": ID}
    assert (changed.path, changed.params) == ("v5/order/amend", named | {"qty": "0.22", "price": "73"})
    assert (gone.path, gone.params, gone.is_urgent) == ("v5/order/cancel", named, True)
    assert (every.path, every.params) == ("v5/order/cancel-all", {"category": "spot", "symbol": "LTCUSDT"})
    assert [(call.path, call.params) for call in SPOT.find(order)] == [
        ("v5/order/realtime", named),
        ("v5/order/history", named),
    ]
    assert [call.params["symbol"] for call in SPOT.open_orders()] == ["BTCUSDT", "ADAUSDT", "LTCUSDT"]
    told = SPOT.whose(Execution("1", "", "7", LTC.id, Side.BUY, D(1), D(1), D(0), "", TS))
    asked = {"category": "spot", "symbol": "LTCUSDT", "orderId": "7"}
    assert (told.method, told.path, told.params) == ("GET", "v5/order/realtime", asked)


async def test_a_request_is_signed_as_bybit_says() -> None:
    secret, pulse = "a-secret", HandPulse()
    wire = Wire(SPOT, Credentials("a-key", secret), object(), Budgets(pulse), pulse)  # type: ignore[arg-type]
    await wire.open()
    ask = SPOT.executions(BTC.id, TS)._replace(
        params={"category": "spot", "cursor": "132766%3A2%2C132766%3A2"}
    )

    placed, asked = wire.signed(submitted(OrderRequest("s", BTC.id, Side.BUY, D(1)))), wire.signed(ask)

    for (_, url, headers, body), path in ((placed, "order/create"), (asked, "execution/list")):
        where, _, query = url.partition("?")
        what = body.decode() if body is not None else query
        payload = f"{headers['X-BAPI-TIMESTAMP']}a-key{headers['X-BAPI-RECV-WINDOW']}{what}"
        assert where == f"https://api.bybit.com/v5/{path}"
        assert (
            headers["X-BAPI-SIGN"] == hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
        )
        assert headers["X-BAPI-TIMESTAMP"] == str(wire.now() // MS_NS)
        assert int(headers["X-BAPI-RECV-WINDOW"]) / 1000 == SPOT.capability.window
    assert json.loads(placed[3] or b"")["orderLinkId"] == ID
    assert asked[1].endswith("cursor=132766%3A2%2C132766%3A2")  # Bybit has it encoded already


# --- what answers prove


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_a_listed_code_proves_that_nothing_was_taken(code: int) -> None:
    told = {"retCode": code, "retMsg": "No.", "result": {}}

    assert SPOT.proof(answer(told), BTC.id).proof is Proof.REFUSED
    assert SPOT.proof(answer(told, 502), BTC.id).proof is Proof.UNKNOWN


def test_no_code_of_doubt_is_listed() -> None:
    doubtful = {
        10000, 10014, 10016, 10019, 110079, 170001, 170007, 170032, 170035, 170146, 170147, 170149, 170150, 170191,
        170212, 170234, 170310, 170311, 40004,
    }  # fmt: skip

    assert not doubtful & REFUSALS


@pytest.mark.parametrize(
    ("found", "proof"),
    [
        (answer({"retCode": 170213, "retMsg": "Order does not exist."}), Proof.ABSENT),
        (answer({"retCode": 110008, "retMsg": "completed or cancelled"}), Proof.ABSENT),
        (answer({"retCode": 170141, "retMsg": "Duplicate clientOrderId"}), Proof.LIVE),
        (answer({"retCode": 110072, "retMsg": "OrderLinkedID is duplicate"}), Proof.LIVE),
        (answer({"retCode": 10002, "retMsg": "window"}), Proof.LATE),
        (answer({"retCode": 10000, "retMsg": "Server Timeout"}), Proof.UNKNOWN),
        (answer({"retCode": 10016, "retMsg": "Server error."}), Proof.UNKNOWN),
        (answer({"retCode": 170007, "retMsg": "Timeout"}), Proof.UNKNOWN),
        (answer({"retCode": 170146, "retMsg": "Order creation timeout"}), Proof.UNKNOWN),
        (answer({"retCode": 999999, "retMsg": "new"}), Proof.UNKNOWN),
        (answer(TOLD["order/create-order"]), Proof.DONE),
        (answer(TOLD["order/cancel-all"]), Proof.DONE),
        (answer({"retCode": 0, "result": {"list": [], "success": "0"}}), Proof.UNKNOWN),
        (answer({"retCode": 0, "result": {}}), Proof.UNKNOWN),
        (answer({"retCode": 0}), Proof.UNKNOWN),
        (answer(TOLD["order/create-order"], 500), Proof.UNKNOWN),
        (Answer(200, {}, b"<html>"), Proof.UNKNOWN),
        (Answer(403, {}, b"Forbidden"), Proof.UNKNOWN),
        (Answer(504, {}, b""), Proof.UNKNOWN),
    ],
)
def test_an_answer_proves_no_more_than_it_says(found: Answer, proof: Proof) -> None:
    assert SPOT.proof(found, BTC.id).proof is proof


def test_a_new_order_is_known_by_bybits_number() -> None:
    assert SPOT.proof(answer(TOLD["order/create-order"]), BTC.id).venue_id == "1321003749386327552"


# --- what is found


def test_an_order_is_found_and_an_empty_list_is_nothing() -> None:
    report = SPOT.found(rows(ORDER), BTC.id)

    assert report == OrderReport(
        ID, "14bad3a1-6454-43d8-bcf2-5345896cf74d", BTC.id, OrderState.CANCELLED, Side.BUY, D("0.003"), D("0.000"),
        1684476068372 * MS_NS, D("26864.40"), None, "EC_PostOnlyWillTakeLiquidity",
        created=1684476068369 * MS_NS,
    )  # fmt: skip
    assert SPOT.found(rows(), BTC.id) is None
    with pytest.raises(VenueError):
        SPOT.found(answer({"retCode": 10016, "retMsg": "Server error.", "result": {"list": []}}), BTC.id)


def test_listed_orders_of_other_symbols_are_left_out() -> None:
    assert [each.instrument for each in SPOT.read_orders(rows(ORDER | {"symbol": "XUSDT"}, ORDER))] == [
        BTC.id
    ]


def test_executions_are_told_oldest_first_and_lead_to_the_next_page() -> None:
    call = SPOT.executions(BTC.id, TS)
    newer, older = TRADE | {"execId": "2"}, TRADE | {"execId": "1"}

    page = SPOT.read_executions(rows(newer, older, cursor="132766%3A2"), BTC.id)
    last = SPOT.read_executions(rows(newer), BTC.id)

    assert [each.id for each in page.executions] == ["1", "2"]
    assert page.following(call) == call._replace(params={**call.params, "cursor": "132766%3A2"})
    assert last.following(call) is None
    assert call.params["startTime"] == TS // MS_NS


@pytest.mark.parametrize(
    ("side", "fee", "asset"),
    [("Buy", "0.1", "BTC"), ("Sell", "0.1", "USDT"), ("Buy", "-0.1", "USDT"), ("Sell", "-0.1", "BTC")],
)
def test_a_fee_is_paid_in_what_is_received_and_a_rebate_in_what_is_given(
    side: str, fee: str, asset: str
) -> None:
    (found,) = SPOT.read_executions(rows(TRADE | {"side": side, "execFee": fee}), BTC.id).executions

    assert (found.fee, found.fee_asset) == (D(fee), asset)


def test_balances_are_read_less_what_is_bound() -> None:
    coin = TOLD["private/wallet"]["data"][0]["coin"][0] | {"walletBalance": "3", "locked": "1"}

    assert SPOT.read_funds(rows({"coin": [coin]})) == [Funds("BTC", D(3), D(2))]
    assert SPOT.read_funds(answer(TOLD["account/wallet-balance"])) == []


@pytest.mark.parametrize(
    "bad",
    [
        Answer(200, {}, b"<html>"),
        Answer(200, {}, b"[" * 5000),
        answer({"retCode": 10016, "retMsg": "Server error.", "result": {"list": []}, "time": 1}),
        answer({"retCode": 0, "result": {"list": [], "success": "1"}, "time": 1}, 500),
        answer({"a": 1}),
        answer(None),
    ],
)
def test_what_is_no_answer_to_a_question_is_never_taken_for_nothing(bad: Answer) -> None:
    for read in (SPOT.read_orders, SPOT.read_funds, SPOT.read_clock):
        with pytest.raises(VenueError):
            read(bad)
    with pytest.raises(VenueError):
        SPOT.read_executions(bad, BTC.id)
    with pytest.raises(VenueError):
        SPOT.found(bad, BTC.id)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1", "x", "1e999999999999"])
def test_wrong_amounts_are_no_answer(value: str) -> None:
    coin = TOLD["private/wallet"]["data"][0]["coin"][0]

    with pytest.raises(VenueError):
        SPOT.found(rows(ORDER | {"cumExecQty": value}), BTC.id)
    with pytest.raises(VenueError):
        SPOT.read_executions(rows(TRADE | {"execQty": value}), BTC.id)
    with pytest.raises(VenueError):
        SPOT.read_funds(rows({"coin": [coin | {"locked": value}]}))


# --- the private stream


def pushed(topic: str, *found: dict[str, Any]) -> str:
    return json.dumps({"topic": topic, "creationTime": 1, "data": found})


def test_the_login_is_signed_and_counts_once_the_subscription_is_confirmed() -> None:
    login, subscription = (json.loads(frame) for frame in SPOT.stream.login(Credentials("k", "s"), TS))

    key, expires, signature = login["args"]
    (early,) = SPOT.stream.hear('{"success":true,"ret_msg":"","op":"auth","conn_id":"c"}')
    (done,) = SPOT.stream.hear('{"success":true,"ret_msg":"","op":"subscribe","conn_id":"c"}')
    (no,) = SPOT.stream.hear('{"success":false,"ret_msg":"Params Error","op":"auth","conn_id":"c"}')

    assert (key, expires) == ("k", str(TS // MS_NS + 10_000))
    assert signature == hmac.new(b"s", f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
    assert subscription == {"op": "subscribe", "args": ["order", "execution", "wallet"]}
    assert early == Alive()
    assert isinstance(done, Answered)
    assert done.error == ""
    assert isinstance(no, Answered)
    assert no.error == "Params Error"
    assert SPOT.stream.hear('{"op":"pong","args":["1"]}') == (Alive(),)


def test_orders_executions_and_balances_are_heard() -> None:
    (report,) = SPOT.stream.hear(pushed("order", ORDER))
    (execution,) = SPOT.stream.hear(pushed("execution", TRADE))
    (funds,) = SPOT.stream.hear(json.dumps(TOLD["private/wallet"]))

    assert report == SPOT.found(rows(ORDER), BTC.id)
    assert execution == Execution(
        "0ab1bdf7-4219-438b-b30a-32ec863018f7", ID, "9aac161b-8ed6-450d-9cab-c5cc67c21784", BTC.id, Side.SELL,
        D("0.5"), D("95900.1"), D("26.3725275"), "USDT", 1746270400353 * MS_NS,
    )  # fmt: skip
    assert funds == Funds("BTC", D("0.00102964"), D("0.00102964"))


def test_what_is_of_another_category_or_no_trade_is_passed_over() -> None:
    assert SPOT.stream.hear(pushed("order", ORDER | {"category": "linear"})) == (Alive(),)
    assert SPOT.stream.hear(json.dumps(TOLD["private/execution"])) == (Alive(),)
    assert SPOT.stream.hear(json.dumps(TOLD["private/order"])) == (Alive(),)
    assert SPOT.stream.hear(pushed("execution", TRADE | {"execType": "Settle"})) == (Alive(),)


@pytest.mark.parametrize(
    "frame",
    [
        pushed("order", ORDER | {"orderStatus": "unheard of"}),
        pushed("order", ORDER | {"qty": "NaN"}),
        pushed("order", ORDER | {"side": "Both"}),
        pushed("order", ORDER | {"orderId": ""}),
        pushed("execution", TRADE | {"execId": ""}),
        pushed("execution", TRADE | {"execQty": "-1"}),
        pushed("execution", TRADE | {"execFee": "sNaN"}),
        pushed("execution", TRADE | {"execTime": "-1"}),
        pushed("wallet", {"coin": [{"coin": "BTC", "walletBalance": "1e9999999999999999999"}]}),
        pushed("wallet", {"coin": [{"coin": "BTC", "walletBalance": "1e999999999999999999", "locked": "1"}]}),
        pushed("wallet", {"coin": [{"coin": "BTC", "walletBalance": "1", "locked": "0e999999999999999"}]}),
        pushed("execution", TRADE | {"execType": "Funding", "execFee": "1e99999999"}),
        '{"topic":"order","data":"x"}',
        "[" * 5000,
    ],
)
def test_wrong_values_are_dropped(frame: str) -> None:
    (news,) = SPOT.stream.hear(frame)

    assert isinstance(news, Dropped)


@pytest.mark.parametrize("frame", [pushed("order", ORDER), pushed("execution", TRADE)])
def test_a_frame_cut_anywhere_is_dropped(frame: str) -> None:
    for end in range(len(frame)):
        (news,) = SPOT.stream.hear(frame[:end])
        assert isinstance(news, Dropped)


@given(st.binary(max_size=80) | st.text(max_size=40))
def test_noise_never_raises(frame: bytes | str) -> None:
    assert not [each for each in SPOT.stream.hear(frame) if isinstance(each, Execution)]


# --- perpetuals

LINEAR = BybitLinearAccount([instrument(f"{base}/USDT:USDT@BYBIT") for base in ("BTC", "ETH")])
PERP = "BTC/USDT:USDT@BYBIT"
POSITION = TOLD["position/position"]["result"]["list"][0] | {"symbol": "BTCUSDT", "leverage": "10"}


def like_theirs(name: str, **other: object) -> dict[str, object]:
    """Return what ccxt asks for an order, with our instrument and what we always say."""
    ours = {"symbol": "BTCUSDT", "orderLinkId": ID, "positionIdx": 0, "smpType": "CancelMaker"}
    return {**ASKED[name], **ours, **other}


@pytest.mark.parametrize(
    ("request_", "asked"),
    [
        (
            OrderRequest("s", PERP, Side.BUY, D(50), OrderType.LIMIT, D("0.1")),
            like_theirs("Swap limit order", timeInForce="GTC", reduceOnly=False),
        ),
        (
            OrderRequest(
                "s", PERP, Side.SELL, D("0.1"), OrderType.LIMIT, D(100), post_only=True, reduce_only=True
            ),
            like_theirs("Swap limit sell with reduceOnly and postOnly"),
        ),
        (
            OrderRequest(
                "s", PERP, Side.SELL, D("0.1"), OrderType.STOP_LIMIT, D(4000), D(4000), reduce_only=True
            ),
            like_theirs("sl limit order", timeInForce="GTC"),
        ),
        (
            OrderRequest(
                "s",
                PERP,
                Side.SELL,
                D("0.1"),
                OrderType.TAKE_PROFIT_LIMIT,
                D(10000),
                D(10000),
                reduce_only=True,
            ),
            like_theirs("takeProfit limit order", timeInForce="GTC"),
        ),
        (
            OrderRequest("s", PERP, Side.BUY, D("0.001"), OrderType.TAKE_PROFIT_LIMIT, D(35000), D(35000)),
            like_theirs(
                "swap limit buy with triggerPrice and triggerDirection below",
                timeInForce="GTC",
                reduceOnly=False,
            ),
        ),
        (
            OrderRequest("s", PERP, Side.BUY, D("0.001"), OrderType.STOP_LIMIT, D(37000), D(37000)),
            like_theirs(
                "swap limit buy with triggerPrice and triggerDirection above",
                timeInForce="GTC",
                reduceOnly=False,
            ),
        ),
    ],
)
def test_orders_of_perpetuals_are_asked_for_as_ccxt_asks(
    request_: OrderRequest, asked: dict[str, object]
) -> None:
    assert LINEAR.submit(Submit(ID, request_, TS)).params == asked


def test_a_stop_at_market_says_from_where_its_price_must_come() -> None:
    request = OrderRequest("s", PERP, Side.SELL, D(1), OrderType.STOP, trigger=D(50_000), reduce_only=True)

    assert LINEAR.submit(Submit(ID, request, TS)).params == {
        "category": "linear", "symbol": "BTCUSDT", "side": "Sell", "orderType": "Market", "qty": "1",
        "orderLinkId": ID, "triggerPrice": "50000", "triggerDirection": 2, "reduceOnly": True, "positionIdx": 0,
        "smpType": "CancelMaker",
    }  # fmt: skip


def test_positions_are_read_with_their_sign() -> None:
    other_side = POSITION | {"symbol": "ETHUSDT", "side": "Buy"}
    flat, other = POSITION | {"side": "", "size": "0"}, POSITION | {"symbol": "XUSDT"}

    found = LINEAR.read_exposures(rows(POSITION, other_side, flat, other))

    assert found == [
        Exposure(PERP, D(-300), D("27464.50441675")),
        Exposure("ETH/USDT:USDT@BYBIT", D(300), D("27464.50441675")),
    ]
    assert LINEAR.exposures().params == {"category": "linear", "settleCoin": "USDT", "limit": 200}


INFO = answer({"retCode": 0, "result": {"marginMode": "REGULAR_MARGIN"}})
FLAT = POSITION | {"side": "", "size": "0"}


@pytest.mark.parametrize(
    ("margin", "found", "mode"),
    [
        ("REGULAR_MARGIN", [FLAT], Mode(D(10))),
        ("ISOLATED_MARGIN", [POSITION], Mode(D(10), is_isolated=True)),
        (
            "PORTFOLIO_MARGIN",
            [FLAT | {"positionIdx": 1}, FLAT | {"positionIdx": 2}],
            Mode(D(10), is_hedged=True),
        ),
    ],
)
def test_leverage_margin_and_sides_are_read(margin: str, found: list[dict[str, Any]], mode: Mode) -> None:
    info = answer({"retCode": 0, "result": {"marginMode": margin}})

    assert LINEAR.contracts.read_mode([info, rows(*found)], PERP) == mode
    assert [call.path for call in LINEAR.contracts.mode(PERP)] == ["v5/account/info", "v5/position/list"]
    assert LINEAR.contracts.set_leverage(PERP, D("12.50")).params == {
        "category": "linear", "symbol": "BTCUSDT", "buyLeverage": "12.5", "sellLeverage": "12.5",
    }  # fmt: skip


@pytest.mark.parametrize(
    "bad",
    [
        [answer({"retCode": 0, "result": {"marginMode": "NEW"}}), rows(FLAT)],
        [answer({"retCode": 10016, "result": {"marginMode": "REGULAR_MARGIN"}}), rows(FLAT)],
        [INFO, rows()],
        [INFO, rows(FLAT | {"symbol": "XUSDT"})],
        [INFO, rows(FLAT | {"leverage": "NaN"})],
        [INFO, answer({"retCode": 10016, "result": {"list": [FLAT]}})],
        [Answer(200, {}, b"<html>"), rows(FLAT)],
    ],
)
def test_a_mode_that_cannot_be_read_is_no_answer(bad: list[Answer]) -> None:
    with pytest.raises(VenueError):
        LINEAR.contracts.read_mode(bad, PERP)


@pytest.mark.parametrize(
    "bad",
    [
        answer({"retCode": 10016, "result": {"list": []}}),
        rows(POSITION | {"size": "NaN"}),
        rows(POSITION | {"size": "-1"}),
        rows(POSITION | {"side": "Both"}),
        rows(*[POSITION] * 200),
        Answer(200, {}, b"<html>"),
    ],
)
def test_positions_that_cannot_be_are_no_answer(bad: Answer) -> None:
    with pytest.raises(VenueError):
        LINEAR.read_exposures(bad)


def test_funding_is_money_that_moved_and_a_liquidation_an_execution() -> None:
    row = TRADE | {"category": "linear"}
    (paid,) = LINEAR.stream.hear(pushed("execution", row | {"execType": "Funding", "execFee": "0.5"}))
    (bust,) = LINEAR.stream.hear(pushed("execution", row | {"execType": "BustTrade", "orderLinkId": ""}))

    assert paid == Moved("USDT", D("-0.5"), 1746270400353 * MS_NS, "funding", row["execId"], PERP)
    assert isinstance(bust, Execution)
    assert (bust.fee_asset, bust.is_forced) == ("USDT", True)


def test_funding_is_listed_among_executions() -> None:
    funding = TRADE | {"category": "linear", "execType": "Funding", "execFee": "-0.5"}

    page = LINEAR.read_executions(rows(funding, TRADE), PERP)

    assert [each.amount for each in page.moved] == [D("0.5")]
    assert [each.is_forced for each in page.executions] == [False]


def test_perpetuals_that_settle_in_different_assets_are_refused() -> None:
    with pytest.raises(UsageError):
        BybitLinearAccount([instrument(PERP), instrument("BTC/USDC:USDC@BYBIT")])


HOSTILE: tuple[object, ...] = (
    None,
    "",
    0,
    -1,
    1e308,
    "1e400",
    "1e-999999999999",
    "0e-99999999999",
    [],
    {},
    True,
    "NaN",
    "9" * 5000,
)
COIN = TOLD["private/wallet"]["data"][0]["coin"][0]


@pytest.mark.parametrize("account", [SPOT, LINEAR])
@pytest.mark.parametrize("topic", ["order", "execution", "wallet"])
@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_in_any_field_makes_the_stream_raise(
    account: BybitSpotAccount, topic: str, value: object
) -> None:
    row = {"order": ORDER, "execution": TRADE, "wallet": COIN}[topic]
    category = "spot" if account is SPOT else "linear"
    for field in row:
        changed = row | {"category": category} | {field: value}

        news = account.stream.hear(pushed(topic, {"coin": [changed]} if topic == "wallet" else changed))

        assert news
        for each in news:
            assert isinstance(each, Dropped | Alive | OrderReport | Execution | Funds)


def test_open_orders_go_on_where_a_full_page_ends_and_nowhere_else() -> None:
    full = [ORDER] * 50

    assert SPOT.onward(rows(*full, cursor="a")) == {"cursor": "a"}
    assert SPOT.onward(rows(*full)) == SPOT.onward(rows(*full[1:], cursor="a")) == {}
