"""What an answer shows of the venue that gave it, whatever was asked."""

import pytest

from abidance.model.instrument import InstrumentKind
from abidance.risk.circuits import Sign
from abidance.venues.accounts import account_of
from abidance.venues.net.transport import Answer
from abidance.venues.trading.signs import sign_of

FINE = b'{"retCode":0,"retMsg":"OK","result":{"list":[]},"error":[]}'


@pytest.mark.parametrize(
    ("status", "body", "sign"),
    [
        (200, FINE, Sign.ANSWERED),
        (400, b'{"code":-1121,"msg":"Invalid symbol."}', Sign.ANSWERED),
        (429, b'{"code":-1003,"msg":"Too many requests."}', Sign.LIMITED),
        (418, b"", Sign.BANNED),
        (403, b"access too frequent", Sign.BANNED),
        (503, b"{}", Sign.FAILED),
        (200, b" <html><head><title>502</title>", Sign.FAILED),
    ],
)
def test_the_status_says_what_is_wrong(status: int, body: bytes, sign: Sign) -> None:
    assert sign_of(Answer(status, {}, body)) is sign


@pytest.mark.parametrize(
    ("venue", "body"),
    [
        ("BYBIT", b'{"retCode":10006,"retMsg":"Too many visits. Exceeded the API Rate Limit.","result":{}}'),
        ("KRAKEN", b'{"error":["EAPI:Rate limit exceeded"]}'),
        ("KRAKEN", b'{"error":["EGeneral:Too many requests"]}'),
        ("KRAKEN", b'{"error":["EService: Throttled: 1720000000"]}'),
    ],
)
def test_a_limit_that_is_told_in_the_body_alone_counts_as_one(venue: str, body: bytes) -> None:
    words = account_of(venue, InstrumentKind.SPOT, []).too_often

    assert sign_of(Answer(200, {}, body), words) is Sign.LIMITED
    assert sign_of(Answer(200, {}, FINE), words) is Sign.ANSWERED
