import io
import json
import logging
import math
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import structlog

from abidance.kernel.log import HIDDEN, Redaction, configure, is_secret_name, logger

CANARY = "c4n4ry-9f8e7d"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, told = root.handlers[:], root.level, structlog.get_config()
    yield
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)
    structlog.configure(**told)


class Logged:
    """A configured log in a folder, with its two outputs."""

    def __init__(self, folder: Path, *secrets: str | bytes, level: str = "debug") -> None:
        self.path = folder / "logs" / "bot.log"
        self.screen = io.StringIO()
        self.redaction = configure(self.path, level, redaction=Redaction(secrets), console=self.screen)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]

    @property
    def everything(self) -> str:
        return self.path.read_text("utf-8") + self.screen.getvalue()


def test_an_event_is_one_json_line_in_the_file_and_readable_on_the_console(tmp_path: Path) -> None:
    log = Logged(tmp_path)

    logger("node").info(
        "order sent",
        instrument="BTC/USDT@BINANCE",
        quantity=Decimal("0.1"),
        steps=[1, 2.5, None, True, math.nan],
    )

    (line,) = log.lines
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "order sent",
        "level": "info",
        "logger": "node",
        "instrument": "BTC/USDT@BINANCE",
        "quantity": "0.1",
        "steps": [1, 2.5, None, True, "nan"],
    }
    assert "order sent" in log.screen.getvalue()
    assert "instrument=BTC/USDT@BINANCE" in log.screen.getvalue()


def test_lines_below_the_level_are_left_out(tmp_path: Path) -> None:
    log = Logged(tmp_path, level="warning")

    logger("node").info("quiet")
    logging.getLogger("library").info("quiet")
    logger("node").warning("loud")

    assert [line["event"] for line in log.lines] == ["loud"]


def test_libraries_log_through_the_same_redaction(tmp_path: Path) -> None:
    log = Logged(tmp_path, CANARY)

    logging.getLogger("library").warning("GET %s?token=%s", "https://venue/x", "abc123")
    logging.getLogger("library").error("it is %s", CANARY)
    try:
        raise ValueError(f"bad {CANARY}")
    except ValueError:
        logging.getLogger("library").exception("failed")

    assert [line["event"] for line in log.lines[:2]] == [
        f"GET https://venue/x?token={HIDDEN}",
        f"it is {HIDDEN}",
    ]
    assert log.lines[2]["exception"].endswith(f"ValueError: bad {HIDDEN}")
    assert CANARY not in log.everything
    assert "abc123" not in log.everything


def test_a_second_configuration_replaces_the_first(tmp_path: Path) -> None:
    first = Logged(tmp_path / "a")
    second = Logged(tmp_path / "b")

    logger("node").info("once")

    assert first.everything == ""
    assert len(second.lines) == 1


def test_without_a_file_the_console_alone_is_written() -> None:
    screen = io.StringIO()
    configure(None, console=screen)

    logger("node").info("hello")

    assert "hello" in screen.getvalue()


class Revealing:
    """A value that shows a secret when it is printed."""

    def __repr__(self) -> str:
        return f"Revealing(password='{CANARY}')"


class Broken:
    """A value that cannot be printed."""

    def __repr__(self) -> str:
        raise RuntimeError(CANARY)


