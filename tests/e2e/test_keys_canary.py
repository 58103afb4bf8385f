"""Keys from outside: distinctive secrets go through everything that may go wrong, and then all that was shown or
written is searched for them, in full and by their first eight characters."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from abidance.security.secret import Secret
from abidance.security.vault import Cost, Slot, Vault
from tests.e2e.program import Outcome, Program
from tests.unit.venues.keyed_venue import GOOD, KeyedVenue, on_loopback

pytestmark = pytest.mark.e2e

WORDS, NEW_WORDS = "canarywords-one-two-three", "wordcanary-four-five-six"
KEYS = ["Kanari1aQxTqP2mZr7LwV8sY", "Kanari2bWxTqP2mZr7LwV8sY", "Kanari3cExTqP2mZr7LwV8sY"]
SECRETS = [base64.b64encode(f"canary-{n}-of-the-secrets-that-nobody-sees".encode()).decode() for n in "xyz"]
PASSPHRASE = "Zanarienvogel-99"
PEM_LINE = "MC4CAQAwBQYDK2VwBCIEIKanarienPemLineThatIsLongEnough"
PEM = f"-----BEGIN PRIVATE KEY-----\n{PEM_LINE}\n-----END PRIVATE KEY-----"
QUICK = Cost(32, 1, 1)
"""Of a vault for which it does not matter how long a guess at its passphrase takes."""
CANARIES = [WORDS, NEW_WORDS, *KEYS, *SECRETS, PASSPHRASE, PEM_LINE]


class Place:
    """The program, a venue on loopback that checks signatures, and all that was ever said."""

    def __init__(self, home: Path, name: str = "BINANCE") -> None:
        self.program = Program(home)
        self.venue = KeyedVenue(name, time.time_ns())
        self.venue.key, self.venue.secret, self.venue.passphrase = KEYS[0], SECRETS[0], PASSPHRASE
        self.said: list[str] = []
        self.config = home / "config.toml"

    def run(self, *typed: str, stdin: str = "", words: str = WORDS, **env: str) -> Outcome:
        feed = {"ABIDANCE_PASSPHRASE": words} | env
        self.venue.now = time.time_ns()
        outcome = self.program(*typed, env=feed, given=stdin.encode())
        self.said += [outcome.out, outcome.err]
        return outcome

    def keys(self, *typed: str, key: int = 0, secret: int = 0, words: str = WORDS, **env: str) -> Outcome:
        given = f"{KEYS[key]}\n{SECRETS[secret]}\n{PASSPHRASE}\n"
        asks = typed[0] in {"add", "check", "rotate"}
        more = ("-c", str(self.config)) if asks else ()
        return self.run("keys", *typed, *more, stdin=given, words=words, **env)


@contextmanager
def served(place: Place) -> Iterator[Place]:
    """Let the venue answer on loopback, and the configuration name it."""

    with on_loopback(place.venue) as settings:
        place.config.write_text(settings)
        yield place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with served(Place(tmp_path)) as place:
        yield place


def leaks(place: Place) -> list[str]:
    """Return where a canary, its first eight characters or their base64 or hex can be read."""
    looked = {f"output {n}": text.encode() for n, text in enumerate(place.said)}
    for file in place.program.home.rglob("*"):
        if file.is_file():
            looked[str(file.relative_to(place.program.home))] = file.read_bytes()
    found = []
    for canary in CANARIES:
        start = canary[:8].encode()
        marks = (
            start,
            base64.b64encode(start)[:10],
            start.hex().encode(),
            base64.b64encode(start + b"x")[1:9],
        )
        found += [
            f"{canary[:12]} in {where}" for where, text in looked.items() if any(m in text for m in marks)
        ]
    return found


def test_the_search_finds_what_is_there(place: Place) -> None:
    place.said.append(f"the key is {KEYS[0][:8]}…")
    (place.program.home / "dump").write_bytes(b"\0" + PASSPHRASE.encode() + b"\0")

    assert len(leaks(place)) == 2


def test_a_key_goes_its_whole_way_and_is_seen_nowhere(place: Place) -> None:
    wrong = place.keys("add", "binance", key=1)
    unsigned = place.keys("add", "binance", secret=1)
    place.venue.said = (200, GOOD["BINANCE"] | {"enableWithdrawals": True})
    refused = place.keys("add", "binance")
    assert not (place.program.userdir / "vault").exists()
    place.venue.said = (200, GOOD["BINANCE"] | {"ipRestrict": False})
    added = place.keys("add", "binance")
    again = place.keys("add", "binance")
    listed, as_json = place.keys("list"), place.keys("list", "--json")
    checked, told = place.keys("check"), place.keys("check", "--json")
    bad_rotation = place.keys("rotate", "binance", key=2)
    still = place.keys("check")
    place.venue.key, place.venue.secret = KEYS[2], SECRETS[2]
    rotated = place.keys("rotate", "binance", key=2, secret=2)
    changed = place.keys("change-passphrase", ABIDANCE_NEW_PASSPHRASE=NEW_WORDS)
    locked, open_ = place.keys("list"), place.keys("list", words=NEW_WORDS)
    removed = place.keys("remove", "binance", "--yes", words=NEW_WORDS)

    assert (wrong.code, unsigned.code, refused.code) == (3, 3, 3)
    assert "does not know this key" in wrong.err
    assert "the secret does not belong to it" in unsigned.err
    assert "The key of BINANCE main is refused: It can withdraw money." in refused.err
    assert (added.code, again.code) == (0, 3)
    assert "It works from every address" in added.out
    assert "already" in again.err
    assert f"…{KEYS[0][-4:]}" in listed.out
    assert f'"ends_in": "{KEYS[0][-4:]}"' in as_json.out
    assert (checked.code, told.code, still.code) == (0, 0, 0)
    assert '"refused": []' in told.out
    assert bad_rotation.code == 3
    assert (rotated.code, changed.code, locked.code, open_.code, removed.code) == (0, 0, 3, 0, 0)
    assert "does not open the vault" in locked.err
    assert f"…{KEYS[2][-4:]}" in open_.out
    assert leaks(place) == []


def test_what_goes_wrong_shows_no_secret_either(place: Place) -> None:
    Vault.create(place.program.userdir / "vault", Secret(WORDS), QUICK)
    assert place.keys("add", "binance", "--unchecked").code == 0

    place.venue.echoes = True
    echoed = place.keys("check")
    place.venue.echoes = False
    place.venue.said = (200, GOOD["BINANCE"] | {"enableWithdrawals": True})
    gained = place.keys("check", "--json")
    place.config.write_text('[feed.addresses.BINANCE]\nrest_url = "http://127.0.0.1:1"\n')
    unreachable = place.keys("check")
    place.config.write_text('[feed.addresses.BINANCE]\nrest_url = "https://evil.example"\n')
    elsewhere = place.keys("check")
    argument = place.run("keys", "add", "binance", "second", SECRETS[1])
    option = place.run("keys", "rotate", "binance", "--secret", SECRETS[1])
    glued = place.run("keys", "add", "binance", f"--secret={SECRETS[1]}")
    name = place.run("keys", "add", "binance", SECRETS[1])
    removed = place.run("keys", "remove", "binance", SECRETS[1])
    typo = place.keys("add", "binnance")
    blanks = place.run(
        "keys", "rotate", "binance", "--unchecked", stdin=f"{KEYS[1]} {SECRETS[1]}\n{SECRETS[1]}\n"
    )
    nothing = place.run("keys", "rotate", "binance", "--unchecked", stdin=f"{KEYS[1]}\n")
    pem = place.run("keys", "rotate", "binance", "--unchecked", stdin=f"{KEYS[1]}\n{PEM}\n")
    half = place.run("keys", "rotate", "binance", "--unchecked", stdin=f"{KEYS[1]}\n{PEM[:60]}\n")

    assert (echoed.code, gained.code, unreachable.code, elsewhere.code) == (8, 3, 8, 3)
    assert "did not tell what the key may do" in echoed.out
    assert "It can withdraw money." in gained.out
    assert "cannot be reached" in unreachable.out
    assert "no address of the venue" in elsewhere.out
    assert [each.code for each in (argument, option, glued, name, removed, typo, blanks, nothing, half)] == [
        2
    ] * 9
    assert "Did you mean BINANCE" in typo.err
    assert pem.code == 0
    assert all("Traceback" not in text for text in place.said)
    assert leaks(place) == []


BREAK = """
import sys
from abidance.cli.main import main
from abidance.run import keys
from abidance.kernel import log
log.configure(__import__("pathlib").Path(sys.argv.pop(1)), "debug")
async def broken(key, *rest):
    log.logger("test").error("failed", key=key, secret=key.secret, text=f"{key.secret.reveal()} in a text")
    log.logger("test").warning("raw " + key.key.reveal())
    raise RuntimeError(f"a defect with {key.key.reveal()} and {key.secret.reveal()} and {key!r}")
