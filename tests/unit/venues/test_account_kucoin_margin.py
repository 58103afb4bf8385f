"""KuCoin's cross margin account: what is asked, what its answers prove, what it owes and what interest it pays.

The requests are those of ccxt's own fixtures, the payloads those of kucoin.com/docs-new.
"""

import json
from typing import Any

import pytest

from abidance.market.reference import instrument
from abidance.model.command import Submit
from abidance.model.errors import VenueError
from abidance.model.instrument import MS_NS, SECOND_NS, Instrument, InstrumentKind
from abidance.model.order import Order, OrderRequest, OrderState, OrderType, Side
from abidance.venues.account import Funds, Hint, Moved, OrderReport, Proof
from abidance.venues.accounts import account_of
from abidance.venues.dialect import Alive, Answered, Dropped
from abidance.venues.kucoin.account import KuCoinAccount
from abidance.venues.kucoin.lender import KuCoinLender
from abidance.venues.kucoin.margin import KuCoinMarginAccount, strain_of
from abidance.venues.kucoin.refusals import OF_LOANS, OF_MARGIN, REFUSALS
from abidance.venues.net.transport import Answer
from tests.unit.venues.trading_world import D

BTC = instrument("BTC/USDT@KUCOIN")
DOGE = Instrument("DOGE/USDT@KUCOIN", BTC.tick, BTC.lot, BTC.min_quantity, BTC.min_notional)
MARGIN = KuCoinMarginAccount([BTC, DOGE])
LENDER = KuCoinLender()
ID = "5c52e11203aa677f33e493fb"
TS = 1_700_000_000 * SECOND_NS
NO_LOAN = {"isIsolated": False, "autoBorrow": False, "autoRepay": False}
STANDING = Order(ID, OrderRequest("s", BTC.id, Side.BUY, D(1), OrderType.LIMIT, D(9)), OrderState.OPEN, TS)


def answer(data: object, status: int = 200, told: object = None) -> Answer:
    return Answer(status, {}, json.dumps({"code": "200000", "data": data}).encode())._replace(told=told)


def no(code: str, text: str = "No.", status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps({"code": code, "msg": text}).encode())


# --- orders


def test_the_wallet_is_chosen_by_name_and_spot_is_what_is_without_one() -> None:
    kind = InstrumentKind.SPOT

    assert isinstance(account_of("KUCOIN", kind, [BTC], "cross_margin"), KuCoinMarginAccount)
    assert type(account_of("KUCOIN", kind, [BTC], "spot")) is KuCoinAccount
    assert MARGIN.purse == "cross margin"


@pytest.mark.parametrize("type", sorted(MARGIN.capability.native))
def test_an_order_of_any_type_goes_to_the_margin_interface_and_borrows_and_repays_nothing(
    type: OrderType,
) -> None:
    price = D("0.0500") if type is OrderType.LIMIT else None
    submit = Submit(ID, OrderRequest("s", DOGE.id, Side.BUY, D(100), type, price), TS)
    of_spot = KuCoinAccount([BTC, DOGE]).submit(submit)

    call = MARGIN.submit(submit)

    assert (call.section, call.method, call.path) == (("private",), "POST", "hf/margin/order")
    assert call.params == {**of_spot.params, **NO_LOAN}
    assert call.is_urgent == of_spot.is_urgent


