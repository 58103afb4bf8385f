"""Binance's cross margin account: what is asked, what its answers prove, what it owes and what interest it pays.

The requests are those of ccxt's own fixtures, the payloads those of developers.binance.com/docs/margin_trading.
"""

import json
from typing import Any

import pytest

from abidance.market.reference import instrument
from abidance.model.command import Submit
from abidance.model.errors import VenueError
from abidance.model.instrument import MS_NS, SECOND_NS, Instrument, InstrumentKind
from abidance.model.order import Order, OrderRequest, OrderState, OrderType, Side
from abidance.venues.account import Credentials, Funds, Hint, KeyExpired, Moved, OrderReport, Proof
from abidance.venues.accounts import account_of
from abidance.venues.binance.lender import BinanceLender
from abidance.venues.binance.margin import BinanceMarginAccount, strain_of
from abidance.venues.binance.refusals import OF_LOANS, OF_MARGIN
from abidance.venues.dialect import Alive, Answered
from abidance.venues.net.transport import Answer
from tests.unit.venues.trading_world import D

BTC = instrument("BTC/USDT@BINANCE")
LTC = Instrument("LTC/USDT@BINANCE", BTC.tick, BTC.lot, BTC.min_quantity, BTC.min_notional)
MARGIN = BinanceMarginAccount([BTC, LTC])
LENDER = BinanceLender()
ID = "4f8c2a6b1d3e4f5a8b7c6d5e4f3a2b1c"
TS = 1_700_000_000 * SECOND_NS
NO_LOAN = {"sideEffectType": "NO_SIDE_EFFECT"}


def answer(body: object, status: int = 200, told: object = None) -> Answer:
    return Answer(status, {}, json.dumps(body).encode())._replace(told=told)


def no(code: int, text: str = "No.", status: int = 400) -> Answer:
    return answer({"code": code, "msg": text}, status)


# --- orders


def test_the_wallet_is_chosen_by_name_and_spot_is_what_is_without_one() -> None:
    kind = InstrumentKind.SPOT

    assert isinstance(account_of("BINANCE", kind, [BTC], "cross_margin"), BinanceMarginAccount)
    assert (
        account_of("BINANCE", kind, [BTC], "spot").purse == account_of("BINANCE", kind, [BTC]).purse == "spot"
    )
    assert MARGIN.purse == "cross margin"


def test_an_order_is_asked_for_as_ccxt_asks_and_says_that_it_borrows_nothing() -> None:
    theirs = {  # "Spot margin (cross) limit buy" of ccxt's fixtures
        "symbol": "LTCUSDT", "side": "BUY", "newOrderRespType": "FULL", "type": "LIMIT", "quantity": "0.2",
        "price": "50", "timeInForce": "GTC",
    }  # fmt: skip
    request = OrderRequest("s", LTC.id, Side.BUY, D("0.2"), OrderType.LIMIT, D(50))

    call = MARGIN.submit(Submit(ID, request, TS))

    assert (call.section, call.method, call.path) == (("sapi",), "POST", "margin/order")
    assert call.params == theirs | NO_LOAN | {"newClientOrderId": ID, "recvWindow": 3000}


@pytest.mark.parametrize("type", sorted(MARGIN.capability.native))
def test_no_order_of_any_type_borrows_or_repays(type: OrderType) -> None:
    price = D(50) if "limit" in type.value else None
    trigger = D(49) if type.value.startswith(("stop", "take")) else None
    request = OrderRequest(
        "s", LTC.id, Side.SELL, D("0.2"), type, price, trigger, reduce_only=trigger is not None
    )

    assert MARGIN.submit(Submit(ID, request, TS)).params.items() >= NO_LOAN.items()


