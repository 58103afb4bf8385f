"""Binance's USD-M account: what is asked, what answers prove, what the stream of the listen key says."""

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
from abidance.venues.account import (
    Call,
    Credentials,
    Execution,
    Exposure,
    Funds,
    Hint,
    KeyExpired,
    Mode,
    Moved,
    News,
    OrderReport,
    Proof,
)
from abidance.venues.binance.perpetuals import BinancePerpetualsAccount
from abidance.venues.binance.refusals import CONTRACT_REFUSALS
from abidance.venues.dialect import Alive, Dropped
from abidance.venues.net.budget import Budgets
from abidance.venues.net.transport import Answer
from abidance.venues.trading.wire import Wire
from tests.unit.venues.net_world import HandPulse

D = Decimal
DATA = json.loads((Path(__file__).parents[2] / "data/wire/binance_usdm_account.json").read_text())
ASKED, TOLD, PUSHED = DATA["orders"], DATA["told"], DATA["pushes"]
ID = "4f8c2a6b1d3e4f5a8b7c6d5e4f3a2b1c"
BTC = instrument("BTC/USDT:USDT@BINANCE")
TS = 1_700_000_000 * SECOND_NS
LIMIT, STOP, STOP_LIMIT = OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT
TAKE_PROFIT_LIMIT = OrderType.TAKE_PROFIT_LIMIT


def like(base: str) -> Instrument:
    id = f"{base}/USDT:USDT@BINANCE"
    return Instrument(id, BTC.tick, BTC.lot, BTC.min_quantity, BTC.min_notional)


LTC = like("LTC")
USDM = BinancePerpetualsAccount([BTC, LTC, like("BNB"), like("DOGE"), like("ADA"), like("ETH")])


def answer(body: object, status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(body).encode())


def order(type: OrderType = LIMIT, **given: Any) -> Order:
    return Order(ID, OrderRequest("s", LTC.id, Side.SELL, D(1), type, **given), OrderState.OPEN, TS)


ORDER = TOLD["new_order"] | {"clientOrderId": ID}
WAITS = TOLD["new_algo_order"] | {"clientAlgoId": ID}
TRADE = {
    "buyer": False, "commission": "-0.07819010", "commissionAsset": "USDT", "id": 698759, "maker": False,
    "orderId": 25851813, "price": "7819.01", "qty": "0.002", "quoteQty": "15.63802", "realizedPnl": "-0.91539999",
    "side": "SELL", "positionSide": "BOTH", "symbol": "BTCUSDT", "time": 1569514978020,
}  # fmt: skip


# --- what is asked


@pytest.mark.parametrize(
    ("request_", "name", "besides"),
    [
        (OrderRequest("s", LTC.id, Side.BUY, D("0.1")), "Swap market buy order", {}),
        (OrderRequest("s", LTC.id, Side.SELL, D("0.20"), LIMIT, D("1E+2")), "Swap limit sell", {}),
        (
            OrderRequest("s", LTC.id, Side.BUY, D("0.2"), LIMIT, D(60), reduce_only=True),
            "Swap limit buy with reduce only (closing short position)",
            {},
        ),
        (
            OrderRequest("s", LTC.id, Side.BUY, D("0.2"), LIMIT, D(50), post_only=True),
            "Swap limit buy with postOnly",
            {},
        ),
        (
            OrderRequest("s", BTC.id, Side.BUY, D("0.002"), STOP_LIMIT, D(102_000), D(100_000)),
            "linear swap conditional createOrder",
            {"timeInForce": "GTC"},
        ),
        (
            OrderRequest("s", LTC.id, Side.SELL, D("0.21"), STOP_LIMIT, D(50), D(51), reduce_only=True),
            "Swap limit sell with stopLossPrice (type 2)",
            {"timeInForce": "GTC", "reduceOnly": "true"},
        ),
        (
            OrderRequest(
                "s", LTC.id, Side.SELL, D("0.21"), TAKE_PROFIT_LIMIT, D(104), D(108), reduce_only=True
            ),
            "Swap limit sell with takeProfitPrice (type 2)",
            {"timeInForce": "GTC", "reduceOnly": "true"},
        ),
    ],
)
def test_orders_are_asked_for_as_ccxt_asks(
    request_: OrderRequest, name: str, besides: dict[str, str]
) -> None:
    call = USDM.submit(Submit(ID, request_, TS))

    waits = request_.trigger is not None
    expected = ASKED[name]["params"] | besides | {"clientAlgoId" if waits else "newClientOrderId": ID}
    if waits:
        expected.pop("newOrderRespType")  # a conditional order has one answer only
    assert call.params == expected | {"recvWindow": 3000, "selfTradePreventionMode": "EXPIRE_MAKER"}
    assert (call.section, f"/fapi/v1/{call.path}") == (("fapiPrivate",), ASKED[name]["path"])
    assert call.is_urgent == request_.reduce_only


