"""What Bybit's errors prove of a change: {"retCode": 170131, "retMsg": "Insufficient balance."}."""

import msgspec

from abidance.venues.account import Proof, Reply
from abidance.venues.frames import reader
from abidance.venues.net.transport import Answer
from abidance.venues.refusals import by_code, judged

_ABSENT = frozenset({110001, 110008, 110010, 170139, 170142, 170143, 170190, 170213})
"""No such order, or it has ended: what became of it must be asked."""
_LIVE = frozenset({110072, 170141})
_LATE = frozenset({10002})
REFUSALS = frozenset(
    (10001, 10003, 10004, 10005, 10006, 10007, 10009, 10010, 10017, 10024, 10027, 10028, 10029, 33004, 100028,
     110003, 110004, 110006, 110007, 110009, 110011, 110012, 110014, 110017, 110018, 110019, 110020, 110021,
     110022, 110023, 110032, 110040, 110042, 110044, 110045, 110049, 110050, 110051, 110052, 110053, 110057,
     110063, 110064, 110066, 110068, 110069, 110070, 110074, 110080, 110085, 110086, 110087, 110088, 110089,
     110090, 110092, 110093, 110094, 110095, 110098, 110103, 110118, 110119, 110120, 110121, 170005, 170010,
     170011, 170031, 170033, 170034, 170036, 170037, 170105, 170115, 170116, 170117, 170121, 170124, 170130,
     170131, 170132, 170133, 170134, 170136, 170137, 170140, 170145, 170148, 170151, 170157, 170159, 170192,
     170193, 170194, 170201, 170202, 170203, 170204, 170206, 170210, 170217, 170218, 170219, 170221, 170222,
     170224, 170227, 170228, 170229, 170312, 170313, 170341, 170344, 170346, 170371, 170372, 170381, 170382,
     170810)
)  # fmt: skip
"""Codes that prove that what was asked for was turned away. Not among them: time-outs (10000, 170007, 170146, 170147),
errors of the server (10016, 170001, 170032, 170149, 170150, 170234), and what may have been done (10014, 170035)."""

OF_LOANS = frozenset(
    (10001, 10003, 10004, 10005, 10006, 10007, 10009, 10010, 10017, 10018, 10024, 10027, 10028, 10029, 176007, 176008,
     176009, 176010, 176011, 176012, 176013, 176015, 176016, 176017, 176022, 176023, 176024, 176025, 176026, 176027,
     176028, 176029, 176031, 176037)
)  # fmt: skip
"""The same of loans. Not among them: what may hide that it was done or is being done (176005 and 176006, which say that
it failed and not why; 176014 and 176021, that it was asked before; 176018 and 176019)."""


class Error(msgspec.Struct, rename={"code": "retCode", "msg": "retMsg"}):
    """What every answer of Bybit begins with; 0 is no error."""

    code: int
    msg: str = ""


_read_error = reader(Error)
_proof = by_code({Proof.REFUSED: REFUSALS, Proof.ABSENT: _ABSENT, Proof.LIVE: _LIVE, Proof.LATE: _LATE})
_proof_of_loan = by_code({Proof.REFUSED: OF_LOANS, Proof.LATE: _LATE})


def refusal(answer: Answer) -> Reply:
    """Return what an answer that is an error proves."""
    return judged(answer, _read_error, _proof)


def refusal_of_loan(answer: Answer) -> Reply:
    """Return what an answer to a loan or a repayment that is an error proves."""
    return judged(answer, _read_error, _proof_of_loan)
