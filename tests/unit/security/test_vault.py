"""The vault: what goes in comes out, for whoever has the passphrase, and for nobody else."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from abidance.model.errors import ConfigError, UsageError
from abidance.security import vault as module
from abidance.security.secret import Secret
from abidance.security.vault import Cost, Slot, Vault, calibrated

CHEAP = Cost(memory=32, passes=1, lanes=1)
WORDS = Secret("four words are enough")
OTHER = Secret("and four more of them")
MAIN, SECOND = Slot("BINANCE", "main", "trading"), Slot("BINANCE", "second", "trading")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "vault"


def filled(path: Path) -> Vault:
    vault = Vault.create(path, WORDS, CHEAP)
    vault.write(MAIN, b"alpha-plain-text")
    vault.write(SECOND, b"beta-plain-text")
    return vault


def test_what_was_put_in_comes_out_after_unlocking(path: Path) -> None:
    filled(path)

    found = Vault.unlock(path, WORDS)

    assert found.slots() == (MAIN, SECOND)
    assert (found.read(MAIN), found.read(SECOND)) == (b"alpha-plain-text", b"beta-plain-text")
    assert b"plain-text" not in path.read_bytes()
    assert repr(found) == f"Vault({str(path)!r})"


def test_the_file_is_its_owners_alone_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        filled(path)
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir() if each.name.endswith(".new")] == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o602, 0o777])
def test_a_file_that_others_may_read_or_change_is_refused(path: Path, mode: int) -> None:
    filled(path)
    path.chmod(mode)

    with pytest.raises(ConfigError, match="Others may read or change the vault") as caught:
        Vault.unlock(path, WORDS)

    assert f"chmod 600 {path}" in caught.value.remedy


def test_a_folder_that_everybody_may_write_to_is_refused(path: Path) -> None:
    filled(path)
    path.parent.chmod(0o777)

    with pytest.raises(ConfigError, match="Everybody may put files"):
        Vault.unlock(path, WORDS)


@pytest.mark.parametrize(
    "words", ["", "four words are enougH", "four words are enough ", "x" * 100_000, "\0"]
)
def test_a_wrong_passphrase_opens_nothing(path: Path, words: str) -> None:
    filled(path)

    with pytest.raises(ConfigError, match="does not open the vault"):
        Vault.unlock(path, Secret(words))


def test_a_short_passphrase_is_refused_and_makes_no_vault(path: Path) -> None:
    with pytest.raises(UsageError, match="fewer than 12") as caught:
        Vault.create(path, Secret("eleven chars"[:11]), CHEAP)

    assert not path.exists()
    assert "eleven" not in str(caught.value)


def test_a_vault_is_not_made_over_another(path: Path) -> None:
    filled(path)

    with pytest.raises(ConfigError, match="already"):
        Vault.create(path, OTHER, CHEAP)

    assert len(Vault.unlock(path, WORDS).slots()) == 2


def test_swapped_records_fail_even_for_one_who_could_seal_the_file(path: Path) -> None:
    vault = filled(path)
    first, second = vault._body.records
    swapped = (
        module._Sealed(first.venue, first.account, first.purpose, second.box),
        module._Sealed(second.venue, second.account, second.purpose, first.box),
    )
    body = msgspec.structs.replace(vault._body, records=swapped)
    path.write_bytes(module._packed(body, vault._key))

    with pytest.raises(ConfigError, match="damaged or changed"):
        Vault.unlock(path, WORDS)


def test_a_record_of_before_a_rotation_does_not_fit_any_more(path: Path) -> None:
    vault = filled(path)
    old = path.read_bytes()
    vault.write(MAIN, b"the newer one", new=False)
    body, _, _ = module._unpacked(path.read_bytes())
    before, _, _ = module._unpacked(old)
    mixed = msgspec.structs.replace(body, records=before.records)
    forged = b"abidance-vault 1\n" + msgspec.json.encode(mixed) + b"\n" + path.read_bytes()[-28:]
    path.write_bytes(forged)

    with pytest.raises(ConfigError, match="damaged or changed"):
        Vault.unlock(path, WORDS)


def test_a_later_format_is_named_and_not_called_damaged(path: Path) -> None:
    filled(path)
    path.write_bytes(path.read_bytes().replace(b"abidance-vault 1\n", b"abidance-vault 2\n", 1))

    with pytest.raises(ConfigError, match="of format 2, and this program knows 1"):
        Vault.unlock(path, WORDS)


@pytest.mark.parametrize(
    "cost",
    ['"memory":4294967295', '"memory":0', '"passes":0', '"passes":999999999', '"lanes":99', '"memory":-1'],
)
def test_a_cost_that_would_take_the_machine_down_is_refused_before_it_is_paid(path: Path, cost: str) -> None:
    filled(path)
    name = cost.partition(":")[0]
    text = path.read_bytes()
    old = {'"memory"': b'"memory":32', '"passes"': b'"passes":1', '"lanes"': b'"lanes":1'}[name]
    path.write_bytes(text.replace(old, cost.encode(), 1))

    with pytest.raises(ConfigError, match="damaged or changed"):
        Vault.unlock(path, WORDS)


def test_another_passphrase_seals_everything_anew(path: Path) -> None:
    vault = filled(path)
    before = path.read_bytes()

    vault.change_passphrase(OTHER, CHEAP)

    after = Vault.unlock(path, OTHER)
    assert after.read(MAIN) == vault.read(MAIN) == b"alpha-plain-text"
    assert after._key not in (b"", module._unpacked(before)[0].wrapped)
    with pytest.raises(ConfigError, match="does not open"):
        Vault.unlock(path, WORDS)
    boxes = {record.box for record in module._unpacked(before)[0].records}
    assert boxes.isdisjoint(record.box for record in module._unpacked(path.read_bytes())[0].records)


def test_two_who_hold_the_vault_lose_nothing_of_each_other(path: Path) -> None:
    first = filled(path)
    second = Vault.unlock(path, WORDS)

    first.write(Slot("KRAKEN", "main", "trading"), b"one")
    second.write(Slot("MEXC", "main", "trading"), b"two")
    first.remove(SECOND)

    assert [slot.venue for slot in Vault.unlock(path, WORDS).slots()] == ["BINANCE", "KRAKEN", "MEXC"]


def test_who_holds_the_vault_from_before_another_passphrase_changes_nothing(path: Path) -> None:
    first = filled(path)
    Vault.unlock(path, WORDS).change_passphrase(OTHER, CHEAP)

    with pytest.raises(ConfigError, match="changed meanwhile"):
        first.write(MAIN, b"lost")

    assert Vault.unlock(path, OTHER).read(MAIN) == b"alpha-plain-text"


def test_new_and_old_names_are_not_confused(path: Path) -> None:
    vault = filled(path)

    with pytest.raises(ConfigError, match="already"):
        vault.write(MAIN, b"x", new=True)
    with pytest.raises(ConfigError, match="no longer"):
        vault.write(Slot("KRAKEN", "main", "trading"), b"x", new=False)
    with pytest.raises(ConfigError, match="no key of KRAKEN main"):
        vault.remove(Slot("KRAKEN", "main", "trading"))
    with pytest.raises(ConfigError, match="no key of BINANCE main"):
        vault.read(Slot("BINANCE", "main", "alerts"))


def test_no_file_a_folder_and_a_pipe_are_told_apart(path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no vault"):
        Vault.unlock(path, WORDS)
    path.mkdir(parents=True)
    with pytest.raises(ConfigError, match="no file"):
        Vault.unlock(path, WORDS)
    path.rmdir()
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigError, match="no file"):
        Vault.unlock(path, WORDS)


def test_the_cost_is_measured_and_never_below_what_is_recommended() -> None:
    slow, fast = iter([0.0, 5.0]), iter([0.0, 0.01])

    assert calibrated(clock=lambda: next(slow)) == Cost(65_536, 3, 4)
    assert calibrated(clock=lambda: next(fast)) == Cost(65_536, 64, 4)


# --- killed between any two steps


class Killed(BaseException):
    """The process ends here: nothing that would follow happens."""


STEPS = ("unlink", "open", "fchmod", "fsync", "replace")


def doomed(monkeypatch: pytest.MonkeyPatch, at: int) -> Iterator[int]:
    """Let the process die before its `at`-th step on the disk; yields how many steps there were."""
    count = [0]

    def step(inner: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*arguments: Any, **named: Any) -> Any:
            if count[0] == at:
                raise Killed
            count[0] += 1
            return inner(*arguments, **named)

        return stepped

    for owner, name in [(os, "open"), (os, "fchmod"), (os, "fsync"), (Path, "unlink"), (Path, "replace")]:
        monkeypatch.setattr(owner, name, step(getattr(owner, name)))
    yield count[0]
    yield count[0]


@pytest.mark.parametrize("what", ["rotate", "remove", "change passphrase"])
def test_a_kill_before_any_step_leaves_the_old_vault_or_the_new_one(tmp_path: Path, what: str) -> None:
    at, finished, seen = 0, False, set()
    while not finished:
        path = tmp_path / str(at) / "vault"
        vault = filled(path)
        change = {
            "rotate": lambda vault=vault: vault.write(MAIN, b"the newer one", new=False),
            "remove": lambda vault=vault: vault.remove(MAIN),
            "change passphrase": lambda vault=vault: vault.change_passphrase(OTHER, CHEAP),
        }[what]
        with pytest.MonkeyPatch.context() as patch:
            next(doomed(patch, at))
            try:
                change()
                finished = True
            except Killed:
                pass
        seen.add(opened(path))
        at += 1

    assert at > 6
    assert len(seen) == 2
    assert None not in seen


def opened(path: Path) -> tuple[str, bytes] | None:
    """Return what the vault at a path holds of MAIN, and for whom it opens; None when for nobody."""
    for words in (WORDS, OTHER):
        try:
            vault = Vault.unlock(path, words)
        except ConfigError:
            continue
        vault.write(SECOND, b"still writable", new=False)
        return words.reveal(), vault.read(MAIN) if MAIN in vault.slots() else b""
    return None


def test_a_write_torn_anywhere_leaves_the_old_vault(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = filled(path)
    path.with_name("vault.new").write_bytes(path.read_bytes()[:100])
    path.with_name("vault.new").chmod(0o666)

    assert Vault.unlock(path, WORDS).read(MAIN) == b"alpha-plain-text"
    vault.write(MAIN, b"the newer one", new=False)

    assert Vault.unlock(path, WORDS).read(MAIN) == b"the newer one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