def test_a_stop_at_market_waits_among_the_conditional_orders_for_our_size_alone() -> None:
    request = OrderRequest("s", BTC.id, Side.SELL, D("0.5"), STOP, trigger=D(50_000), reduce_only=True)

    call = USDM.submit(Submit(ID, request, TS))

    assert call.path == "algoOrder"
    assert call.params == {
        "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "quantity": "0.5", "reduceOnly": "true",
        "algoType": "CONDITIONAL", "triggerPrice": "50000", "clientAlgoId": ID, "recvWindow": 3000,
        "selfTradePreventionMode": "EXPIRE_MAKER",
    }  # fmt: skip
    assert "closePosition" not in call.params


@pytest.mark.parametrize("force", TimeInForce)
def test_the_time_in_force_is_told(force: TimeInForce) -> None:
    request = OrderRequest("s", BTC.id, Side.BUY, D(1), LIMIT, D(9), time_in_force=force)

    assert USDM.submit(Submit(ID, request, TS)).params["timeInForce"] == force.value.upper()


def plain(call: Call) -> dict[str, object]:
    return {name: str(value) for name, value in call.params.items() if name not in ("recvWindow", "limit")}


def test_questions_and_changes_are_asked_for_as_ccxt_asks() -> None:
    named = {"symbol": "LTCUSDT", "origClientOrderId": ID}
    execution = Execution("1", "", "652124757", LTC.id, Side.BUY, D(1), D(1), D(0), "USDT", TS)
    found = {
        "cancel order with clientOrderId": (USDM.cancel(order(price=D(9)), ""), named),
        "fetch order with clientOrderId": (USDM.find(order(price=D(9)))[0], named),
        "Swap fetchOrder": (USDM.whose(execution), None),
        "Linear swap trigger cancel all orders": (USDM.cancel_rest(BTC.id)[0], None),
        "Swap fetchMyTrades": (USDM.executions(LTC.id, TS), {"symbol": "LTCUSDT", "startTime": "1700000000000"}),
        "fetch default positions": (USDM.exposures(), None),
        "Swap linear setLeverage": (USDM.contracts.set_leverage(LTC.id, D("5.0")), None),
        "Set margin mode to cross": (USDM.contracts.set_margin(BTC.id, isolated=False), None),
        "Fetch Funding History - linear": (
            USDM.contracts.payments(TS), {"incomeType": "FUNDING_FEE", "startTime": "1700000000000"},
        ),
    }  # fmt: skip

    for name, (call, params) in found.items():
        version = "v3" if call.section == ("fapiPrivateV3",) else "v1"
        assert f"/fapi/{version}/{call.path}" == ASKED[name]["path"]
        assert plain(call) == (ASKED[name]["params"] if params is None else params)


