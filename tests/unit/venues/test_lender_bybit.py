"""What is asked of Bybit for a loan, and what its answers prove; the payloads are those of its documents."""

import json
from typing import Any

import pytest

from abidance.market.reference import instrument
from abidance.model.errors import VenueError
from abidance.model.instrument import MS_NS, InstrumentKind
from abidance.venues.account import Funds, Moved, Proof
from abidance.venues.accounts import ACCOUNTS, account_of
from abidance.venues.bybit.lender import BybitLender
from abidance.venues.net.transport import Answer
from tests.unit.venues.trading_world import D

LENDER = BybitLender()
HOUR = {
    "borrowAmount": "1.06333265702840778", "costExemption": "0", "freeBorrowedAmount": "0",
    "createdTime": 1697439900204, "InterestBearingBorrowSize": "1.06333265702840778", "currency": "BTC",
    "unrealisedLoss": "0", "hourlyBorrowRate": "0.000001216904", "borrowCost": "0.00000129",
}  # fmt: skip


def answer(result: object, code: int = 0, status: int = 200, text: str = "OK") -> Answer:
    body = {"retCode": code, "retMsg": text, "result": result, "retExtInfo": {}, "time": 1756197991955}
    return Answer(status, {}, json.dumps(body).encode())


def test_a_loan_and_its_repayment_are_asked_for_as_the_documents_say() -> None:
    borrow, repay = LENDER.borrow("BTC", D("0.010")), LENDER.repay("BTC", D("1E-2"))

    assert (borrow.method, borrow.path, borrow.params) == (
        "POST", "v5/account/borrow", {"coin": "BTC", "amount": "0.01"},
    )  # fmt: skip
    assert (repay.method, repay.path, repay.params) == (
        "POST", "v5/account/no-convert-repay", {"coin": "BTC", "amount": "0.01"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("told", "proof"),
    [
        (answer({"coin": "BTC", "amount": "0.01"}), Proof.DONE),
        (answer({"resultStatus": "SU"}), Proof.DONE),
        (answer({"resultStatus": "FA"}), Proof.REFUSED),
        (answer({"resultStatus": "P"}), Proof.DONE),
        (answer({"resultStatus": "new word"}), Proof.UNKNOWN),
        (answer({}), Proof.UNKNOWN),
        (answer([]), Proof.UNKNOWN),
        (answer({}, 176029, text="exceeded"), Proof.REFUSED),
        (answer({}, 176017, text="more than is owed"), Proof.REFUSED),
        (answer({}, 10005, text="Permission denied"), Proof.REFUSED),
        (answer({}, 10002, text="timestamp"), Proof.LATE),
        (answer({}, 176005, text="Failed to borrow"), Proof.UNKNOWN),
        (answer({}, 176006, text="Repayment Failed"), Proof.UNKNOWN),
        (answer({}, 176021, text="Repeated"), Proof.UNKNOWN),
        (answer({}, 10016, text="server error"), Proof.UNKNOWN),
        (answer({}, 987654, text="never heard of"), Proof.UNKNOWN),
        (answer({"coin": "BTC", "amount": "0.01"}, status=502), Proof.UNKNOWN),
        (Answer(200, {}, b"<html>all is well</html>"), Proof.UNKNOWN),
        (Answer(404, {}, b"404 page not found"), Proof.UNKNOWN),
        (Answer(200, {}, b'{"retCode":0,"result":{"coin":"BT'), Proof.UNKNOWN),
    ],
)
def test_only_what_is_on_the_list_proves_anything(told: Answer, proof: Proof) -> None:
    assert LENDER.proof(told).proof is proof


def test_interest_is_read_oldest_first_with_the_venues_own_hour() -> None:
    later = HOUR | {"createdTime": 1697443500204, "borrowCost": "0.0000013"}

    page = LENDER.read_interest(answer({"list": [later, HOUR], "nextPageCursor": "2671153%3A1"}))

    assert page.onward == {"cursor": "2671153%3A1"}
    assert page.moved == (
        Moved("BTC", D("-0.00000129"), 1697439900204 * MS_NS, "interest", "1697439900204"),
        Moved("BTC", D("-0.0000013"), 1697443500204 * MS_NS, "interest", "1697443500204"),
    )


def test_the_last_page_of_interest_leads_nowhere() -> None:
    assert LENDER.read_interest(answer({"list": [], "nextPageCursor": "again"})).onward == {}


@pytest.mark.parametrize(
    "told",
    [
        answer({"list": [HOUR | {"borrowCost": "-1"}]}),
        answer({"list": [HOUR | {"borrowCost": "NaN"}]}),
        answer({"list": [HOUR | {"currency": ""}]}),
        answer({"list": [HOUR | {"createdTime": "soon"}]}),
        answer({"list": {}}),
        answer({}, 10016),
        answer({"list": []}, status=502),
        Answer(200, {}, b"<html>"),
    ],
)
def test_what_is_no_answer_to_the_question_for_interest_is_none(told: Answer) -> None:
    with pytest.raises(VenueError):
        LENDER.read_interest(told)


def wallet(**more: object) -> list[Funds]:
    row: dict[str, Any] = {
        "coin": "USDT",
        "walletBalance": "1500",
        "locked": "200",
        "accruedInterest": "0.02",
    }
    account = account_of("BYBIT", InstrumentKind.SPOT, [instrument("BTC/USDT@BYBIT")])
    told = {"list": [{"accountType": "UNIFIED", "coin": [row | more]}]}
    return list(account.read_funds(answer(told)))


def test_what_was_lent_is_in_the_wallet_and_what_is_owed_beside_it() -> None:
    assert wallet(spotBorrow="500.5") == [Funds("USDT", D(1500), D(1300), D("500.5"))]
    assert wallet(spotBorrow="") == wallet() == [Funds("USDT", D(1500), D(1300))]
    assert wallet(walletBalance="0", locked="0", spotBorrow="7") == [Funds("USDT", D(0), D(0), D(7))]


@pytest.mark.parametrize("wrong", ["-1", "NaN", "much"])
def test_a_debt_that_is_no_amount_is_no_answer(wrong: str) -> None:
    with pytest.raises(VenueError):
        wallet(spotBorrow=wrong)


def test_loans_are_asked_for_where_spot_is_paid_from_the_wallet_that_is_lent_to() -> None:
    lenders = {key for key, made in ACCOUNTS.items() if made([]).lender is not None}

    assert lenders == {("BYBIT", InstrumentKind.SPOT)}
