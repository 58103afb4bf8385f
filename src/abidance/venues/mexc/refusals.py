"""What MEXC's errors prove about a change that was asked for: {"code": 10101, "msg": "Insufficient balance"}."""

import msgspec

from abidance.venues.account import Proof, Reply
from abidance.venues.frames import reader
from abidance.venues.net.transport import Answer
from abidance.venues.refusals import by_code, judged

_ABSENT = frozenset({-2011, -2013})
_LATE = frozenset({700003, 10073})
REFUSALS = frozenset(
    (-1121, -1128, 400, 401, 402, 403, 406, 429, 602, 10007, 10072, 10095, 10096, 10097, 10101, 10102, 30000, 30001,
     30002, 30003, 30004, 30005, 30010, 30014, 30016, 30018, 30019, 30020, 30021, 30025, 30027, 30028, 30029, 30032,
     30041, 33333, 44444, 70011, 700001, 700002, 700004, 700005, 700006, 700007, 700008)
)  # fmt: skip
"""Codes that prove that a request was turned away before an order was made of it."""


class Error(msgspec.Struct):
    """An error as MEXC tells it."""

    code: int
    msg: str = ""


_read_error = reader(Error)
_proof = by_code({Proof.ABSENT: _ABSENT, Proof.LATE: _LATE, Proof.REFUSED: REFUSALS})


def refusal(answer: Answer) -> Reply:
    """Return what an answer that is an error proves."""
    return judged(answer, _read_error, _proof)
