"""Where the passphrase of a vault comes from: a key file, the keyring of the system, the environment, or a prompt."""

import os
import secrets
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from abidance.kernel.log import PROCESS
from abidance.model.errors import ConfigError, UsageError
from abidance.security.secret import Secret
from abidance.security.vault import Vault, guarded, new_salt, salt_of

PASSPHRASE, NEW_PASSPHRASE = "ABIDANCE_PASSPHRASE", "ABIDANCE_NEW_PASSPHRASE"
"""The variables that hold the passphrase, and the one that takes its place."""
_SERVICE = "abidance vault"
_LEAST_KEY_FILE = 32

Ask = Callable[[str], str]


class Unlocking:
    """One way to unlock a vault. The first of these that is there: `key_file`, `keyring`, the variable, `ask`.

    `ask` shows a question and returns what is typed without showing it; None when nobody is there to be asked.
    """

    def __init__(
        self,
        key_file: Path | None = None,
        *,
        keyring: bool = False,
        ask: Ask | None = None,
        variable: str = PASSPHRASE,
    ) -> None:
        if key_file is not None and keyring:
            raise UsageError("A key file and the keyring are two ways to unlock.", "Choose one.")
        self._key_file, self._keyring, self._ask, self._variable = key_file, keyring, ask, variable

    def unlock(self, path: Path) -> Vault:
        """Return the vault, unlocked. Raises ConfigError."""
        if not os.path.lexists(path):
            raise ConfigError(
                f"There is no vault at {path}.", "It is made when the first key is added: abidance keys add"
            )
        if self._keyring:
            found = _ring().get_password(_SERVICE, salt_of(path).hex())
            if not found:
                raise ConfigError(f"The keyring does not know the vault at {path}.", "Unlock it another way.")
            return Vault.unlock(path, _known(found))
        return Vault.unlock(path, self._passphrase("Passphrase of the vault: "))

    def create(self, path: Path) -> Vault:
        """Make an empty vault that this way unlocks."""
        if self._keyring:
            salt, made = _remembered()
            return Vault.create(path, made, salt=salt)
        return Vault.create(path, self._chosen())

    def change(self, vault: Vault) -> None:
        """Let this way unlock a vault from now on, and no other."""
        if not self._keyring:
            vault.change_passphrase(self._chosen())
            return
        salt, made = _remembered()
        vault.change_passphrase(made, salt=salt)

    def forget(self, salt: bytes) -> None:
        """Take the passphrase that a vault had with this salt out of the keyring, if it is there."""
        if self._keyring and _ring().get_password(_SERVICE, salt.hex()):
            _ring().delete_password(_SERVICE, salt.hex())

    def _chosen(self) -> Secret:
        found = self._passphrase("New passphrase of the vault: ")
        is_typed = self._key_file is None and self._variable not in os.environ
        if is_typed and self._ask is not None and self._ask("The same again: ") != found.reveal():
            raise UsageError("The two passphrases differ.", "Try again.")
        return found

    def _passphrase(self, question: str) -> Secret:
        if self._key_file is not None:
            return _from_file(self._key_file)
        if self._variable in os.environ:
            return _known(os.environ[self._variable])
        if self._ask is None:
            raise ConfigError(
                "Nobody is there to type the passphrase of the vault.",
                f"Name a file with --key-file, use --keyring, or set {self._variable}.",
            )
        return _known(self._ask(question))


def _known(text: str) -> Secret:
    PROCESS.hide(text)
    return Secret(text)


def _from_file(path: Path) -> Secret:
    text = guarded(path, "key file").decode("utf-8", "replace").strip()
    if len(text) < _LEAST_KEY_FILE:
        raise ConfigError(
            f"The key file {path} has fewer than {_LEAST_KEY_FILE} characters.",
            f"Make one: (umask 077; head -c 32 /dev/urandom | base64 > {path})",
        )
    return _known(text)


def _remembered() -> tuple[bytes, Secret]:
    """Return a new passphrase and the salt under which the keyring keeps it: before any vault needs it."""
    salt, made = new_salt(), _known(secrets.token_urlsafe(32))
    _ring().set_password(_SERVICE, salt.hex(), made.reveal())
    return salt, made


def _ring() -> Any:
    try:
        return import_module("keyring")
    except ImportError:
        raise ConfigError(
            "The keyring of the system cannot be used: a package is missing.",
            "pip install 'abidance[keyring]'",
        ) from None
