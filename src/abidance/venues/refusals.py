"""What an error proves, by the code that a venue gives it: the one rule for all whose errors have codes.

Which codes prove what is each venue's own table. An error of the server, an answer that is no error that we know how to
read, and a code in no table prove nothing.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Protocol, TypeVar

from abidance.venues.account import Proof, Reply
from abidance.venues.frames import UNREADABLE, plain
from abidance.venues.net.transport import Answer


class Coded(Protocol):
    """An error as a venue tells it."""

    @property
    def code(self) -> int | str:
        """Return the venue's code."""
        ...

    @property
    def msg(self) -> str:
        """Return what the venue says besides."""
        ...


E = TypeVar("E", bound=Coded)


def by_code(tables: Mapping[Proof, Collection[int]]) -> Callable[[Coded], Proof]:
    """Return what judges an error by its code alone; the first table that has it decides."""

    def proves(error: Coded) -> Proof:
        return next((proof for proof, codes in tables.items() if error.code in codes), Proof.UNKNOWN)

    return proves


def judged(answer: Answer, reads: Callable[[bytes], E], proves: Callable[[E], Proof]) -> Reply:
    """Return what an answer that is an error proves, and the venue's words."""
    try:
        error = reads(answer.body)
    except UNREADABLE:
        return Reply(Proof.UNKNOWN, f"HTTP {answer.status}")
    proof = Proof.UNKNOWN if answer.status >= 500 else proves(error)
    return Reply(proof, f"{error.code}: {plain(error.msg)}")