def test_everything_else_is_asked_of_the_margin_interface() -> None:
    standing = Order(
        ID, OrderRequest("s", BTC.id, Side.BUY, D(1), OrderType.LIMIT, D(9)), OrderState.OPEN, TS
    )
    (asked,) = MARGIN.find(standing)
    calls = [
        MARGIN.cancel(standing, ""), MARGIN.cancel_all(BTC.id), asked, *MARGIN.open_orders(),
        MARGIN.executions(BTC.id, TS), MARGIN.funds(),
    ]  # fmt: skip

    assert [(each.method, each.path) for each in calls] == [
        ("DELETE", "margin/order"), ("DELETE", "margin/openOrders"), ("GET", "margin/order"),
        ("GET", "margin/openOrders"), ("GET", "margin/openOrders"), ("GET", "margin/myTrades"),
        ("GET", "margin/account"),
    ]  # fmt: skip
    assert {each.section for each in calls} == {("sapi",)}
    assert MARGIN.clock().section == ("public",)


def test_the_answer_to_a_cancel_is_read_though_it_has_no_time_and_its_number_is_in_quotes() -> None:
    told = {
        "symbol": "LTCUSDT", "isIsolated": False, "orderId": "28", "origClientOrderId": ID,
        "clientOrderId": "cancelMyOrder1", "price": "1.00000000", "origQty": "10.00000000",
        "executedQty": "8.00000000", "cummulativeQuoteQty": "8.00000000", "status": "CANCELED",
        "timeInForce": "GTC", "type": "LIMIT", "side": "SELL",
    }  # fmt: skip

    reply = MARGIN.proof(answer(told), LTC.id)

    assert reply.proof is Proof.DONE
    assert reply.reports == (
        OrderReport(ID, "28", LTC.id, OrderState.CANCELLED, Side.SELL, D(10), D(8), 0, D(1)),
    )


def test_an_order_that_traded_at_once_is_told_with_its_executions() -> None:
    told = {
        "symbol": "BTCUSDT", "orderId": 26769564559, "clientOrderId": ID, "transactTime": 1713873075893,
        "price": "0", "origQty": "0.001", "executedQty": "0.001", "cummulativeQuoteQty": "65.98253",
        "status": "FILLED", "timeInForce": "GTC", "type": "MARKET", "side": "SELL", "isIsolated": False,
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "fills": [{"price": "65982.53", "qty": "0.001", "commission": "0.06598253", "commissionAsset": "USDT",
                   "tradeId": 3570680726}],
    }  # fmt: skip

    reply = MARGIN.proof(answer(told), BTC.id)

    (fill,) = reply.executions
    assert (fill.id, fill.price, fill.quantity, fill.fee) == (
        "3570680726",
        D("65982.53"),
        D("0.001"),
        D("0.06598253"),
    )


@pytest.mark.parametrize("code", sorted(OF_MARGIN))
def test_what_the_margin_interface_turns_away_is_refused(code: int) -> None:
    assert MARGIN.proof(no(code), BTC.id).proof is Proof.REFUSED


@pytest.mark.parametrize("code", [-3000, -3007, -3037, -3044, -1000, -1006, -1007])
def test_what_may_be_over_in_a_moment_proves_nothing(code: int) -> None:
    assert MARGIN.proof(no(code), BTC.id).proof is Proof.UNKNOWN
    assert LENDER.proof(no(code)).proof is Proof.UNKNOWN


# --- what the account has and owes


def account(level: str = "11.64405625", **change: str) -> Answer:
    row = {"asset": "BNB", "borrowed": "201.66666672", "free": "2346.50000000", "interest": "0.00000000",
           "locked": "0.00000000", "netAsset": "2144.83333328"}  # fmt: skip
    nothing = dict.fromkeys(("borrowed", "free", "interest", "locked", "netAsset"), "0.00000000") | {
        "asset": "ETH"
    }
    return answer({"created": True, "marginLevel": level, "userAssets": [row | change, nothing]})