keys.judged = broken
main(sys.argv[1:])
"""


def test_a_defect_shows_a_traceback_and_logs_without_secrets(place: Place, tmp_path: Path) -> None:
    place.keys("add", "binance", "--unchecked")

    done = subprocess.run(
        [sys.executable, "-c", BREAK, str(tmp_path / "log.jsonl"), "keys", "check"],
        env=place.program.environ | {"ABIDANCE_PASSPHRASE": WORDS},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    place.said += [done.stdout, done.stderr]
    assert done.returncode == 1
    assert "RuntimeError: a defect with [hidden]" in done.stderr
    assert "[hidden] in a text" in (tmp_path / "log.jsonl").read_text() + done.stderr
    assert leaks(place) == []


def test_kucoin_wants_its_passphrase_and_checks_it(tmp_path: Path) -> None:
    with served(Place(tmp_path, "KUCOIN")) as place:
        added = place.keys("add", "kucoin")
        place.venue.passphrase = "another"
        checked = place.keys("check")

    assert added.code == 0, added.err
    assert "its passphrase is another one" in checked.out
    assert leaks(place) == []


AT_A_TERMINAL = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"


def test_at_a_terminal_nothing_that_is_typed_is_shown(place: Place) -> None:
    answers = [
        (b"Key of", KEYS[0]),
        (b"Secret of", SECRETS[0]),
        (b"New passphrase", WORDS),
        (b"The same again", WORDS),
    ]
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            AT_A_TERMINAL,
            *place.program.command("keys", "add", "binance", "--unchecked"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=place.program.environ,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    shown = b""
    with child:
        for question, answer in answers:
            while question not in shown.rpartition(b"\n")[2]:
                part = os.read(child.stdout.fileno(), 4096)
                assert part, shown
                shown += part
            child.stdin.write(answer.encode() + b"\n")
            child.stdin.flush()
        while part := os.read(child.stdout.fileno(), 4096):
            shown += part

    place.said.append(shown.decode())
    assert b"Added the key of BINANCE main." in shown
    assert f"…{KEYS[0][-4:]}" in place.keys("list").out
    assert leaks(place) == []


ROTATE = """
import sys
from pathlib import Path
from itertools import count
from abidance.security import vault
from abidance.security.secret import Secret
found = vault.Vault.unlock(Path(sys.argv[1]), Secret(sys.argv[2]))
slot = vault.Slot("BINANCE", "main", "trading")
print("ready", flush=True)
for number in count():
    found.write(slot, b"%08d" % number * 500, new=False)
