"""Binance's spot account: what is asked, what answers prove, what the account's events say."""

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
from abidance.venues.account import (
    Call,
    Credentials,
    Execution,
    Funds,
    KeyExpired,
    Moved,
    OrderReport,
    Proof,
)
from abidance.venues.binance.account import BinanceSpotAccount
from abidance.venues.binance.refusals import NOT_TAKEN, REFUSALS
from abidance.venues.dialect import Alive, Answered, Closing, Dropped
from abidance.venues.net.transport import Answer

D = Decimal
DATA = json.loads((Path(__file__).parents[2] / "data/wire/binance_spot_account.json").read_text())
ASKED, TOLD, PUSHED = DATA["orders"], DATA["told"], DATA["pushes"]
ID = "4f8c2a6b1d3e4f5a8b7c6d5e4f3a2b1c"
BTC = instrument("BTC/USDT@BINANCE")
TS = 1_700_000_000 * SECOND_NS
LIMIT, STOP, STOP_LIMIT = OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT


def like(name: str) -> Instrument:
    return Instrument(f"{name}@BINANCE", BTC.tick, BTC.lot, BTC.min_quantity, BTC.min_notional)


LTC, ETH = like("LTC/USDT"), like("ETH/USDT")
SPOT = BinanceSpotAccount([BTC, LTC, ETH])


def submitted(request: OrderRequest) -> Call:
    return SPOT.submit(Submit(ID, request, TS))


def answer(body: object, status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(body).encode())


def no(code: int, text: str = "No.", status: int = 400) -> Answer:
    return answer({"code": code, "msg": text}, status)


# --- what is asked; test_signed_requests.py has each request byte for byte


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("Spot limit buy order", OrderRequest("s", LTC.id, Side.BUY, D("0.20"), LIMIT, D("5E+1"))),
        (
            "spot order with weird price/amount",
            OrderRequest("s", LTC.id, Side.BUY, D("0.4230"), LIMIT, D("55.32")),
        ),
        (
            "Spot limit buy with postOnly",
            OrderRequest("s", LTC.id, Side.BUY, D("0.2"), LIMIT, D(50), post_only=True),
        ),
    ],
)
def test_orders_are_asked_for_as_ccxt_asks_with_our_id_besides(name: str, request_: OrderRequest) -> None:
    call = submitted(request_)

    assert f"/api/v3/{call.path}" == ASKED[name]["path"]
    assert call.params == ASKED[name]["params"] | {"newClientOrderId": ID, "recvWindow": 3000}


def test_a_stop_limit_order_is_asked_for_as_ccxt_asks_with_its_price_in_place_of_a_distance() -> None:
    theirs = dict(ASKED["spot create a trailing limit stop loss order"]["params"])
    del theirs["trailingDelta"]
    stop = OrderRequest("s", BTC.id, Side.SELL, D("0.1"), STOP_LIMIT, D(55_000), D(56_000), reduce_only=True)

    call = submitted(stop)

    assert call.params == theirs | {"stopPrice": "56000", "newClientOrderId": ID, "recvWindow": 3000}
    assert call.is_urgent


def test_a_take_profit_is_asked_for_as_ccxt_asks_with_its_price_in_place_of_a_distance() -> None:
    at_market = dict(ASKED["spot trailingPercent market buy order with stopLossOrTakeProfit param"]["params"])
    at_limit = dict(ASKED["spot create a trailing limit take profit order"]["params"])
    besides = {"newClientOrderId": ID, "recvWindow": 3000}
    del at_market["trailingDelta"], at_limit["trailingDelta"]

    buys = submitted(
        OrderRequest("s", ETH.id, Side.BUY, D("0.0086"), OrderType.TAKE_PROFIT, trigger=D(3_000))
    )
    sells = submitted(
        OrderRequest(
            "s",
            BTC.id,
            Side.SELL,
            D("0.1"),
            OrderType.TAKE_PROFIT_LIMIT,
            D(70_000),
            D(69_000),
            reduce_only=True,
        )
    )

    assert buys.params == at_market | besides | {"stopPrice": "3000"}
    assert sells.params == at_limit | besides | {"stopPrice": "69000"}
    assert sells.is_urgent