def test_everything_else_is_asked_of_the_margin_interface_as_ccxt_asks() -> None:
    (found,) = MARGIN.find(STANDING)
    report = OrderReport("", "69ac", DOGE.id, OrderState.OPEN, Side.BUY, D(1), D(0), TS)
    named, cross = {"clientOid": ID, "symbol": "BTC-USDT"}, {"tradeType": "MARGIN_TRADE"}
    executed = {"symbol": "DOGE-USDT", "startAt": TS // MS_NS, "limit": 100, **cross}
    calls = [
        MARGIN.cancel(STANDING, ""), MARGIN.cancel_all(BTC.id), found, MARGIN.whose(report),
        *MARGIN.open_orders(), MARGIN.executions(DOGE.id, TS), MARGIN.funds(),
    ]  # fmt: skip

    assert [(each.method, each.path, each.params) for each in calls] == [
        ("DELETE", "hf/margin/orders/client-order/{clientOid}", named),
        ("DELETE", "hf/margin/orders", {"symbol": "BTC-USDT", **cross}),
        ("GET", "hf/margin/orders/client-order/{clientOid}", named),
        ("GET", "hf/margin/orders/{orderId}", {"orderId": "69ac", "symbol": "DOGE-USDT"}),
        ("GET", "hf/margin/orders/active", {"symbol": "BTC-USDT", **cross}),
        ("GET", "hf/margin/orders/active", {"symbol": "DOGE-USDT", **cross}),
        ("GET", "hf/margin/fills", executed),
        ("GET", "margin/accounts", {"queryType": "MARGIN_V2"}),
    ]
    assert {each.section for each in calls} == {("private",)}
    assert [each.is_urgent for each in calls[:2]] == [True, True]


@pytest.mark.parametrize(
    ("data", "venue_id"),
    [
        ({"orderId": "671663e02188630007e21c9c", "clientOid": ID, "borrowSize": "0", "loanApplyId": None}, "671663e02188630007e21c9c"),
        ({"clientOid": ID}, ""),
        ("success", ""),
    ],
)  # fmt: skip
def test_an_order_that_was_placed_or_asked_off_is_done(data: object, venue_id: str) -> None:
    reply = MARGIN.proof(answer(data), BTC.id)

    assert (reply.proof, reply.venue_id, reply.reports) == (Proof.DONE, venue_id, ())


@pytest.mark.parametrize("data", [{}, {"clientOid": ""}, {"orderId": ""}, "maybe", None, []])
def test_an_answer_that_names_no_order_proves_nothing(data: object) -> None:
    assert MARGIN.proof(answer(data), BTC.id).proof is Proof.UNKNOWN


def test_an_order_is_read_as_one_of_spot() -> None:
    told = {
        "id": "671667306afcdb000723107f", "clientOid": ID, "symbol": "BTC-USDT", "opType": "DEAL",
        "type": "limit", "side": "buy", "price": "50000", "size": "0.00001", "funds": "0.5", "dealSize": "0",
        "dealFunds": "0", "remainSize": "0.00001", "cancelledSize": "0", "fee": "0", "feeCurrency": "USDT",
        "stp": None, "timeInForce": "GTC", "tradeType": "MARGIN_TRADE", "inOrderBook": True, "active": True,
        "createdAt": 1729521456248, "lastUpdatedAt": 1729651011877,
    }  # fmt: skip

    expected = OrderReport(
        ID, "671667306afcdb000723107f", BTC.id, OrderState.OPEN, Side.BUY, D("0.00001"), D(0),
        1729651011877 * MS_NS, D(50000), created=1729521456248 * MS_NS,
    )  # fmt: skip
    assert MARGIN.found(answer(told), BTC.id) == expected
    assert MARGIN.read_orders(answer([told])) == [expected]


def test_an_execution_is_read_as_one_of_spot() -> None:
    fill = {
        "id": 137891621991, "symbol": "BTC-USDT", "tradeId": 11040911994273793,
        "orderId": "671868085584bc0007d85f46", "side": "buy", "liquidity": "taker", "forceTaker": False,
        "price": "67141.6", "size": "0.00001", "funds": "0.671416", "fee": "0.000671416", "feeRate": "0.001",
        "feeCurrency": "USDT", "stop": "", "tradeType": "MARGIN_TRADE", "tax": "0", "taxRate": "0",
        "type": "limit", "createdAt": 1729652744998,
    }  # fmt: skip

    (found,) = MARGIN.read_executions(answer({"items": [fill], "lastId": 137891621991}), BTC.id).executions

    assert (found.id, found.venue_id, found.price, found.quantity, found.fee, found.fee_asset, found.ts) == (
        "11040911994273793", "671868085584bc0007d85f46", D("67141.6"), D("0.00001"), D("0.000671416"), "USDT",
        1729652744998 * MS_NS,
    )  # fmt: skip


@pytest.mark.parametrize("code", sorted(OF_MARGIN))
def test_what_the_margin_interface_turns_away_is_refused(code: str) -> None:
    assert MARGIN.proof(no(code), BTC.id).proof is Proof.REFUSED


@pytest.mark.parametrize("code", ["126000", "126013", "126036", "130310", "130202", "500000"])
def test_what_no_page_explains_proves_nothing(code: str) -> None:
    assert MARGIN.proof(no(code), BTC.id).proof is Proof.UNKNOWN


def test_an_order_that_the_margin_interface_does_not_know_is_absent_by_its_words() -> None:
    assert MARGIN.found(no("126043", "Order does not exist"), BTC.id) is None


# --- what the account has and owes


def account(ratio: str = "0", status: str = "EFFECTIVE", **change: str) -> Answer:
    row = {
        "currency": "USDT", "total": "38.68855864", "available": "20.01916691", "hold": "18.66939173",
        "liability": "0", "liabilityPrincipal": "0", "liabilityInterest": "0", "maxBorrowSize": "163",
        "borrowEnabled": True, "transferInEnabled": True,
    }  # fmt: skip
    nothing = row | dict.fromkeys(("total", "available", "hold"), "0") | {"currency": "ETH"}
    told = {"totalAssetOfQuoteCurrency": "40.8648372", "totalLiabilityOfQuoteCurrency": "0"}
    return answer({**told, "debtRatio": ratio, "status": status, "accounts": [row | change, nothing]})


def test_what_is_owed_is_told_with_what_there_is() -> None:
    has, free = D("38.68855864"), D("20.01916691")

    assert MARGIN.read_funds(account()) == [Funds("USDT", has, free)]
    assert MARGIN.read_funds(account(liability="10.0001")) == [Funds("USDT", has, free, D("10.0001"))]
    grown = MARGIN.read_funds(account(liability="10.0001", liabilityInterest="0.0001"))
    assert grown == [Funds("USDT", has, free, D("10.0001"), D("0.0001"))]
    all_spent = MARGIN.read_funds(account(total="0", available="0", liability="10"))
    assert all_spent == [Funds("USDT", D(0), D(0), D(10))]


@pytest.mark.parametrize(
    "change", [{"liability": "-1"}, {"liabilityInterest": "-1"}, {"total": "NaN"}, {"available": "much"}]
)
def test_what_cannot_be_owed_is_no_answer(change: dict[str, str]) -> None:
    with pytest.raises(VenueError):
        MARGIN.read_funds(account(**change))


def test_an_error_that_is_told_with_200_is_no_answer_to_the_question_for_balances() -> None:
    for told in (no("400007"), no("500000"), account()._replace(status=502)):
        with pytest.raises(VenueError):
            MARGIN.read_funds(told)
        with pytest.raises(VenueError):
            strain_of(told)


@pytest.mark.parametrize(
    ("ratio", "status", "said"),
    [
        ("0", "EFFECTIVE", ""),
        ("0.7999", "EFFECTIVE", ""),
        ("0.5", "BORROW", ""),
        ("0.5", "REPAY", ""),
        ("0.8", "EFFECTIVE", "the debt ratio is 0.8"),
        ("0.9500", "EFFECTIVE", "the debt ratio is 0.95"),
        ("1.2", "EFFECTIVE", "the debt ratio is 1.2"),
        ("0.5", "LIQUIDATION", "its status is LIQUIDATION"),
        ("0", "BANKRUPTCY", "its status is BANKRUPTCY"),
    ],
)
def test_a_high_debt_ratio_is_a_reason_to_risk_nothing_new(ratio: str, status: str, said: str) -> None:
    strain = strain_of(account(ratio, status))

    assert said in strain
    assert bool(said) is bool(strain)


@pytest.mark.parametrize("ratio", ["-1", "NaN", "high"])
def test_an_account_without_a_ratio_that_can_be_read_is_no_answer(ratio: str) -> None:
    with pytest.raises(VenueError):
        strain_of(account(ratio))


# --- loans


def test_a_loan_is_asked_for_whole_or_not_at_all_and_each_change_in_the_account_that_trades() -> None:
    borrow, repay = LENDER.borrow("USDT", D("10.00")), LENDER.repay("USDT", D(10))
    asked = {"currency": "USDT", "size": "10", "isIsolated": False, "isHf": True}

    assert (borrow.section, borrow.method, borrow.path) == (("private",), "POST", "margin/borrow")
    assert borrow.params == asked | {"timeInForce": "FOK"}
    assert (repay.section, repay.method, repay.path) == (("private",), "POST", "margin/repay")
    assert repay.params == asked
    assert repay.is_urgent


LENT = {"orderNo": "67187162c0d6990007717b15", "actualSize": "10"}
GIVEN_BACK = {"timestamp": 1729655606816, "orderNo": "671873361d5bd400075096ad", "actualSize": "10"}


@pytest.mark.parametrize(
    ("told", "proof"),
    [
        (answer(LENT), Proof.DONE),
        (answer(GIVEN_BACK), Proof.DONE),
        (answer(LENT | {"actualSize": 10.0}), Proof.DONE),
        (answer(LENT | {"actualSize": "9.9"}), Proof.UNKNOWN),
        (answer(LENT | {"actualSize": "0"}), Proof.UNKNOWN),
        (answer(LENT | {"actualSize": "NaN"}), Proof.UNKNOWN),
        (answer(LENT | {"orderNo": ""}), Proof.UNKNOWN),
        (answer({}), Proof.UNKNOWN),
        (answer(None), Proof.UNKNOWN),
        (answer(LENT, 502), Proof.UNKNOWN),
        (Answer(200, {}, b"<html>all is well</html>"), Proof.UNKNOWN),
        (Answer(404, {}, b"404 page not found"), Proof.UNKNOWN),
        (no("400002"), Proof.LATE),
        (
            no("130202", "The system is renewing the loan automatically. Please try again later"),
            Proof.UNKNOWN,
        ),
        (no("500000"), Proof.UNKNOWN),
        (no("126000"), Proof.UNKNOWN),
        *((no(code), Proof.REFUSED) for code in sorted(OF_LOANS)),
        *((no(code), Proof.REFUSED) for code in ("210014", "210021", "130203", "400007", "429000")),
    ],
)
def test_only_what_is_on_the_list_proves_anything_of_a_loan(told: Answer, proof: Proof) -> None:
    assert LENDER.proof(told._replace(told=D(10))).proof is proof


def test_what_refuses_a_loan_refuses_no_order() -> None:
    assert OF_LOANS.isdisjoint(REFUSALS)
    for code in OF_LOANS:
        assert MARGIN.proof(no(code), BTC.id).proof is Proof.UNKNOWN


def hour(at: int, amount: str = "0.00000001", asset: str = "USDT") -> dict[str, Any]:
    return {"currency": asset, "dayRatio": "0.000296", "interestAmount": amount, "createdTime": at}


def charged(*rows: dict[str, Any], pages: int = 1, told: object = None) -> Answer:
    head = {"timestamp": 1729665170701, "currentPage": 1, "pageSize": 500, "totalNum": 3}
    return answer({**head, "totalPage": pages, "items": list(rows)}, told=told)


def test_interest_is_read_oldest_first_under_its_moment() -> None:
    page = LENDER.read_interest(charged(hour(1729663213375), hour(1729659618802, "0.5")))

    assert page.moved == (
        Moved("USDT", D("-0.5"), 1729659618802 * MS_NS, "interest", "1729659618802"),
        Moved("USDT", D("-0.00000001"), 1729663213375 * MS_NS, "interest", "1729663213375"),
    )
    assert page.more is None


def test_rows_of_one_moment_are_added_up_for_each_asset() -> None:
    page = LENDER.read_interest(charged(hour(7, "0.5"), hour(7, "0.25"), hour(7, "1", "BTC")))

    assert [(each.asset, each.amount, each.id) for each in page.moved] == [
        ("BTC", D(-1), "7"),
        ("USDT", D("-0.75"), "7"),
    ]


def test_a_page_of_interest_leads_to_the_next_and_the_last_one_does_not() -> None:
    call = LENDER.interest(TS)

    following = LENDER.read_interest(charged(hour(7), pages=2, told=call.told)).following(call)

    assert (call.params["startTime"], call.params["isIsolated"]) == (TS // MS_NS, "false")
    assert following is not None
    assert following.params == {**call.params, "currentPage": 2}
    last = charged(hour(7), pages=2, told=following.told)
    assert LENDER.read_interest(last).following(following) is None


@pytest.mark.parametrize(
    "told",
    [
        charged(hour(7, "-1")),
        charged(hour(7, "NaN")),
        charged(hour(7, asset="")),
        charged(hour(7) | {"createdTime": "soon"}),
        answer({"items": {}, "totalPage": 1}),
        no("400007"),
        charged()._replace(status=502),
        Answer(200, {}, b"<html>"),
    ],
)
def test_what_is_no_answer_to_the_question_for_interest_is_none(told: Answer) -> None:
    with pytest.raises(VenueError):
        LENDER.read_interest(told)


# --- the stream


def said(topic: str, data: dict[str, Any]) -> object:
    assert MARGIN.stream is not None
    return MARGIN.stream.hear(json.dumps({"topic": topic, "type": "message", "data": data}))


@pytest.mark.parametrize(
    ("event", "is_looked_at"),
    [
        ("marginV2.transfer", True),
        ("marginV2.other", True),
        ("marginV2.hold", False),
        ("marginV2.setted", False),
        ("margin.transfer", False),
        ("isolatedV2_BTC-USDT.transfer", False),
        ("trade_hf.transfer", False),
        ("main.deposit", False),
    ],
)
def test_money_that_moves_is_looked_at_and_never_booked_from_the_stream(
    event: str, is_looked_at: bool
) -> None:
    told = {
        "accountId": "548674591753", "currency": "USDT", "total": "21.133773386762",
        "available": "20.132773386762", "hold": "1.001", "availableChange": "-0.5005", "holdChange": "0.5005",
        "relationEvent": event, "relationEventId": "354689988084000", "time": "1730269283892",
    }  # fmt: skip

    assert said("/account/balance", told) == ((Hint("exposure"),) if is_looked_at else (Alive(),))


def test_money_that_cannot_be_read_is_dropped() -> None:
    told = {"currency": "", "total": "1", "available": "1", "relationEvent": "marginV2.other"}

    assert isinstance(said("/account/balance", told)[0], Dropped)  # type: ignore[index]


def test_orders_are_heard_of_as_those_of_spot() -> None:
    told = {
        "clientOid": ID, "orderId": "6720da3fa30a360007f5f832", "orderTime": 1730206271588,
        "orderType": "market", "originSize": "0.00001", "side": "buy", "status": "new", "symbol": "BTC-USDT",
        "ts": 1730206271616000000, "type": "received",
    }  # fmt: skip

    assert said("/spotMarket/tradeOrdersV2", told) == (
        OrderReport(
            ID, "6720da3fa30a360007f5f832", BTC.id, OrderState.OPEN, Side.BUY, D("0.00001"), D(0),
            1730206271616000000, created=1730206271588 * MS_NS,
        ),
    )  # fmt: skip
    assert MARGIN.stream is not None
    login = MARGIN.stream.hear('{"id":"/spotMarket/tradeOrdersV2","type":"ack"}')
    assert [type(each) for each in login] == [Answered]


def test_nothing_that_is_said_of_spot_alone_is_taken_for_margin() -> None:
    assert MARGIN.countdown is None
    assert MARGIN.capability.dead_man == ""
    assert KuCoinAccount([BTC]).countdown is not None