@pytest.mark.parametrize(
    "value",
    [
        {"api_key": CANARY},
        {"a": {"b": [{"c": ({"Secret": CANARY},)}]}},
        {"headers": {"X-BAPI-SIGN": CANARY, "Authorization": CANARY, "KC-API-PASSPHRASE": CANARY}},
        {"key": [CANARY, {"x": CANARY}]},
        {"password": CANARY.encode()},
        {"secret": 1234567890123, "token": Revealing()},
        {f"https://host/?token={CANARY}": 1},
        [f"wss://host/ws?a=1&listenKey={CANARY}&b=2"],
        {f"https://user:{CANARY}@host/path"},
        f"https://api.messenger.org/bot123456:{CANARY}/send",
        f"POST /order?symbol=X&signature={CANARY}",
        f"Authorization: Bearer {CANARY}",
        f'{{"apiKey": "{CANARY}", "n": 1}}',
        f"{{'secret': '{CANARY}'}}",
        f"{{'secret': b'{CANARY}'}}",
        f'"{{\\"token\\": \\"{CANARY}\\"}}"',
        f"-----BEGIN EC PRIVATE KEY-----\n{CANARY}\n-----END EC PRIVATE KEY-----",
        f"api_key={CANARY}".encode(),
        Revealing(),
        ValueError(f"passphrase={CANARY}"),
        Broken(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_secrets_are_seen_by_their_name_or_look(tmp_path: Path, value: object) -> None:
    log = Logged(tmp_path)

    logger("node").info("seen", value=value)

    assert CANARY not in log.everything
    assert "1234567890123" not in log.everything


@pytest.mark.parametrize(
    "value",
    [
        f"plain {CANARY} text",
        f"{CANARY}".encode(),
        bytearray(f"x{CANARY}x".encode()),
        [[[{"a": CANARY}]]],
        {CANARY: 1},
        RuntimeError(CANARY),
        Path("/home") / CANARY,
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_registered_secret_is_hidden_wherever_it_is(tmp_path: Path, value: object) -> None:
    log = Logged(tmp_path, CANARY)

    logger("node").info("seen", value=value)
    logger("node").info(f"event {CANARY}")

    assert CANARY not in log.everything


def test_registered_secrets_are_hidden_in_their_encoded_forms() -> None:
    redaction = Redaction(["p@ss/w+rd=", b"bytes\xff!", "it's\n2"])

    assert redaction.text("x?q=p%40ss%2Fw%2Brd%3D") == f"x?q={HIDDEN}"
    assert redaction.text("p@ss/w+rd= and") == f"{HIDDEN} and"
    assert redaction.value(b"bytes\xff!") == HIDDEN
    assert redaction.text(repr("it's\n2")) == f'"{HIDDEN}"'


def test_a_longer_secret_is_hidden_whole_even_when_a_shorter_one_is_part_of_it() -> None:
    assert Redaction(["abcd", "abcdefgh"]).text("abcdefgh abcd") == f"{HIDDEN} {HIDDEN}"


def test_a_registered_number_is_hidden_and_short_values_do_not_blot_out_everything() -> None:
    redaction = Redaction(["482913", "1", ""])

    assert redaction.value({"pin": 482913, "count": 1}) == {"pin": HIDDEN, "count": 1}


def test_secrets_in_the_text_and_the_causes_of_exceptions_are_hidden(tmp_path: Path) -> None:
    log = Logged(tmp_path, CANARY)

    try:
        try:
            raise ConnectionError(f"https://host/?token=abcdef and {CANARY}")
        except ConnectionError as error:
            raise RuntimeError({"secret": "abcdef"}) from error
    except RuntimeError:
        logger("node").exception("failed")

    assert "ConnectionError: https://host/?token=" in log.lines[0]["exception"]
    assert CANARY not in log.everything
    assert "abcdef" not in log.everything


def test_a_structure_without_end_is_cut_off() -> None:
    endless: dict[str, object] = {}
    endless["again"] = endless

    assert "…" in json.dumps(Redaction().value(endless), ensure_ascii=False)


def test_ordinary_words_stay_readable() -> None:
    text = "Unknown key: limits. Signal 0.5, https://host:8080/a@b?symbol=BTC&side=buy, basic income"

    assert Redaction().text(text) == text
    assert Redaction().value({"signal": 1.0, "api_key": None, "has_token": True}) == {
        "signal": 1.0,
        "api_key": None,
        "has_token": True,
    }


@pytest.mark.parametrize(
    "piece", ["a", "key", "'key", "secret_", "://", "a:b@", "-----BEGIN PRIVATE KEY-----"]
)
def test_a_long_line_takes_no_time_worth_noting(piece: str) -> None:
    assert Redaction([CANARY]).text(piece * (300_000 // len(piece)))


@pytest.mark.parametrize(
    "name", ["apiKey", "API-Sign", "x_sign", "Passwd", "authorisation", "session.cookie"]
)
def test_names_of_secrets_are_known(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["signal", "design", "instrument", "max_exposure", "assigned"])
def test_other_names_are_not(name: str) -> None:
    assert not is_secret_name(name)


def test_importing_sets_nothing_up() -> None:
    script = "import logging, abidance.kernel.log, structlog; print(logging.getLogger().handlers, structlog.is_configured())"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[] False"