def test_interest_is_owed_besides_what_was_borrowed() -> None:
    assert MARGIN.read_funds(account()) == [Funds("BNB", D("2346.5"), D("2346.5"), D("201.66666672"))]
    owed = MARGIN.read_funds(account(interest="0.5", locked="1"))
    assert owed == [Funds("BNB", D("2347.5"), D("2346.5"), D("202.16666672"))]
    all_spent = MARGIN.read_funds(account(free="0"))
    assert all_spent == [Funds("BNB", D(0), D(0), D("201.66666672"))]


@pytest.mark.parametrize("change", [{"borrowed": "-1"}, {"interest": "NaN"}, {"free": "much"}])
def test_what_cannot_be_owed_is_no_answer(change: dict[str, str]) -> None:
    with pytest.raises(VenueError):
        MARGIN.read_funds(account(**change))


@pytest.mark.parametrize(
    ("level", "is_strained"),
    [
        ("999.00000000", False),
        ("1.50000001", False),
        ("1.5", True),
        ("1.3", True),
        ("1.1", True),
        ("0", False),
    ],
)
def test_a_low_margin_level_is_a_reason_to_risk_nothing_new(level: str, is_strained: bool) -> None:
    said = strain_of(account(level))

    assert bool(said) is is_strained
    assert not said or f"the margin level is {D(level).normalize():f}" in said


def test_an_account_without_a_level_that_can_be_read_is_no_answer() -> None:
    for level in ("-1", "NaN", "high"):
        with pytest.raises(VenueError):
            strain_of(account(level))


# --- loans


def test_a_loan_and_its_repayment_are_asked_for_as_ccxt_asks() -> None:
    borrow, repay = LENDER.borrow("USDT", D("1.00")), LENDER.repay("USDT", D(1))

    theirs = {
        "asset": "USDT",
        "amount": "1",
        "isIsolated": "FALSE",
        "recvWindow": 3000,
    }  # "repay cross margin"
    for call, kind in ((borrow, "BORROW"), (repay, "REPAY")):
        assert (call.section, call.method, call.path) == (("sapi",), "POST", "margin/borrow-repay")
        assert call.params == theirs | {"type": kind}
    assert repay.is_urgent


@pytest.mark.parametrize(
    ("told", "proof"),
    [
        (answer({"tranId": 100000001}), Proof.DONE),
        (answer({"tranId": 108988250265, "clientTag": ""}), Proof.DONE),
        (answer({"tranId": 0}), Proof.UNKNOWN),
        (answer({}), Proof.UNKNOWN),
        (answer([]), Proof.UNKNOWN),
        (no(-1021), Proof.LATE),
        (no(-2015, status=401), Proof.REFUSED),
        (no(-1102), Proof.REFUSED),
        (no(-987654), Proof.UNKNOWN),
        (answer({"tranId": 100000001}, 502), Proof.UNKNOWN),
        (Answer(200, {}, b"<html>all is well</html>"), Proof.UNKNOWN),
        (Answer(404, {}, b"404 page not found"), Proof.UNKNOWN),
        *((no(code), Proof.REFUSED) for code in sorted(OF_LOANS)),
    ],
)
def test_only_what_is_on_the_list_proves_anything_of_a_loan(told: Answer, proof: Proof) -> None:
    assert LENDER.proof(told).proof is proof


HOUR: dict[str, Any] = {
    "txId": 1352286576452864727, "interestAccuredTime": 1672160400000, "asset": "USDT", "rawAsset": "USDT",
    "principal": "45.3313", "interest": "0.00024995", "interestRate": "0.00013233", "type": "ON_BORROW",
}  # fmt: skip


def test_interest_is_read_oldest_first_under_the_venues_number_of_it() -> None:
    later = HOUR | {"txId": 7, "interestAccuredTime": 1672164000000, "type": "PERIODIC"}

    page = LENDER.read_interest(answer({"rows": [later, HOUR], "total": 2}))

    assert page.moved == (
        Moved("USDT", D("-0.00024995"), 1672160400000 * MS_NS, "interest", "1352286576452864727"),
        Moved("USDT", D("-0.00024995"), 1672164000000 * MS_NS, "interest", "7"),
    )
    assert page.more is None


