"""Exchange keys in the vault, and the ways to unlock it."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from abidance.kernel.log import PROCESS
from abidance.model.errors import ConfigError, UsageError
from abidance.model.instrument import parse_instrument_id
from abidance.security import vault as module
from abidance.security.keys import ExchangeKey, Keys, checked_name, typed
from abidance.security.secret import Secret
from abidance.security.unlocking import NEW_PASSPHRASE, PASSPHRASE, Unlocking
from abidance.security.vault import Cost, Vault, salt_of

WORDS = "four words are enough"
CHEAP = Cost(memory=32, passes=1, lanes=1)


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "calibrated", lambda: CHEAP)
    monkeypatch.delenv(PASSPHRASE, raising=False)
    monkeypatch.delenv(NEW_PASSPHRASE, raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vault"


def a_key(account: str = "main", key: str = "the-key-that-ends-in-1234", **change: Any) -> ExchangeKey:
    made = ExchangeKey("KUCOIN", account, Secret(key), Secret("the-hidden-part"), Secret("third-part"), 7)
    return made._replace(**change)


def test_a_key_goes_in_comes_out_is_rotated_and_goes(path: Path) -> None:
    keys = Keys(Vault.create(path, Secret(WORDS)))

    keys.add(a_key())
    keys.add(a_key("second"))
    keys.replace(a_key(key="a-newer-key-ends-in-5678"))
    keys.mark_checked(keys.of("KUCOIN", "main"), 99)
    keys.remove("KUCOIN", "second")

    (found,) = Keys(Vault.unlock(path, Secret(WORDS))).all()
    assert (found.name, found.tail, found.added, found.checked) == ("KUCOIN main", "5678", 7, 99)
    assert found.secret.reveal() == "the-hidden-part"
    assert found.passphrase.reveal() == "third-part"
    assert keys.has("KUCOIN", "main")
    assert not keys.has("KUCOIN", "second")


def test_a_check_by_one_who_holds_an_old_vault_does_not_bring_a_rotated_key_back(path: Path) -> None:
    running = Keys(Vault.create(path, Secret(WORDS)))
    running.add(a_key())
    held = running.of("KUCOIN", "main")
    Keys(Vault.unlock(path, Secret(WORDS))).replace(a_key(key="a-newer-key-ends-in-5678"))

    running.mark_checked(held, 99)

    found = Keys(Vault.unlock(path, Secret(WORDS))).of("KUCOIN", "main")
    assert (found.tail, found.checked) == ("5678", 0)
    Keys(Vault.unlock(path, Secret(WORDS))).remove("KUCOIN", "main")
    running.mark_checked(held, 99)
    assert Keys(Vault.unlock(path, Secret(WORDS))).all() == ()


def test_the_same_letters_unlock_however_they_were_composed(path: Path) -> None:
    Vault.create(path, Secret("caf\u00e9 caf\u00e9 caf\u00e9"))

    assert Vault.unlock(path, Secret("cafe\u0301 cafe\u0301 cafe\u0301")).slots() == ()


def test_an_account_has_one_key(path: Path) -> None:
    keys = Keys(Vault.create(path, Secret(WORDS)))
    keys.add(a_key())

    with pytest.raises(ConfigError, match="KUCOIN main is already in the vault"):
        keys.add(a_key())
    with pytest.raises(ConfigError, match="no longer"):
        keys.replace(a_key("third"))
    with pytest.raises(ConfigError, match="no key of KUCOIN third"):
        keys.of("KUCOIN", "third")


def test_a_key_shows_nothing_of_itself_and_a_short_one_not_even_its_end(path: Path) -> None:
    key = a_key(key="short-key-1234")

    assert "***" in repr(key)
    assert "hidden-part" not in repr(key)
    assert key.tail == ""


def test_whatever_passed_through_is_hidden_from_logs(path: Path) -> None:
    keys = Keys(Vault.create(path, Secret(WORDS)))
    keys.add(a_key(key="passed-through-here-1"))
    pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIGVhc3RlcgABCD\n-----END PRIVATE KEY-----"

    typed(pem, "secret")

    assert "passed-through" not in PROCESS.text("key was passed-through-here-1, sorry")
    assert "MC4CAQ" not in PROCESS.text("x MC4CAQAwBQYDK2VwBCIEIGVhc3RlcgABCD x")


def test_a_secret_that_was_cut_is_hidden_from_its_eighth_letter_on() -> None:
    typed("Qv7Rt2Xz-and-more-that-follows", "secret")

    shown = [PROCESS.text("body: Qv7Rt2Xz-and-more-that-follows"[:length]) for length in range(14, 40)]

    assert not any("Qv7Rt2Xz" in text for text in shown)
    assert PROCESS.text("Qv7Rt2X is seven letters") == "Qv7Rt2X is seven letters"


@pytest.mark.parametrize(
    "text",
    ["", "  \n", "two words", "ключ-ключ-ключ", "tab\there", "nul\0here", "x" * 20_000, "esc\x1b[31m",
     "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\nnot base64!\n-----END PRIVATE KEY-----"],
)  # fmt: skip
def test_what_no_venue_gives_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        typed(text, "secret")

    assert not text.strip() or text.strip()[:6].replace("-----B", "\0") not in str(caught.value)


def test_blanks_around_a_copied_secret_are_taken_off() -> None:
    assert typed(" \tabcdef\r\n", "secret").reveal() == "abcdef"


def test_what_is_as_long_as_a_key_is_no_account() -> None:
    with pytest.raises(UsageError, match="no name of an account"):
        checked_name("BYBIT", "x" * 18)


@pytest.mark.parametrize("name", ["", ".", "../up", "a b", "x" * 25, "BINANCE MAIN", "-x", "é", "a\n"])
def test_what_is_no_name_is_refused_and_not_repeated(name: str) -> None:
    for venue, account in ((name, "main"), ("BINANCE", name)):
        with pytest.raises(UsageError, match="no name of a"):
            checked_name(venue, account)


def test_a_key_file_unlocks_unless_others_may_read_it_or_it_says_too_little(
    path: Path, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text("k" * 40 + "\n")
    file.chmod(0o600)
    way = Unlocking(file)

    way.create(path)

    assert way.unlock(path).slots() == ()
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="Others may read or change the key file"):
        way.unlock(path)
    file.chmod(0o600)
    file.write_text("short")
    with pytest.raises(ConfigError, match="fewer than 32"):
        way.unlock(path)
    with pytest.raises(ConfigError, match="no key file"):
        Unlocking(tmp_path / "none").unlock(path)


def test_the_variable_unlocks_where_nobody_can_be_asked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSPHRASE, WORDS)
    Unlocking().create(path)

    assert Unlocking().unlock(path).slots() == ()
    monkeypatch.delenv(PASSPHRASE)
    with pytest.raises(ConfigError, match="Nobody is there") as caught:
        Unlocking().unlock(path)
    assert PASSPHRASE in caught.value.remedy


def test_a_typed_passphrase_is_typed_twice_when_it_is_new(path: Path) -> None:
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return WORDS

    Unlocking(ask=ask).create(path)
    Unlocking(ask=ask).unlock(path)

    assert asked == ["New passphrase of the vault: ", "The same again: ", "Passphrase of the vault: "]


def test_two_passphrases_that_differ_make_no_vault(path: Path) -> None:
    answers = iter([WORDS, WORDS + "!"])

    with pytest.raises(UsageError, match="differ"):
        Unlocking(ask=lambda _: next(answers)).create(path)

    assert not path.exists()


def test_no_vault_is_told_before_anybody_is_asked(path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no vault") as caught:
        Unlocking(ask=lambda _: pytest.fail("asked")).unlock(path)

    assert "abidance keys add" in caught.value.remedy


class FakeRing(ModuleType):
    """The system's keyring as far as it is used here."""

    def __init__(self) -> None:
        super().__init__("keyring")
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, name: str) -> str | None:
        return self.kept.get((service, name))

    def set_password(self, service: str, name: str, password: str) -> None:
        self.kept[service, name] = password

    def delete_password(self, service: str, name: str) -> None:
        del self.kept[service, name]


