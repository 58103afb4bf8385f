"""Passwords: what may be one, how it is kept (Argon2id), and how it is compared without telling who exists."""

from functools import cached_property
from typing import TYPE_CHECKING

from abidance.model.errors import UsageError

if TYPE_CHECKING:
    from pwdlib import PasswordHash

SHORTEST, LONGEST, FEWEST_LETTERS = 12, 1024, 5
_COMMON = frozenset(
    [
        "123456789012",
        "1234567890123",
        "12345678901234",
        "111111111111",
        "000000000000",
        "123123123123",
        "abcdefghijkl",
        "abcd12345678",
        "abc123456789",
        "qwertyuiop12",
        "qwertyuiop123",
        "qwertyuiopas",
        "qwertyuiopasdfghjkl",
        "1q2w3e4r5t6y",
        "1qaz2wsx3edc",
        "qazwsxedcrfv",
        "password1234",
        "password12345",
        "password123456",
        "password1234!",
        "passwordpassword",
        "mypassword123",
        "administrator",
        "administrator1",
        "changeme1234",
        "changemechangeme",
        "letmeinletmein",
        "letmein12345",
        "welcome12345",
        "welcome123456",
        "iloveyou1234",
        "iloveyouforever",
        "trustno1trustno1",
        "correcthorsebatterystaple",
        "correct",
        "horse",
        "battery",
        "staple",
        "unbelievable",
        "bitcoinbitcoin",
        "bitcoin12345",
        "ethereum12345",
        "satoshinakamoto",
        "cryptocurrency",
        "tothemoon1234",
        "hodlhodlhodl",
        "abidanceabidance",
        "abidance1234",
        "tradingbot123",
        "tradingbot1234",
    ]
) | {"correct horse battery staple"}


def check_password(password: str, name: str) -> None:
    """Raise UsageError for a password that is too short, too long, too plain or too well known."""
    folded = password.casefold()
    found = ""
    if len(password) < SHORTEST:
        found = f"A password of {len(password)} characters is too short."
    elif len(password) > LONGEST:
        found = f"A password of {len(password)} characters is too long."
    elif len(set(folded)) < FEWEST_LETTERS or folded in _COMMON:
        found = "That password is among the first that anybody would try."
    elif len(name) > 3 and name.casefold() in folded:
        found = "The password holds the name."
    if found:
        raise UsageError(found, f"Choose {SHORTEST} to {LONGEST} characters, such as four unrelated words.")


class Passwords:
    """Hashes and compares; the defaults take some 150 ms and 64 MiB each time."""

    def __init__(self, memory_kib: int = 65_536, rounds: int = 3, lanes: int = 4) -> None:
        self._cost = memory_kib, rounds, lanes

    @cached_property
    def _hasher(self) -> "PasswordHash":
        from pwdlib import PasswordHash
        from pwdlib.hashers.argon2 import Argon2Hasher

        memory, rounds, lanes = self._cost
        return PasswordHash((Argon2Hasher(time_cost=rounds, memory_cost=memory, parallelism=lanes),))

    @cached_property
    def _nobody(self) -> str:
        return self._hasher.hash("nobody has this password")

    def hash(self, password: str) -> str:
        """Return what is kept of a password."""
        return self._hasher.hash(password)

    def verify(self, password: str, kept: str | None) -> tuple[bool, str | None]:
        """Say whether a password fits what is kept, and what to keep instead if that is out of date.

        `kept` None is somebody who does not exist: it takes as long and is False.
        """
        is_right, fresh = self._hasher.verify_and_update(password, kept or self._nobody)
        return is_right and kept is not None, fresh if kept is not None and is_right else None


__all__ = ["Passwords", "check_password"]
