"""What Kraken's errors prove about a change that was asked for.

Kraken answers 200 with a list of texts: {"error": ["EOrder:Insufficient funds"]}. A W instead of the E is a warning.
"""

from collections.abc import Sequence

import msgspec

from abidance.venues.account import Proof, Reply
from abidance.venues.frames import UNREADABLE, plain, reader
from abidance.venues.net.transport import Answer

_ABSENT = "EOrder:Unknown order"
LATE = "EAPI:Invalid nonce"
REFUSALS = frozenset(
    (
        "EAPI:Bad request",
        "EAPI:Feature disabled",
        "EAPI:Invalid key",
        "EAPI:Invalid signature",
        "EAPI:Rate limit exceeded",
        "EGeneral:Invalid arguments",
        "EGeneral:Permission denied",
        "EGeneral:Temporary lockout",
        "EGeneral:Too many requests",
        "EGeneral:Unknown Method",
        "EOrder:Cost minimum not met",
        "EOrder:Insufficient funds",
        "EOrder:Invalid price",
        "EOrder:Order minimum not met",
        "EOrder:Orders limit exceeded",
        "EOrder:Rate limit exceeded",
        "EOrder:Tick size check failed",
        "EQuery:Invalid asset pair",
        "EQuery:Unknown asset pair",
        "EService:Market in cancel_only mode",
        "EService:Market in post_only mode",
        "ETrade:Locked",
        "ETrade:User Locked",
    )
)
"""Texts, or their beginnings before another colon, that prove that a request never reached the matching engine.

`EService:Deadline elapsed`, `EService:Busy`, `EService:Unavailable` and internal errors are none of them: whether the
order came before is not said.
"""


class Errors(msgspec.Struct):
    """An answer as far as its errors go."""

    error: list[str]

    @property
    def real(self) -> Sequence[str]:
        """Return the errors without the warnings."""
        return [each for each in self.error if not each.startswith("W")]


_read_errors = reader(Errors)


def refusal(answer: Answer) -> Reply | None:
    """Return what an answer proves by its errors, None when it has none."""
    try:
        errors = _read_errors(answer.body).real
    except UNREADABLE:
        return Reply(Proof.UNKNOWN, f"HTTP {answer.status}")
    text = "; ".join(plain(each) for each in errors) or f"HTTP {answer.status}"
    if answer.status >= 500:
        return Reply(Proof.UNKNOWN, text)
    if not errors:
        return None if answer.status == 200 else Reply(Proof.UNKNOWN, text)
    for proof, proves in (
        (Proof.ABSENT, lambda each: each == _ABSENT),
        (Proof.LATE, lambda each: each == LATE),
        (Proof.REFUSED, _is_refusal),
    ):
        if all(proves(each) for each in errors):
            return Reply(proof, text)
    return Reply(Proof.UNKNOWN, text)


def _is_refusal(text: str) -> bool:
    return text in REFUSALS or ":".join(text.split(":")[:2]) in REFUSALS
