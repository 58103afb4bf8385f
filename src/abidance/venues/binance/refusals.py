"""What Binance's errors prove about a change that was asked for, on spot and on USD-M."""

import msgspec

from abidance.venues.account import Proof, Reply
from abidance.venues.frames import reader
from abidance.venues.net.transport import Answer
from abidance.venues.refusals import by_code, judged

_ABSENT = frozenset({-2013, -2026})
REFUSALS = frozenset(
    (-1002, -1003, -1013, -1014, -1015, -1020, -1022, -1100, -1101, -1102, -1103, -1104, -1105, -1106, -1108,
     -1111, -1112, -1114, -1115, -1116, -1117, -1118, -1119, -1121, -1122, -1128, -1130, -1134, -1135, -1145,
     -1220, -2014, -2015, -2016, -2039)
)  # fmt: skip
"""Codes that prove that a request never reached the matching engine."""
CONTRACT_REFUSALS = frozenset(
    (-1002, -1003, -1013, -1014, -1015, -1020, -1022, -1100, -1101, -1102, -1103, -1104, -1105, -1106, -1108,
     -1111, -1112, -1114, -1115, -1116, -1117, -1118, -1119, -1121, -1122, -1128, -1130, -1136, -2014, -2015,
     -2016, -2017, -2018, -2019, -2020, -2021, -2022, -2023, -2024, -2025, -2026, -2027, -2028, -4001, -4002,
     -4003, -4004, -4005, -4006, -4007, -4013, -4014, -4015, -4016, -4022, -4023, -4024, -4031, -4045, -4046,
     -4047, -4048, -4060, -4061, -4062, -4087, -4088, -4109, -4118, -4120, -4131, -4137, -4138, -4139, -4140,
     -4141, -4142, -4164, -4184, -4192, -4210, -4211, -4400, -4401, -4402, -5021, -5022, -5025, -5037, -5038,
     -5039, -5040, -5041)
)  # fmt: skip
"""Codes of USD-M that prove that what was asked for was turned away. Not among them: time-outs and errors of the server
(-1000, -1001, -1006, -1007, -1008, -1016), and what may have been done (-1010, -2012, -4117, -5043)."""
OF_MARGIN = frozenset(
    (-3002, -3003, -3004, -3021, -3022, -3023, -3026, -3027, -3028, -3041, -3042, -3064, -3067, -20204)
)
"""Codes of the margin interface that prove the same of an order there: it was turned away before the matching engine.
Not among them: what may be over in a moment (-3037, -3044)."""
OF_LOANS = frozenset(
    (
        -3002,
        -3003,
        -3006,
        -3008,
        -3010,
        -3012,
        -3013,
        -3014,
        -3015,
        -3016,
        -3024,
        -3026,
        -3027,
        -3036,
        -3041,
        -3045,
    )
)
"""The same of loans and repayments. Not among them: that another one is under way (-3007), which may be our own."""
NOT_TAKEN = (
    "Market is closed.",
    "Account has insufficient balance for requested action.",
    "Market orders are not supported for this symbol.",
    "Iceberg orders are not supported for this symbol.",
    "Stop loss orders are not supported for this symbol.",
    "Stop loss limit orders are not supported for this symbol.",
    "Take profit orders are not supported for this symbol.",
    "Take profit limit orders are not supported for this symbol.",
    "Order amend is not supported for this symbol.",
    "Price * QTY is zero or less.",
    "IcebergQty exceeds QTY.",
    "This action is disabled on this account.",
    "This account may not place or cancel orders.",
    "Unsupported order combination",
    "Order would trigger immediately.",
    "Cancel order is invalid. Check origClOrdId and orderId.",
    "Order would immediately match and take.",
    "The relationship of the prices for the orders is not correct.",
    "OCO orders are not supported for this symbol",
    "Quote order qty market orders are not support for this symbol.",
    "Trailing stop orders are not supported for this symbol.",
    "Order cancel-replace is not supported for this symbol.",
    "This symbol is not permitted for this account.",
    "This symbol is restricted for this account.",
    "Order was not canceled due to cancel restrictions.",
    "Rest API trading is not enabled.",
    "WebSocket API trading is not enabled.",
    "Order book liquidity is less than LOT_SIZE filter minimum quantity.",
    "Order book liquidity is less than MARKET_LOT_SIZE filter minimum quantity.",
    "Order book liquidity is less than symbol minimum quantity.",
)
"""What Binance says besides -2010 and -2011 when it took no order; another text proves nothing."""
FILTERS = frozenset(
    f"Filter failure: {name}"
    for name in (
        "PRICE_FILTER", "PERCENT_PRICE", "PERCENT_PRICE_BY_SIDE", "LOT_SIZE", "MARKET_LOT_SIZE", "MIN_NOTIONAL", "NOTIONAL",
        "ICEBERG_PARTS", "MAX_POSITION", "TRAILING_DELTA", "MAX_NUM_ORDERS", "MAX_NUM_ALGO_ORDERS", "MAX_ALGO_ORDERS",
        "MAX_NUM_ICEBERG_ORDERS", "EXCHANGE_MAX_NUM_ORDERS", "EXCHANGE_MAX_NUM_ALGO_ORDERS", "EXCHANGE_MAX_ALGO_ORDERS",
        "EXCHANGE_MAX_NUM_ICEBERG_ORDERS",
    )
)  # fmt: skip
"""Rules of a market that an order does not keep. Those that only the matching engine can judge, as how many orders are
open, come with -2010, the others with -1013."""


class Error(msgspec.Struct):
    """An error as Binance tells it, over REST and WebSockets."""

    code: int
    msg: str = ""


_read_error = reader(Error)
_contract_proof = by_code(
    {
        Proof.ABSENT: (-2011, -2013),
        Proof.LIVE: (-4116,),
        Proof.LATE: (-1021, -5028),
        Proof.REFUSED: CONTRACT_REFUSALS,
    }
)
_proof_of_loan = by_code({Proof.LATE: (-1021,), Proof.REFUSED: REFUSALS | OF_LOANS})


def contract_refusal(answer: Answer) -> Reply:
    """Return what an answer of USD-M other than 200 proves; some codes mean another thing than on spot."""
    return judged(answer, _read_error, _contract_proof)


def refusal(answer: Answer) -> Reply:
    """Return what an answer of spot other than 200 proves."""
    return judged(answer, _read_error, _proof)


def refusal_of_loan(answer: Answer) -> Reply:
    """Return what an answer to a loan or a repayment other than 200 proves."""
    return judged(answer, _read_error, _proof_of_loan)


def _proof(error: Error) -> Proof:
    code, text = error.code, error.msg
    if code in _ABSENT or (code, text) == (-2011, "Unknown order sent."):
        return Proof.ABSENT
    if (code, text) == (-2010, "Duplicate order sent."):
        return Proof.LIVE
    if code == -1021:
        return Proof.LATE
    is_refused = code in REFUSALS | OF_MARGIN or (code in (-2010, -2011) and text in NOT_TAKEN)
    is_refused |= code == -2010 and text in FILTERS
    return Proof.REFUSED if is_refused else Proof.UNKNOWN
