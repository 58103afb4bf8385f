"""What KuCoin's errors prove of a change: {"code": "200004", "msg": "Balance insufficient!"}."""

import msgspec

from abidance.venues.account import Proof, Reply
from abidance.venues.frames import reader
from abidance.venues.net.transport import Answer
from abidance.venues.refusals import judged

DONE = "200000"
_PARAMETER = "400100"
"""Said of many things: what it proves is in the text."""
_LATE = frozenset({"400002"})
_ABSENT = frozenset({"100001", "130103", "130108"})
_ABSENT_TEXTS = frozenset(
    {"order not exist or not allow to be cancelled", "the order does not exist", "order does not exist", "order not exist", "order_not_exist",
     "order_not_exist_or_not_allow_to_cancel"}
)  # fmt: skip
REFUSALS = frozenset(
    ("400", "401", "403", "404", "405", "415", "429", "101030", "103000", "112010", "130105", "130203", "130301",
     "130302", "130308", "130309", "130311", "130312", "130313", "130314", "200001", "200003", "200004", "200009", "210014", "210021", "230003",
     "230005", "300003", "300009", "300011", "300012", "330005", "330008", "330012", "400000", "400001", "400003",
     "400004", "400005", "400006", "400007", "400008", "400200", "400303", "400330", "400350", "400370", "400400",
     "400401", "400500", "400600", "400760", "404000", "411100", "415000", "429000", "600100", "600101", "900001",
     "900014")
)  # fmt: skip
"""Codes that prove that what was asked for was turned away. Not among them: errors of the server (500, 503, 500000),
time-outs (408000), and those of which nothing says when they come (126000 and on, 300000, 401000)."""

OF_MARGIN = frozenset({"130304", "130305", "130306", "130307"})
"""The same of orders of the margin account: the pair is not traded there, or the account is not open."""
OF_LOANS = frozenset({"130201", "130204"})
"""Codes that prove the same of a loan or a repayment: the account may not, and KuCoin lends nothing more just now. Not
among them: that it renews a loan itself (130202)."""


class Error(msgspec.Struct):
    """What every answer of KuCoin begins with; 200000 is no error."""

    code: str
    msg: str = ""


_read_error = reader(Error)


def refusal(answer: Answer) -> Reply:
    """Return what an answer that is an error proves."""
    return judged(answer, _read_error, _proof)


def refusal_of_loan(answer: Answer) -> Reply:
    """Return what an answer to a loan or a repayment that is an error proves."""
    return judged(answer, _read_error, _proof_of_loan)


def _proof_of_loan(error: Error) -> Proof:
    return Proof.REFUSED if error.code in OF_LOANS else _proof(error)


def _proof(error: Error) -> Proof:
    if error.code == DONE:
        return Proof.UNKNOWN
    told = error.msg.strip().rstrip(".").lower()
    if error.code in _ABSENT or told in _ABSENT_TEXTS:
        return Proof.ABSENT
    if error.code in _LATE:
        return Proof.LATE
    if error.code == _PARAMETER:
        return Proof.LIVE if "clientoid" in told else Proof.REFUSED
    return Proof.REFUSED if error.code in REFUSALS | OF_MARGIN else Proof.UNKNOWN