@pytest.mark.parametrize(
    ("venue_id", "path", "named"),
    [
        ("", "algoOrder", {"clientAlgoId": ID}),
        ("algo2148719", "algoOrder", {"clientAlgoId": ID}),
        ("88937381063", "order", {"orderId": "88937381063"}),
    ],
)
def test_a_stop_is_taken_back_where_it_stands(venue_id: str, path: str, named: dict[str, str]) -> None:
    waits = order(STOP_LIMIT, price=D(9), trigger=D(9))

    call = USDM.cancel(waits, venue_id)

    assert (call.method, call.path, plain(call)) == ("DELETE", path, {"symbol": "LTCUSDT"} | named)
    assert [each.path for each in USDM.find(waits)] == ["order", "algoOrder"]


async def test_a_request_is_signed_as_binance_says() -> None:
    vector = DATA["signing"]
    credentials = Credentials(vector["api_key"], vector["secret"])
    pulse = HandPulse()
    wire = Wire(USDM, credentials, None, Budgets(pulse), pulse)  # type: ignore[arg-type]
    await wire.open()
    request = OrderRequest("s", BTC.id, Side.BUY, D(1))

    method, url, headers, body = wire.signed(USDM.submit(Submit(ID, request, TS)))
    asked = wire.signed(USDM.funds())
    key = wire.signed(USDM.stream.token())

    def signature(payload: str) -> str:
        return hmac.new(vector["secret"].encode(), payload.encode(), hashlib.sha256).hexdigest()

    assert signature(vector["payload"]) == vector["signature"]
    assert (method, url) == ("POST", "https://fapi.binance.com/fapi/v1/order")
    for sent in ((body or b"").decode(), urlsplit(asked[1]).query):
        payload, _, told = sent.rpartition("&signature=")
        assert told == signature(payload)
        params = dict(parse_qsl(payload))
        assert params["timestamp"] == str(wire.now() // MS_NS)
        assert int(params["recvWindow"]) / 1000 == USDM.capability.window
    assert dict(parse_qsl((body or b"").decode()))["newClientOrderId"] == ID
    assert headers["X-MBX-APIKEY"] == key[2]["X-MBX-APIKEY"] == vector["api_key"]
    assert (key[0], key[1], key[3] or b"") == ("POST", "https://fapi.binance.com/fapi/v1/listenKey", b"")
    assert urlsplit(asked[1]).path == "/fapi/v3/balance"


# --- what answers prove


@pytest.mark.parametrize("code", sorted(CONTRACT_REFUSALS))
def test_a_listed_code_proves_that_nothing_was_taken(code: int) -> None:
    told = {"code": code, "msg": "No."}

    assert USDM.proof(answer(told, 400), BTC.id).proof is Proof.REFUSED
    assert USDM.proof(answer(told, 503), BTC.id).proof is Proof.UNKNOWN


def test_every_listed_code_is_documented_and_none_is_of_doubt() -> None:
    doubtful = {
        -1000,
        -1001,
        -1006,
        -1007,
        -1008,
        -1010,
        -1016,
        -1021,
        -2011,
        -2012,
        -2013,
        -4116,
        -4117,
        -5028,
        -5043,
    }
    since = {-4120}  # where conditional orders belong, since December 2025

    assert {str(code) for code in CONTRACT_REFUSALS - since} <= set(DATA["errors"])
    assert not doubtful & CONTRACT_REFUSALS


@pytest.mark.parametrize(
    ("found", "proof"),
    [
        (answer({"code": -2013, "msg": "Order does not exist."}, 400), Proof.ABSENT),
        (answer({"code": -2011, "msg": "Unknown order sent."}, 400), Proof.ABSENT),
        (answer({"code": -4116, "msg": "ClientOrderId is duplicated."}, 400), Proof.LIVE),
        (answer({"code": -1021, "msg": "recvWindow"}, 400), Proof.LATE),
        (answer({"code": -5028, "msg": "recvWindow of the matching engine"}, 400), Proof.LATE),
        (answer({"code": -2010, "msg": "Order would immediately match and take."}, 400), Proof.UNKNOWN),
        (answer({"code": -1008, "msg": "Request throttled"}, 503), Proof.UNKNOWN),
        (answer({"code": -1007, "msg": "Timeout"}, 408), Proof.UNKNOWN),
        (answer({"code": -999999, "msg": "new"}, 400), Proof.UNKNOWN),
        (answer(ORDER), Proof.DONE),
        (answer(WAITS), Proof.DONE),
        (answer(TOLD["cancel_all_algo_open_orders"]), Proof.DONE),
        (answer({"algoId": 1, "clientAlgoId": ID, "code": "200", "msg": "success"}), Proof.DONE),
        (answer({"code": -2019, "msg": "Margin is insufficient."}), Proof.UNKNOWN),
        (answer({}), Proof.UNKNOWN),
        (answer(ORDER | {"status": "UNHEARD"}), Proof.UNKNOWN),
        (answer(ORDER, 500), Proof.UNKNOWN),
        (Answer(200, {}, b"<html>"), Proof.UNKNOWN),
        (Answer(503, {}, b""), Proof.UNKNOWN),
    ],
)
def test_an_answer_proves_no_more_than_it_says(found: Answer, proof: Proof) -> None:
    assert USDM.proof(found, BTC.id).proof is proof


# --- what is found


def test_an_order_and_one_that_waits_are_found() -> None:
    assert USDM.found(answer(ORDER), BTC.id) == OrderReport(
        ID, "325078477", BTC.id, OrderState.OPEN, Side.BUY, D("0.100"), D("0.000"), 1702555534435 * MS_NS, D("43187.00"),
    )  # fmt: skip
    assert USDM.found(answer(WAITS), BTC.id) == OrderReport(
        ID, "algo3000000000003505", BTC.id, OrderState.OPEN, Side.SELL, D("1.000"), D(0), 1762507264143 * MS_NS,
        D("160000.00"), D("120000.00"), created=1762507264142 * MS_NS,
    )  # fmt: skip
    assert USDM.found(answer({"code": -2013, "msg": "Order does not exist."}, 400), BTC.id) is None


@pytest.mark.parametrize(
    ("status", "state", "venue_id"),
    [
        ("CANCELED", OrderState.CANCELLED, "algo1"),
        ("EXPIRED", OrderState.EXPIRED, "algo1"),
        ("REJECTED", OrderState.REJECTED, "algo1"),
        ("TRIGGERING", OrderState.OPEN, "algo1"),
        ("TRIGGERED", OrderState.OPEN, "77"),
        ("FINISHED", OrderState.OPEN, "77"),
    ],
)
def test_of_a_touched_one_only_the_order_that_it_became_says_how_it_ended(
    status: str, state: OrderState, venue_id: str
) -> None:
    actual = "77" if venue_id == "77" else ""
    told = WAITS | {"algoStatus": status, "algoId": 1, "actualOrderId": actual, "actualQty": "1.000"}

    report = USDM.found(answer(told), BTC.id)

    assert report is not None
    assert (report.state, report.venue_id, report.filled) == (state, venue_id, D(0))


def test_listed_orders_of_other_symbols_are_left_out() -> None:
    both = [ORDER | {"symbol": "XUSDT"}, ORDER, WAITS | {"symbol": "YUSDT"}, WAITS]

    assert [each.instrument for each in USDM.read_orders(answer(both))] == [BTC.id, BTC.id]
    assert [call.path for call in USDM.open_orders()][:2] == ["openOrders", "openAlgoOrders"]


def test_executions_are_read_and_a_full_page_leads_on() -> None:
    page = USDM.read_executions(answer([TRADE]), BTC.id)
    full = USDM.read_executions(answer([TRADE | {"id": number} for number in range(1, 1001)]), BTC.id)

    assert page.executions == (
        Execution(
            "698759", "", "25851813", BTC.id, Side.SELL, D("0.002"), D("7819.01"), D("-0.07819010"), "USDT",
            1569514978020 * MS_NS,
        ),
    )  # fmt: skip
    assert page.more is None
    assert full.more is not None
    assert full.more.params["fromId"] == 1001


def test_balances_and_positions_are_read_with_their_signs() -> None:
    (balance,) = TOLD["futures_account_balance_v2"]
    debt = balance | {"asset": "BNB", "balance": "-0.5", "availableBalance": "0"}
    none = balance | {"asset": "BUSD", "balance": "0.00000000"}
    (position,) = TOLD["position_information_v3"]

    assert USDM.read_funds(answer([balance, debt, none])) == [
        Funds("USDT", D("122607.35137903"), D("23.72469206")),
        Funds("BNB", D("-0.5"), D(0)),
    ]
    rows = [position, position | {"symbol": "BTCUSDT", "positionAmt": "-0.010"}]
    rows += [position | {"positionAmt": "0"}, position | {"symbol": "XUSDT"}]
    assert USDM.read_exposures(answer(rows)) == [
        Exposure("ADA/USDT:USDT@BINANCE", D(30), D("0.385")),
        Exposure(BTC.id, D("-0.010"), D("0.385")),
    ]


def test_funding_is_read_with_its_own_time_and_number_and_other_income_is_passed_over() -> None:
    (transfer,) = TOLD["get_income_history"]
    funding = transfer | {"symbol": "BTCUSDT", "incomeType": "FUNDING_FEE", "tranId": 5}

    page = USDM.contracts.read_payments(answer([transfer, funding, funding | {"symbol": "XUSDT"}]))

    assert page.moved == (Moved("USDT", D("-0.37500000"), 1570608000000 * MS_NS, "funding", "5", BTC.id),)
    assert page.following(USDM.contracts.payments(TS)) is None


def test_a_full_page_of_funding_goes_on_from_its_last_moment_and_must_hold_another() -> None:
    (row,) = TOLD["get_income_history"]
    full = [row | {"time": row["time"] + n // 2, "tranId": n} for n in range(1_000)]
    first = USDM.contracts.payments(TS)

    following = USDM.contracts.read_payments(answer(full)).following(first)

    assert following == first._replace(params={**first.params, "startTime": row["time"] + 499})
    with pytest.raises(VenueError):
        USDM.contracts.read_payments(answer([row] * 1_000))


def test_leverage_margin_and_sides_are_read() -> None:
    sided, settings = answer({"dualSidePosition": False}), answer(TOLD["symbol_config"])
    assert [each.path for each in USDM.contracts.mode(BTC.id)] == ["accountConfig", "symbolConfig"]
    hedged = answer(TOLD["account_config"])

    assert USDM.contracts.read_mode([sided, settings], BTC.id) == Mode(D(25), is_isolated=True)
    assert USDM.contracts.read_mode([hedged, settings], "ETH/USDT:USDT@BINANCE") == Mode(
        D(20), is_hedged=True
    )


@pytest.mark.parametrize(
    "bad",
    [
        Answer(200, {}, b"<html>"),
        Answer(200, {}, b"[" * 5000),
        answer({"code": -1000, "msg": "unknown"}, 400),
        answer([], 500),
        answer({"a": 1}),
        answer(None),
    ],
)
def test_what_is_no_answer_to_a_question_is_never_taken_for_nothing(bad: Answer) -> None:
    for read in (
        USDM.read_orders, USDM.read_funds, USDM.read_exposures, USDM.contracts.read_payments, USDM.read_clock, USDM.stream.endpoint,
    ):  # fmt: skip
        with pytest.raises(VenueError):
            read(bad)
    with pytest.raises(VenueError):
        USDM.read_executions(bad, BTC.id)
    with pytest.raises(VenueError):
        USDM.found(bad, BTC.id)
    for pair in ([bad, answer(TOLD["symbol_config"])], [answer({"dualSidePosition": False}), bad]):
        with pytest.raises(VenueError):
            USDM.contracts.read_mode(pair, BTC.id)


HOSTILE: tuple[object, ...] = (
    None, "", 0, -1, 1e308, "1e400", "1e-999999999999", "0e-99999999999", [], {}, True, "NaN", "Infinity", "9" * 5000,
)  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_in_any_field_makes_a_reader_raise_anything_but_no_answer(value: object) -> None:
    (balance,), (position,) = TOLD["futures_account_balance_v2"], TOLD["position_information_v3"]
    income = TOLD["get_income_history"][0] | {"symbol": "BTCUSDT", "incomeType": "FUNDING_FEE"}
    setting = TOLD["symbol_config"][1]
    sided = answer({"dualSidePosition": False})
    readers: list[tuple[dict[str, Any], Any]] = [
        (ORDER, lambda found: USDM.read_orders(answer([found]))),
        (WAITS, lambda found: USDM.read_orders(answer([found]))),
        (ORDER, lambda found: USDM.found(answer(found), BTC.id)),
        (TRADE, lambda found: USDM.read_executions(answer([found]), BTC.id)),
        (balance, lambda found: USDM.read_funds(answer([found]))),
        (position, lambda found: USDM.read_exposures(answer([found]))),
        (income, lambda found: USDM.contracts.read_payments(answer([found]))),
        (setting, lambda found: USDM.contracts.read_mode([sided, answer([found])], BTC.id)),
    ]

    for row, read in readers:
        for field in row:
            try:
                read(row | {field: value})
            except VenueError:
                continue
            USDM.proof(answer(row | {field: value}), BTC.id)


# --- the stream of the listen key


def heard(name: str, **other: object) -> list[News]:
    frame = PUSHED[name].get("data", PUSHED[name])
    return list(USDM.stream.hear(json.dumps(frame | {"o": frame["o"] | other})))


def test_the_stream_is_at_the_listen_key_which_is_kept_alive() -> None:
    key = answer({"listenKey": "pqia91ma19a5s61cv6a81va65sdf19v8"})

    where = USDM.stream.endpoint(key)
    due = USDM.stream.renew(key)

    assert where.url == "wss://fstream.binance.com/private/ws?listenKey=pqia91ma19a5s61cv6a81va65sdf19v8"
    assert due is not None
    assert (due[0].method, due[0].path) == ("PUT", "listenKey")
    assert due[1] < 3600
    with pytest.raises(VenueError):
        USDM.stream.endpoint(answer({"listenKey": "a&b=/../c"}))


def test_an_order_that_waits_is_heard_and_known_by_what_it_becomes() -> None:
    (new,), (cancelled,) = heard("algo_update_new"), heard("algo_update_canceled")
    (touched,), (sent,) = heard("algo_update_triggering"), heard("algo_update_triggered")
    (done,), (empty,) = heard("algo_update_finished"), heard("algo_update_finished_canceled")

    told = [each for each in (new, cancelled, touched, sent, done, empty) if isinstance(each, OrderReport)]
    assert [(each.state, each.venue_id, each.filled) for each in told] == [
        (OrderState.OPEN, "algo2148719", D(0)),
        (OrderState.CANCELLED, "algo2148719", D(0)),
        (OrderState.OPEN, "algo1000000033225453", D(0)),
        (OrderState.OPEN, "88937381063", D(0)),
        (OrderState.FILLED, "88937381063", D(38)),
        (OrderState.CANCELLED, "88937381064", D(0)),
    ]


def test_an_execution_is_heard_before_the_order_that_it_fills() -> None:
    fill, report = heard("order_update_trade", c=ID)

    frame = PUSHED["order_update_trade"]["o"]
    assert isinstance(fill, Execution)
    assert isinstance(report, OrderReport)
    assert (fill.id, fill.order_id, fill.quantity) == (str(frame["t"]), ID, D(frame["l"]))
    assert (fill.is_forced, report.is_forced) == (False, False)
    assert report.filled == D(frame["z"])


def test_an_order_that_was_kept_from_meeting_our_own_ended_without_doubt() -> None:
    (told,) = heard("order_update_new", c=ID, x="EXPIRED", X="EXPIRED_IN_MATCH")
    found = USDM.found(answer(ORDER | {"status": "EXPIRED_IN_MATCH"}), BTC.id)

    for report in (told, found):
        assert isinstance(report, OrderReport)
        assert (report.order_id, report.state) == (ID, OrderState.EXPIRED)
        assert "self-trade prevention" in report.reason


@pytest.mark.parametrize(
    ("name", "quantity"),
    [
        ("order_update_calculated", "0.014"),
        ("order_update_adl", "1.000"),
        ("order_update_settlement", "0.010"),
    ],
)
def test_what_the_venue_itself_closes_is_heard_as_forced(name: str, quantity: str) -> None:
    fill, report = heard(name)

    assert isinstance(fill, Execution)
    assert isinstance(report, OrderReport)
    assert (fill.is_forced, report.is_forced, fill.quantity) == (True, True, D(quantity))


@pytest.mark.parametrize("name", ["order_update_calculated_pending", "order_update_liquidation_zero_qty"])
def test_a_liquidation_that_has_traded_nothing_is_no_execution(name: str) -> None:
    (report,) = heard(name)

    assert isinstance(report, OrderReport)
    assert report.is_forced


def changed(why: str, amount: str) -> str:
    frame = PUSHED["account_update"]
    return json.dumps(
        frame | {"a": {"m": why, "B": [{"a": "USDT", "wb": "1", "cw": "1", "bc": amount}], "P": []}}
    )


def test_money_that_moves_is_heard_and_funding_is_asked_for() -> None:
    at = 1564745798938 * MS_NS

    assert USDM.stream.hear(changed("DEPOSIT", "50.1")) == [Moved("USDT", D("50.1"), at, "deposit")]
    cleared = Moved("USDT", D(-3), at, "insurance_clear", is_of_trading=True)
    assert USDM.stream.hear(changed("INSURANCE_CLEAR", "-3")) == [cleared]
    assert USDM.stream.hear(changed("FUNDING_FEE", "-1")) == (Hint("payments"),)
    assert USDM.stream.hear(changed("ORDER", "0")) == (Alive(),)
    assert USDM.stream.hear(changed("ADJUSTMENT", "0")) == (Alive(),)


def test_what_else_is_heard() -> None:
    setting = {"e": "ACCOUNT_CONFIG_UPDATE", "E": 1, "T": 1, "ac": {"s": "BTCUSDT", "l": 25}}

    assert USDM.stream.hear(json.dumps(setting)) == (Hint("mode"),)
    assert USDM.stream.hear('{"e":"MARGIN_CALL","E":1,"cw":"3","p":[]}') == (Hint("exposure"),)
    assert USDM.stream.hear('{"e":"listenKeyExpired","E":1,"listenKey":"x"}') == (KeyExpired(),)
    assert USDM.stream.hear(json.dumps(PUSHED["trade_lite"])) == (Alive(),)
    assert heard("order_update_trade", s="XUSDT") == [Alive()]


@pytest.mark.parametrize("name", ["order_update_trade", "algo_update_finished", "account_update"])
@pytest.mark.parametrize("value", HOSTILE)
def test_no_value_in_any_field_makes_the_stream_raise(name: str, value: object) -> None:
    frame = PUSHED[name].get("data", PUSHED[name])
    part = "a" if name == "account_update" else "o"
    frames = [frame | {part: frame[part] | {field: value}} for field in frame[part]]
    frames += [frame | {field: value} for field in frame]

    for each in frames:
        news = USDM.stream.hear(json.dumps(each))
        assert news
        for one in news:
            assert isinstance(one, Dropped | Alive | OrderReport | Execution | Moved)


@pytest.mark.parametrize("name", ["order_update_trade", "algo_update_new"])
def test_a_frame_cut_anywhere_is_dropped(name: str) -> None:
    frame = json.dumps(PUSHED[name])
    for end in range(len(frame)):
        (news,) = USDM.stream.hear(frame[:end])
        assert isinstance(news, Dropped)


@given(st.binary(max_size=80) | st.text(max_size=40))
def test_noise_never_raises(frame: bytes | str) -> None:
    assert not [each for each in USDM.stream.hear(frame) if isinstance(each, Execution)]
