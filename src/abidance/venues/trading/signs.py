"""What an answer shows of the venue that gave it, whatever was asked: the signs by which circuits open and close."""

from collections.abc import Callable

from abidance.model.order import OrderRequest
from abidance.risk.circuits import Sign
from abidance.venues.account import Proof, Reply
from abidance.venues.net.budget import is_too_often
from abidance.venues.net.transport import Answer

Signs = Callable[[Sign, float, str], object]
"""Takes what is seen of a venue: a sign, its value (0 where none is measured), and what people should read of it."""


def unheeded(_sign: Sign, _value: float, _text: str) -> None:
    """Take a sign of which nobody wants to know."""


def sign_of(answer: Answer, too_often: tuple[bytes, ...] = ()) -> Sign:
    """Return what an answer says of the venue; `too_often` are its words for that where the status says nothing."""
    if is_too_often(answer):
        return Sign.LIMITED if answer.status == 429 else Sign.BANNED
    if any(each in answer.body[:200] for each in too_often):
        return Sign.LIMITED
    is_page = answer.body[:64].lstrip()[:1] == b"<"
    return Sign.FAILED if answer.status >= 500 or is_page else Sign.ANSWERED


def tell_reply(signs: Signs, request: OrderRequest, reply: Reply) -> None:
    """Let it be known how a venue takes orders; one that may not trade at once is refused in ordinary times."""
    if reply.proof is Proof.DONE:
        signs(Sign.TAKEN, 0.0, "")
    elif reply.proof is Proof.LATE:
        signs(Sign.TOO_LATE, 0.0, reply.reason)
    elif reply.proof is Proof.REFUSED and reply.has_left and not request.post_only:
        signs(Sign.REFUSED, 0.0, f"{request.instrument}: {reply.reason}")


__all__ = ["Signs", "sign_of", "tell_reply", "unheeded"]