def test_a_stop_at_market_and_a_market_order_have_our_quantity_and_no_price() -> None:
    stop = submitted(
        OrderRequest("s", BTC.id, Side.SELL, D("0.5"), STOP, trigger=D(50_000), reduce_only=True)
    )
    market = submitted(OrderRequest("s", BTC.id, Side.SELL, D("1E-4")))

    always = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "newClientOrderId": ID,
        "newOrderRespType": "FULL",
        "recvWindow": 3000,
    }
    assert stop.params == always | {"type": "STOP_LOSS", "quantity": "0.5", "stopPrice": "50000"}
    assert market.params == always | {"type": "MARKET", "quantity": "0.0001"}


@pytest.mark.parametrize("force", TimeInForce)
def test_a_limit_order_says_how_long_it_waits(force: TimeInForce) -> None:
    request = OrderRequest("s", BTC.id, Side.BUY, D(1), LIMIT, D(9), time_in_force=force)

    assert submitted(request).params["timeInForce"] == force.value.upper()


def test_changes_and_questions_are_asked_for_as_ccxt_asks() -> None:
    order = Order(ID, OrderRequest("s", LTC.id, Side.BUY, D(1), LIMIT, D(9)), OrderState.OPEN, TS)
    named = {"symbol": "LTCUSDT", "origClientOrderId": ID}
    found = {
        "Spot cancelOrder": (SPOT.cancel(order, "464950"), "DELETE", named),
        "Spot cancelAllOrders": (SPOT.cancel_all(LTC.id), "DELETE", None),
        "Spot one orders": (SPOT.open_orders()[1], "GET", None),
        "Spot fetchMyTrades": (
            SPOT.executions(LTC.id, TS), "GET", {"symbol": "LTCUSDT", "startTime": TS // MS_NS, "limit": 1000},
        ),
        "Spot fetch balance": (SPOT.funds(), "GET", {"omitZeroBalances": "true"}),
    }  # fmt: skip

    for name, (call, method, params) in found.items():
        told = {key: value for key, value in call.params.items() if key != "recvWindow"}
        assert (call.method, f"/api/v3/{call.path}") == (method, ASKED[name]["path"])
        assert told == (ASKED[name]["params"] if params is None else params)
    (asked,) = SPOT.find(order)
    assert (asked.method, asked.path, asked.params) == ("GET", "order", named | {"recvWindow": 3000})
    named_by_number = SPOT.whose(Execution("1", "", "28457", LTC.id, Side.BUY, D(1), D(1), D(0), "", TS))
    assert (named_by_number.method, named_by_number.path) == ("GET", "order")
    assert named_by_number.params == {"symbol": "LTCUSDT", "orderId": "28457", "recvWindow": 3000}


# --- what answers prove


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_a_listed_code_proves_that_nothing_was_taken(code: int) -> None:
    assert SPOT.proof(no(code), BTC.id).proof is Proof.REFUSED
    assert SPOT.proof(no(code, status=503), BTC.id).proof is Proof.UNKNOWN


@pytest.mark.parametrize("code", [-2010, -2011])
@pytest.mark.parametrize("text", NOT_TAKEN)
def test_a_listed_text_proves_that_nothing_was_taken_and_only_behind_its_code(text: str, code: int) -> None:
    assert SPOT.proof(no(code, text), BTC.id).proof is Proof.REFUSED
    assert SPOT.proof(no(-1000, text), BTC.id).proof is Proof.UNKNOWN
    assert SPOT.proof(no(code, f"{text} Perhaps."), BTC.id).proof is Proof.UNKNOWN


def test_every_listed_code_and_text_is_documented_and_none_is_of_doubt() -> None:
    doubtful = {-1000, -1001, -1006, -1007, -1008, -1016, -1021, -2010, -2011, -2013, -2021, -2022, -2026}

    assert {str(code) for code in REFUSALS} <= set(DATA["errors"])
    assert {str(code) for code in doubtful} <= set(DATA["errors"])
    assert set(NOT_TAKEN) <= set(DATA["messages"])
    assert not doubtful & REFUSALS
    assert not {"Unknown order sent.", "Duplicate order sent."} & set(NOT_TAKEN)


@pytest.mark.parametrize(
    "code", sorted({int(code) for code in DATA["errors"]} - REFUSALS - {-1021, -2013, -2026})
)
def test_a_documented_code_that_is_on_no_list_proves_nothing(code: int) -> None:
    assert SPOT.proof(no(code), BTC.id).proof is Proof.UNKNOWN


@pytest.mark.parametrize(
    ("found", "proof"),
    [
        (no(-2013, "Order does not exist."), Proof.ABSENT),
        (no(-2011, "Unknown order sent."), Proof.ABSENT),
        (no(-2026, "Order was archived."), Proof.ABSENT),
        (no(-2010, "Duplicate order sent."), Proof.LIVE),
        (no(-1021, "Timestamp for this request is outside of the recvWindow."), Proof.LATE),
        (no(-2010, "Filter failure: MAX_NUM_ORDERS"), Proof.REFUSED),
        (no(-2010, "Filter failure: MAX_NUM_ALGO_ORDERS"), Proof.REFUSED),
        (no(-2011, "Filter failure: MAX_NUM_ORDERS"), Proof.UNKNOWN),
        (no(-2010, "Filter failure: UNHEARD_OF"), Proof.UNKNOWN),
        (no(-1013, "Filter failure: LOT_SIZE"), Proof.REFUSED),
        (no(-1007, "Timeout waiting for response from backend server.", 504), Proof.UNKNOWN),
        (no(-999999), Proof.UNKNOWN),
        (answer({"code": -2010, "msg": NOT_TAKEN[0]}), Proof.UNKNOWN),
        (answer(TOLD["new_order"]), Proof.DONE),
        (answer(TOLD["new_order"], 500), Proof.UNKNOWN),
        (answer(TOLD["new_order"] | {"status": "UNHEARD"}), Proof.UNKNOWN),
        (answer(TOLD["new_order"] | {"origQty": "NaN"}), Proof.UNKNOWN),
        (answer(TOLD["cancel_order"]), Proof.DONE),
        (answer(TOLD["cancel_open_orders"][:2]), Proof.DONE),
        (answer(TOLD["cancel_open_orders"]), Proof.UNKNOWN),  # a pair of orders that somebody's hand placed
        (answer([]), Proof.DONE),
        (answer({}), Proof.UNKNOWN),
        (Answer(200, {}, b"<html>"), Proof.UNKNOWN),
        (Answer(503, {}, b""), Proof.UNKNOWN),
    ],
)
def test_an_answer_proves_no_more_than_it_says(found: Answer, proof: Proof) -> None:
    assert SPOT.proof(found, BTC.id).proof is proof


def test_a_new_order_is_told_with_its_executions_and_a_cancelled_one_by_the_id_that_it_had() -> None:
    placed = SPOT.proof(answer(TOLD["new_order"]), BTC.id)
    gone = SPOT.proof(answer(TOLD["cancel_order"]), LTC.id)

    (report,) = placed.reports
    assert (report.venue_id, report.state, report.filled) == ("28", OrderState.FILLED, D(10))
    assert [(each.id, each.quantity, each.price, each.fee) for each in placed.executions][:2] == [
        ("56", D(1), D(4000), D(4)),
        ("57", D(5), D(3999), D("19.995")),
    ]
    assert {each.order_id for each in placed.executions} == {TOLD["new_order"]["clientOrderId"]}
    assert sum(each.quantity for each in placed.executions) == report.filled
    assert [(each.order_id, each.state) for each in gone.reports] == [("myOrder1", OrderState.CANCELLED)]


# --- what is found

ORDER = TOLD["get_order"] | {"symbol": "LTCUSDT", "clientOrderId": ID}
TRADE = TOLD["my_trades"][0] | {"symbol": "LTCUSDT"}


def test_an_order_is_found_and_an_unknown_one_is_nothing() -> None:
    assert SPOT.found(answer(ORDER), LTC.id) == OrderReport(
        ID, "1", LTC.id, OrderState.OPEN, Side.BUY, D("1.0"), D("0.0"), 1499827319559 * MS_NS, D("0.1"),
        created=1499827319559 * MS_NS,
    )  # fmt: skip
    assert SPOT.found(no(-2013, "Order does not exist."), LTC.id) is None


def test_an_order_that_would_have_met_our_own_ended_without_doubt() -> None:
    report = SPOT.found(answer(ORDER | {"status": "EXPIRED_IN_MATCH", "executedQty": "0.25"}), LTC.id)

    assert report is not None
    assert (report.state, report.filled) == (OrderState.EXPIRED, D("0.25"))
    assert "self-trade prevention" in report.reason


def test_listed_orders_of_other_symbols_are_left_out() -> None:
    rows = [ORDER, ORDER | {"symbol": "XUSDT"}]

    assert [each.instrument for each in SPOT.read_orders(answer(rows))] == [LTC.id]


def test_executions_and_balances_are_read_and_a_full_page_leads_on() -> None:
    page = SPOT.read_executions(answer([TRADE]), LTC.id)
    full = SPOT.read_executions(answer([TRADE | {"id": number} for number in range(1000)]), LTC.id)

    assert page.executions == (
        Execution(
            "28457",
            "",
            "100234",
            LTC.id,
            Side.BUY,
            D(12),
            D("4.000001"),
            D("10.1"),
            "BNB",
            1499865549590 * MS_NS,
        ),
    )
    assert (page.more, full.more and full.more.params["fromId"]) == (None, 1000)
    assert SPOT.read_funds(answer(TOLD["get_account"])) == [
        Funds("BTC", D("4723846.89208129"), D("4723846.89208129"))
    ]


@pytest.mark.parametrize(
    "bad",
    [
        no(-1000),
        answer({"code": -2013, "msg": "Order does not exist."}, 500),
        answer([ORDER | {"status": "UNHEARD"}]),
        answer([ORDER | {"origQty": "NaN"}]),
        answer([ORDER | {"executedQty": "-1"}]),
        answer([ORDER | {"side": "BOTH"}]),
        answer("x"),
        Answer(200, {}, b"<html>"),
        Answer(503, {}, b""),
    ],
)
def test_what_is_no_answer_to_a_question_is_never_taken_for_nothing(bad: Answer) -> None:
    with pytest.raises(VenueError):
        SPOT.read_orders(bad)
    with pytest.raises(VenueError):
        SPOT.found(bad, LTC.id)
    with pytest.raises(VenueError):
        SPOT.read_executions(bad, LTC.id)
    with pytest.raises(VenueError):
        SPOT.read_funds(bad)
    with pytest.raises(VenueError):
        SPOT.read_clock(bad)


# --- the account's events


def heard(name: str, **change: object) -> list[Any]:
    frame = PUSHED[name]
    event = frame.get("event") or frame.get("data") or frame
    return list(SPOT.stream.hear(json.dumps({"subscriptionId": 0, "event": event | change})))


def test_the_login_is_signed_as_binance_says() -> None:
    (frame,) = SPOT.stream.login(Credentials("a-key", "a-secret"), TS)

    told = json.loads(frame)["params"]
    payload = f"apiKey=a-key&timestamp={TS // MS_NS}".encode()
    assert told["signature"] == hmac.new(b"a-secret", payload, hashlib.sha256).hexdigest()
    assert SPOT.stream.hear('{"id":"1","status":200,"result":{}}') == (Answered(1),)
    assert SPOT.stream.hear('{"id":"1","status":400,"error":{"code":-2014,"msg":"Bad key."}}') == (
        Answered(1, "Bad key."),
    )


def test_an_execution_is_heard_before_the_order_that_it_fills() -> None:
    fill, report = heard("ws_spot_execution_report_trade", c=ID)

    assert fill == Execution(
        "98765432", ID, "1234567890", ETH.id, Side.BUY, D("0.5"), D("2499.5"), D("0.0005"), "ETH",
        1759347763167 * MS_NS, True,
    )  # fmt: skip
    assert (report.order_id, report.state, report.filled) == (ID, OrderState.PARTIAL, D("0.5"))


@pytest.mark.parametrize(
    ("name", "change", "state"),
    [
        ("execution_report_canceled", {"C": ID, "c": "theirs"}, OrderState.CANCELLED),
        ("execution_report_expired", {"c": ID}, OrderState.EXPIRED),
        ("ws_spot_execution_report_rejected", {"c": ID}, OrderState.REJECTED),
        ("ws_spot_execution_report_pending_cancel", {"c": ID}, OrderState.OPEN),
    ],
)
def test_how_an_order_ended_is_heard_under_the_id_that_it_had(
    name: str, change: dict[str, str], state: OrderState
) -> None:
    (report,) = heard(name, **change)

    assert (report.order_id, report.state) == (ID, state)


def test_an_order_that_was_kept_from_meeting_our_own_is_heard_to_have_ended_without_a_fill() -> None:
    kept = {"x": "TRADE_PREVENTION", "X": "EXPIRED_IN_MATCH", "c": ID, "z": "0.25", "V": "EXPIRE_MAKER"}
    parts = {
        "v": 3,
        "A": "0.75",
        "B": "0.75",
        "u": 1,
        "U": 37,
        "Cs": "ETHUSDT",
        "pl": "2.1",
        "pL": "0.1",
        "pY": "0.2",
    }

    (report,) = heard("execution_report_expired", **kept, **parts)

    assert (report.order_id, report.state, report.filled) == (ID, OrderState.EXPIRED, D("0.25"))
    assert "self-trade prevention" in report.reason


def test_money_that_came_is_told_and_balances_are_read() -> None:
    assert heard("balance_update_wrapped") == [
        Moved("BTC", D(100), 1573200697068 * MS_NS, "deposit or withdrawal")
    ]
    assert heard("account_position_wrapped") == [Funds("ETH", D(10_000), D(10_000))]


def test_what_else_is_heard() -> None:
    assert SPOT.stream.hear('{"event":{"e":"eventStreamTerminated","E":1}}') == (KeyExpired(),)
    assert SPOT.stream.hear('{"event":{"e":"serverShutdown","E":1}}') == (Closing(),)
    assert SPOT.stream.hear('{"event":{"e":"listStatus","E":1}}') == (Alive(),)
    assert heard("execution_report_canceled", s="XUSDT") == [Alive()]


HOSTILE: list[Any] = [None, "", "x", [], {}, -1, 1e308, "NaN", "Infinity", "1e999999", True, 10**40]


@pytest.mark.parametrize("name", sorted(PUSHED))
@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_in_any_field_makes_the_stream_raise_or_become_a_fill(name: str, value: object) -> None:
    frame = PUSHED[name]
    for field in frame.get("event") or frame.get("data") or frame:
        for news in heard(name, **{field: value}):
            assert isinstance(news, Dropped | Alive | OrderReport | Execution | Moved | Funds)
            if isinstance(news, Execution):
                assert all(each.is_finite() and each >= 0 for each in (news.quantity, news.price))


def test_a_frame_cut_anywhere_is_dropped() -> None:
    frame = json.dumps({"subscriptionId": 0, "event": PUSHED["ws_spot_execution_report_trade"]["data"]})
    for end in range(len(frame)):
        (news,) = SPOT.stream.hear(frame[:end])
        assert isinstance(news, Dropped)


@given(st.binary(max_size=80) | st.text(max_size=40))
def test_noise_never_raises(frame: bytes | str) -> None:
    assert not [each for each in SPOT.stream.hear(frame) if isinstance(each, Execution)]