def test_interest_that_was_paid_in_bnb_is_not_taken_for_a_debt() -> None:
    row = HOUR | {"asset": "BNB", "type": "PERIODIC_CONVERTED"}

    assert LENDER.read_interest(answer({"rows": [row], "total": 1})).moved == ()


def test_a_full_page_of_interest_leads_to_the_next_and_another_one_does_not() -> None:
    call = LENDER.interest(TS)
    full = answer({"rows": [HOUR] * 100, "total": 150}, told=call.told)

    following = LENDER.read_interest(full).following(call)

    assert following is not None
    assert following.params == {**call.params, "current": 2}
    rest = answer({"rows": [HOUR] * 50, "total": 150}, told=following.told)
    assert LENDER.read_interest(rest).following(following) is None


@pytest.mark.parametrize(
    "told",
    [
        answer({"rows": [HOUR | {"interest": "-1"}]}),
        answer({"rows": [HOUR | {"interest": "NaN"}]}),
        answer({"rows": [HOUR | {"asset": ""}]}),
        answer({"rows": [HOUR | {"interestAccuredTime": "soon"}]}),
        answer({"rows": {}}),
        no(-1003),
        answer({"rows": []}, status=502),
        Answer(200, {}, b"<html>"),
    ],
)
def test_what_is_no_answer_to_the_question_for_interest_is_none(told: Answer) -> None:
    with pytest.raises(VenueError):
        LENDER.read_interest(told)


# --- the stream


def stream_with(token: object) -> Any:
    stream = MARGIN.stream
    assert stream is not None
    stream.endpoint(answer({"token": token, "expirationTime": 1758792204196}))
    return stream


def test_the_stream_is_opened_with_a_token_that_the_key_alone_asks_for() -> None:
    stream = stream_with("6xXxePXwZRjVSHKhzUCCGnmN3fkvMTXru")

    call = stream.token()
    (frame,) = stream.login(Credentials("a-key", "a-secret"), TS)
    asked = json.loads(frame)

    assert (call.section, call.method, call.path, call.params) == (("sapi",), "POST", "userListenToken", {})
    assert asked["method"] == "userDataStream.subscribe.listenToken"
    assert asked["params"] == {"listenToken": "6xXxePXwZRjVSHKhzUCCGnmN3fkvMTXru"}
    assert "a-secret" not in frame
    told = '{"id":"1","status":200,"result":{"subscriptionId":0,"expirationTime":1749094553955907}}'
    assert stream.hear(told) == (Answered(1),)


@pytest.mark.parametrize(
    "told", [answer({}), answer({"token": ""}), no(-2015, status=401), Answer(200, {}, b"<")]
)
def test_without_a_token_there_is_no_stream(told: Answer) -> None:
    assert MARGIN.stream is not None
    with pytest.raises(VenueError):
        MARGIN.stream.endpoint(told)


def test_a_token_that_is_not_taken_is_told_as_a_refused_login() -> None:
    told = '{"id":"1","status":400,"error":{"code":-1209,"msg":"Invalid listenToken."}}'

    assert stream_with("old").hear(told) == (Answered(1, "Invalid listenToken."),)


def test_money_that_moves_is_looked_at_and_never_booked_from_the_stream() -> None:
    stream = stream_with("t")
    moved = {"e": "balanceUpdate", "E": 1573200697110, "a": "BTC", "d": "100.00000000", "T": 1573200697068}
    balances = {"e": "outboundAccountPosition", "E": 1564034571105, "u": 1564034571073,
                "B": [{"a": "ETH", "f": "10000.000000", "l": "0.000000"}]}  # fmt: skip
    ended = {"e": "eventStreamTerminated", "E": 1749094553955}

    def said(event: dict[str, Any]) -> object:
        return stream.hear(json.dumps({"subscriptionId": 0, "event": event}))

    assert said(moved) == (Hint("exposure"),)
    assert said(balances) == (Alive(),)
    assert said(ended) == (KeyExpired(),)
