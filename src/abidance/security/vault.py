"""Secrets in one encrypted file: sealed one by one under the name they belong to, and as a whole.

The file is a line that names the format, a JSON body and a seal. A passphrase becomes a key by Argon2id; that key only
wraps the data key, which seals each record with AES-256-GCM bound to its slot, and then every byte before the seal.
So no byte can be changed, no record swapped, and what a crash leaves is the old file or the new one.

It refuses files that others may read, and says nothing of what is inside before the whole of it was proven.
"""

import fcntl
import os
import secrets
import stat
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from abidance.model.errors import ConfigError, UsageError
from abidance.security.secret import Secret

FILE = "vault"
SHORTEST = 12
"""Characters that a passphrase must have at least."""
_FORMAT, _VERSION = b"abidance-vault", 1
_NONCE, _TAG = 12, 16
_LARGEST = 1 << 24
_WHOLE, _WRAPPING = b"whole file", b"data key"


class Slot(NamedTuple):
    """The name of a record: it is proven with the record, which fits nowhere else."""

    venue: str
    account: str
    purpose: str


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one guess at the passphrase costs: KiB of memory, passes over it, lanes side by side."""

    memory: int = 65_536
    passes: int = 3
    lanes: int = 4

    def check(self) -> None:
        """Raise ConfigError for a cost that Argon2id does not have, or that would take all memory."""
        if not (
            1 <= self.lanes <= 16 and 8 * self.lanes <= self.memory <= 1 << 21 and 1 <= self.passes <= 1_000
        ):
            raise _damaged()


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    venue: str
    account: str
    purpose: str
    box: bytes

    @property
    def slot(self) -> Slot:
        return Slot(self.venue, self.account, self.purpose)


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cost: Cost
    salt: bytes
    wrapped: bytes
    records: tuple[_Sealed, ...] = ()


def calibrated(seconds: float = 0.25, clock: Callable[[], float] = time.monotonic) -> Cost:
    """Return a cost at which one guess takes about so long on this machine, never below 64 MiB and 3 passes."""
    least = Cost()
    since = clock()
    _stretched("calibration", b"\0" * 16, least)
    taken = max(clock() - since, 1e-3)
    return Cost(least.memory, max(least.passes, min(64, round(least.passes * seconds / taken))), least.lanes)


class Vault:
    """An unlocked vault. Each change is on the disk when it returns, and takes in what other processes changed."""

    def __init__(self, path: Path, body: _Body, key: bytes) -> None:
        self.path = path
        self._body = body
        self._key = key

    def __repr__(self) -> str:
        return f"Vault({str(self.path)!r})"

    @classmethod
    def create(cls, path: Path, passphrase: Secret, cost: Cost | None = None, salt: bytes = b"") -> "Vault":
        """Make an empty vault. Raises ConfigError when there is one, UsageError for a short passphrase."""
        cost, salt, key = cost or calibrated(), salt or new_salt(), secrets.token_bytes(32)
        body = _wrapped(passphrase, cost, salt, key)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(path):
            if os.path.lexists(path):
                raise ConfigError(f"There is a vault at {path} already.", "Use it, or move it away.")
            _write(path, _packed(body, key))
        return cls(path, body, key)

    @classmethod
    def unlock(cls, path: Path, passphrase: Secret) -> "Vault":
        """Open the vault and prove all of it. Raises ConfigError saying what is wrong with it or the passphrase."""
        body, proven, seal = _unpacked(_read(path))
        try:
            key = _open(_stretched(passphrase.reveal(), body.salt, body.cost), body.wrapped, _WRAPPING)
        except InvalidTag:
            raise ConfigError(
                f"The passphrase does not open the vault at {path}.", "Try again; nobody else can open it."
            ) from None
        _prove(key, body, proven, seal)
        return cls(path, body, key)

    def slots(self) -> tuple[Slot, ...]:
        """Return the names of all records, in order."""
        return tuple(sorted(record.slot for record in self._body.records))

    def read(self, slot: Slot) -> bytes:
        """Return a record. Raises ConfigError when there is none."""
        for record in self._body.records:
            if record.slot == slot:
                return _open(self._key, record.box, _bound(slot))
        raise ConfigError(
            f"There is no key of {slot.venue} {slot.account} in the vault.",
            "See what there is: abidance keys list",
        )

    def refresh(self) -> None:
        """Take in what other processes changed. Raises ConfigError for what cannot be proven."""
        self._body = self._current()

    def write(self, slot: Slot, content: bytes, *, new: bool | None = None) -> None:
        """Put a record in the place of the one of that name; `new` says whether there must be none, or one.

        Raises ConfigError when that is not so; then nothing is changed.
        """
        record = _Sealed(*slot, _seal(self._key, content, _bound(slot)))

        def change(before: tuple[_Sealed, ...]) -> tuple[_Sealed, ...]:
            others = tuple(each for each in before if each.slot != slot)
            there = len(others) < len(before)
            if new is not None and there == new:
                found = "already" if there else "no longer"
                raise ConfigError(
                    f"{slot.venue} {slot.account} is {found} in the vault.",
                    "See what there is: abidance keys list",
                )
            return (*others, record)

        self._change(change)

    def amend(self, slot: Slot, change: Callable[[bytes], bytes]) -> None:
        """Put in the place of a record, as it is on the disk now, what `change` makes of it."""

        def amended(record: _Sealed) -> _Sealed:
            if record.slot != slot:
                return record
            content = change(_open(self._key, record.box, _bound(slot)))
            return _Sealed(*slot, _seal(self._key, content, _bound(slot)))

        self._change(lambda before: tuple(map(amended, before)))

    def remove(self, slot: Slot) -> None:
        """Take a record out. Raises ConfigError when there is none."""
        self.read(slot)
        self._change(lambda before: tuple(each for each in before if each.slot != slot))

    def change_passphrase(self, passphrase: Secret, cost: Cost | None = None, salt: bytes = b"") -> None:
        """Seal everything anew, under another data key, for another passphrase."""
        key = secrets.token_bytes(32)
        empty = _wrapped(passphrase, cost or calibrated(), salt or new_salt(), key)
        with _locked(self.path):
            before = self._current()
            records = tuple(
                _Sealed(
                    *each.slot, _seal(key, _open(self._key, each.box, _bound(each.slot)), _bound(each.slot))
                )
                for each in before.records
            )
            body = msgspec.structs.replace(empty, records=records)
            _write(self.path, _packed(body, key))
        self._body, self._key = body, key

    def _change(self, change: Callable[[tuple[_Sealed, ...]], tuple[_Sealed, ...]]) -> None:
        with _locked(self.path):
            before = self._current()
            body = msgspec.structs.replace(before, records=change(before.records))
            _write(self.path, _packed(body, self._key))
        self._body = body

    def _current(self) -> _Body:
        """Return what is on the disk now, proven."""
        body, proven, seal = _unpacked(_read(self.path))
        if body.wrapped != self._body.wrapped:
            raise ConfigError("The passphrase of the vault was changed meanwhile.", "Unlock it again.")
        _prove(self._key, body, proven, seal)
        return body


def new_salt() -> bytes:
    """Return a salt for a new vault or passphrase."""
    return secrets.token_bytes(16)


def salt_of(path: Path) -> bytes:
    """Return the salt of a vault, by which its passphrase is found in a keyring. Raises ConfigError."""
    return _unpacked(_read(path))[0].salt


def slots_in(path: Path) -> tuple[Slot, ...]:
    """Return the names of the records of a vault that is locked, as it says them: nothing of it is proven."""
    return tuple(sorted(record.slot for record in _unpacked(_read(path))[0].records))


# --- bytes


def _wrapped(passphrase: Secret, cost: Cost, salt: bytes, key: bytes) -> _Body:
    if len(passphrase.reveal()) < SHORTEST:
        raise UsageError(
            f"The passphrase has fewer than {SHORTEST} characters.", "Take a longer one: a few words will do."
        )
    cost.check()
    return _Body(cost, salt, _seal(_stretched(passphrase.reveal(), salt, cost), key, _WRAPPING))


def _stretched(passphrase: str, salt: bytes, cost: Cost) -> bytes:
    stretch = Argon2id(
        salt=salt, length=32, iterations=cost.passes, lanes=cost.lanes, memory_cost=cost.memory
    )
    # The same letters, however a keyboard composes them.
    return stretch.derive(unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogateescape"))


def _bound(slot: Slot) -> bytes:
    return msgspec.json.encode(slot)  # no two names run together into the same bytes


def _seal(key: bytes, content: bytes, bound: bytes) -> bytes:
    nonce = secrets.token_bytes(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, content, bound)


def _open(key: bytes, box: bytes, bound: bytes) -> bytes:
    return AESGCM(key).decrypt(box[:_NONCE], box[_NONCE:], bound)


def _packed(body: _Body, key: bytes) -> bytes:
    proven = b"%s %d\n%s\n" % (_FORMAT, _VERSION, msgspec.json.encode(body))
    return proven + _seal(key, b"", _WHOLE + proven)


def _unpacked(content: bytes) -> tuple[_Body, bytes, bytes]:
    """Return the body, the bytes that are to be proven and the seal that proves them."""
    named, _, _ = content.partition(b"\n")
    name, _, version = named.partition(b" ")
    if name == _FORMAT and version.isdigit() and version != b"%d" % _VERSION:
        raise ConfigError(
            f"The vault is of format {int(version[:9])}, and this program knows {_VERSION}.",
            "Use the program that wrote it.",
        )
    proven, seal = content[: -_NONCE - _TAG], content[-_NONCE - _TAG :]
    if named != b"%s %d" % (_FORMAT, _VERSION):
        raise _damaged()
    try:
        body = msgspec.json.decode(proven[len(named) + 1 :], type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _damaged() from None
    body.cost.check()
    if len(body.salt) != 16 or len(body.wrapped) != _NONCE + 32 + _TAG:
        raise _damaged()
    return body, proven, seal


def _prove(key: bytes, body: _Body, proven: bytes, seal: bytes) -> None:
    try:
        _open(key, seal, _WHOLE + proven)
        for record in body.records:
            _open(key, record.box, _bound(record.slot))
    except (InvalidTag, ValueError):
        raise _damaged() from None


def _damaged() -> ConfigError:
    return ConfigError(
        "The vault was damaged or changed by something else.",
        "Put a copy of it back; it is not used as it is.",
    )


# --- the disk


def guarded(path: Path, what: str) -> bytes:
    """Return the content of a file that nobody but its owner may read or write. Raises ConfigError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise ConfigError(f"There is no {what} at {path}.", "Name another, or make it first.") from None
    except OSError as error:
        raise ConfigError(
            f"The {what} at {path} cannot be read: {error.strerror}.", "Check its owner."
        ) from None
    known = os.fstat(descriptor)
    if not stat.S_ISREG(known.st_mode):
        os.close(descriptor)
        raise ConfigError(f"The {what} at {path} is no file.", "Name a file.")
    with os.fdopen(descriptor, "rb") as file:
        if known.st_mode & 0o077:
            raise ConfigError(
                f"Others may read or change the {what} at {path} (mode {stat.S_IMODE(known.st_mode):04o}).",
                f"If nobody did, keep them out and try again: chmod 600 {path}",
            )
        if known.st_uid not in (os.geteuid(), 0):
            raise ConfigError(f"The {what} at {path} belongs to somebody else.", "Use one of your own.")
        around = path.parent.stat().st_mode
        if around & stat.S_IWOTH and not around & stat.S_ISVTX:
            raise ConfigError(
                f"Everybody may put files into {path.parent}, where the {what} is.",
                f"Keep them out and try again: chmod o-w {path.parent}",
            )
        return file.read(_LARGEST + 1)


def _read(path: Path) -> bytes:
    content = guarded(path, "vault")
    if len(content) > _LARGEST:
        raise _damaged()
    return content


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep every other process from changing the vault."""
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, content: bytes) -> None:
    """Put the file in place as a whole, readable by its owner alone from its first byte on."""
    aside = path.with_name(f"{path.name}.new")
    aside.unlink(missing_ok=True)  # what a killed writer left may have been made by anybody
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    aside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
