"""Exchange keys in a vault: added, listed, rotated and removed by venue and account.

Whatever is taken in or given out here is hidden from the logs of the process from then on.
"""

import re
from typing import NamedTuple

import msgspec

from abidance.kernel.log import PROCESS
from abidance.model.errors import UsageError, about
from abidance.model.instrument import is_venue
from abidance.security.secret import Secret
from abidance.security.vault import Slot, Vault

PURPOSE = "trading"
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,15}")
"""Accounts have shorter names than any key is long: one that is typed in the wrong place is refused unseen."""
_TAIL, _SHORTEST_WITH_TAIL = 4, 16
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/=\n]+-----END [A-Z ]*PRIVATE KEY-----\n?")
_LONGEST = 16_384


class ExchangeKey(NamedTuple):
    """What signs requests of an account, and what is known of it. Times are ns UTC, 0 for never."""

    venue: str
    account: str
    key: Secret
    secret: Secret
    passphrase: Secret
    added: int
    checked: int = 0

    @property
    def name(self) -> str:
        """Return what the key is called."""
        return f"{self.venue} {self.account}"

    @property
    def tail(self) -> str:
        """Return the last 4 characters of the key, nothing of a short one."""
        key = self.key.reveal()
        return key[-_TAIL:] if len(key) >= _SHORTEST_WITH_TAIL else ""


class _Stored(msgspec.Struct, frozen=True):
    key: str
    secret: str
    passphrase: str
    added: int
    checked: int


class Keys:
    """The exchange keys of a vault."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def all(self) -> tuple[ExchangeKey, ...]:
        """Return every key, by venue and account."""
        return tuple(self.of(venue, account) for venue, account, why in self._vault.slots() if why == PURPOSE)

    def of(self, venue: str, account: str) -> ExchangeKey:
        """Return an account's key. Raises ConfigError when there is none."""
        stored = msgspec.json.decode(self._vault.read(_slot(venue, account)), type=_Stored)
        hide(stored.key, stored.secret, stored.passphrase)
        secrets = (Secret(stored.key), Secret(stored.secret), Secret(stored.passphrase))
        return ExchangeKey(venue, account, *secrets, stored.added, stored.checked)

    def has(self, venue: str, account: str) -> bool:
        """Say whether there is a key of an account."""
        return _slot(venue, account) in self._vault.slots()

    def still_has(self, key: ExchangeKey) -> bool:
        """Say whether the account's key on the disk is this one still. Raises ConfigError for what cannot be read."""
        self._vault.refresh()
        return self.has(key.venue, key.account) and self.of(key.venue, key.account).key == key.key

    def add(self, key: ExchangeKey) -> None:
        """Put a key in. Raises ConfigError when the account has one."""
        self._write(key, new=True)

    def replace(self, key: ExchangeKey) -> None:
        """Put a key in the place of the one that the account has: it is on the disk before that one goes."""
        self._write(key, new=False)

    def remove(self, venue: str, account: str) -> None:
        """Forget an account's key. Raises ConfigError when there is none."""
        self._vault.remove(_slot(venue, account))

    def mark_checked(self, key: ExchangeKey, now: int) -> None:
        """Note that the venue told at `now` what a key may do; nothing when it was rotated or removed meanwhile."""

        def change(content: bytes) -> bytes:
            stored = msgspec.json.decode(content, type=_Stored)
            if stored.key != key.key.reveal():
                return content
            return msgspec.json.encode(msgspec.structs.replace(stored, checked=now))

        self._vault.amend(_slot(key.venue, key.account), change)

    def _write(self, key: ExchangeKey, *, new: bool) -> None:
        texts = (key.key.reveal(), key.secret.reveal(), key.passphrase.reveal())
        hide(*texts)
        content = msgspec.json.encode(_Stored(*texts, key.added, key.checked))
        self._vault.write(_slot(key.venue, key.account), content, new=new)


def typed(text: str, what: str) -> Secret:
    """Return what was typed or read as a secret, hidden from now on. Raises UsageError, which does not repeat it."""
    hide(text)
    with about(what):
        return _read(text, what)


def _read(text: str, what: str) -> Secret:
    text = text.strip()
    if not text:
        raise UsageError(f"The {what} is empty.", "Copy it from the venue.")
    if len(text) > _LONGEST:
        raise UsageError(f"The {what} is longer than any that a venue gives.", "Copy it again.")
    if text.startswith("-----BEGIN"):
        if not _PEM.fullmatch(text):
            raise UsageError(
                f"The {what} begins like a private key and is none.", "Give the whole of it, to END."
            )
    elif not (text.isascii() and text.isprintable() and " " not in text):
        raise UsageError(
            f"The {what} has blanks or characters that none has.", "Copy it again, without what is around it."
        )
    return Secret(text)


def checked_name(venue: str, account: str) -> tuple[str, str]:
    """Return venue (in capitals) and account. Raises UsageError for what cannot be a name."""
    if not (venue.isascii() and is_venue(venue.upper())):
        with about("venue"):
            raise UsageError(
                "That is no name of a venue.", "Write it in letters and digits, such as BINANCE."
            )
    if not _ACCOUNT.fullmatch(account):
        with about("account"):
            raise UsageError(
                "That is no name of an account.",
                "Take up to 16 letters, digits, dots, dashes and underscores.",
            )
    return venue.upper(), account


def hide(*texts: str) -> None:
    """Keep texts out of every log of this process, a private key line by line."""
    for text in texts:
        PROCESS.hide(text)
        for line in text.splitlines()[1:-1]:
            PROCESS.hide(line)


def _slot(venue: str, account: str) -> Slot:
    return Slot(venue, account, PURPOSE)