def test_the_keyring_keeps_a_passphrase_that_nobody_ever_sees(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = FakeRing()
    monkeypatch.setitem(sys.modules, "keyring", ring)
    way = Unlocking(keyring=True)
    vault = way.create(path)
    before = salt_of(path)

    way.change(vault)
    way.forget(before)

    assert way.unlock(path).slots() == ()
    assert list(ring.kept) == [("abidance vault", salt_of(path).hex())]


def test_a_crash_between_keyring_and_vault_locks_nobody_out(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = FakeRing()
    monkeypatch.setitem(sys.modules, "keyring", ring)
    way = Unlocking(keyring=True)
    vault = way.create(path)
    monkeypatch.setattr(module, "_write", lambda *_: (_ for _ in ()).throw(OSError("disk full")))

    with pytest.raises(OSError, match="disk full"):
        way.change(vault)

    assert way.unlock(path).slots() == ()


def test_a_keyring_that_is_missing_or_knows_nothing_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Vault.create(path, Secret(WORDS))

    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigError, match="a package is missing"):
        Unlocking(keyring=True).unlock(path)
    monkeypatch.setitem(sys.modules, "keyring", FakeRing())
    with pytest.raises(ConfigError, match="does not know the vault"):
        Unlocking(keyring=True).unlock(path)
    with pytest.raises(UsageError, match="Choose one"):
        Unlocking(path, keyring=True)


@pytest.mark.parametrize(
    "name", ["okx", "KRAKENFUTURES", "X" * 24, "X" * 25, "BIN ANCE", "ß", "²", "OKX-1", ""]
)
def test_what_names_a_venue_of_a_key_names_one_of_an_instrument(name: str) -> None:
    def takes(read: Callable[[], object]) -> bool:
        try:
            read()
        except UsageError:
            return False
        return True

    assert takes(lambda: checked_name(name, "main")) is takes(
        lambda: parse_instrument_id(f"BTC/USDT@{name.upper() if name.isascii() else name}")
    )