"""


def test_a_check_is_told_although_there_is_no_room_to_note_it(place: Place) -> None:
    place.keys("add", "binance")
    vault = place.program.userdir / "vault"
    before = vault.read_bytes()
    place.venue.said = (200, GOOD["BINANCE"] | {"enableWithdrawals": True})
    place.venue.now = time.time_ns()

    full = place.program(
        "keys", "check", "--json", "-c", str(place.config),
        env={"ABIDANCE_PASSPHRASE": WORDS}, before=("sh", "-c", 'ulimit -f 0; exec "$@"', "sh"),
    )  # fmt: skip

    (row,) = json.loads(full.out)
    assert row["refused"] == ["It can withdraw money."]
    assert "could not be noted in the vault: File too large." in row["warnings"][-1]
    assert full.code == 3
    assert vault.read_bytes() == before


def test_a_process_killed_while_it_rotates_leaves_a_whole_vault(tmp_path: Path) -> None:
    path, slot = tmp_path / "vault", Slot("BINANCE", "main", "trading")
    Vault.create(path, Secret(WORDS), QUICK).write(slot, b"00000000" * 500)
    kept = []
    for round_ in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", ROTATE, str(path), WORDS], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        before = path.stat().st_mtime_ns
        deadline = time.monotonic() + 20
        while path.stat().st_mtime_ns == before and time.monotonic() < deadline:
            threading.Event().wait(0.0005 * (round_ + 1))
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        kept.append(Vault.unlock(path, Secret(WORDS)).read(slot))

    assert all(
        len(content) == 4_000 and len({content[i : i + 8] for i in range(0, 4_000, 8)}) == 1
        for content in kept
    )
