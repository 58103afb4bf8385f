"""Whatever is typed, stored or written wrongly ends in one clear sentence with a remedy, a stable code, and no loss.

Real processes throughout. A code is the kind of mistake: 2 typed, 3 configuration, 4 data, 5 strategy, 6 journal.
"""

import os
import signal
import subprocess
from pathlib import Path
from shutil import which
from typing import Any

import pytest

import abidance
from tests.e2e.program import HOUR, ROW, RUN, START, Program, assert_refused, bars, decided

pytestmark = pytest.mark.e2e

SAMPLE = next((Path(abidance.__file__).parent / "data").glob("*.parquet"))
BACKTEST = ("backtest", *RUN)
TRADE = ("trade", *RUN, "--speed", "0", "--plain")
TEST = ("--instrument", "TST/USDT@BINANCE", "-i", "1h")
ESCAPE = "\x1b[31m"


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def loaded_by(program: Program, *typed: str) -> set[str]:
    """Return the modules that a command imports."""
    done = program(*typed, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.code == 0, done
    return {line.rpartition("|")[2].strip() for line in done.err.splitlines()}


def test_help_loads_no_heavy_library(program: Program) -> None:
    heavy = {
        "asyncio", "jinja2", "msgspec", "numpy", "polars", "pydantic", "rich.live", "rich.progress", "structlog",
        "talib",
    }  # fmt: skip

    loaded = loaded_by(program, "--help")

    assert "typer" in loaded
    assert loaded & heavy == set()


def test_paper_trading_on_a_replay_loads_nothing_that_reaches_a_venue(program: Program) -> None:
    loaded = loaded_by(program, *TRADE)

    assert "abidance.run.paper" in loaded
    assert loaded & {"aiohttp", "ccxt", "cryptography", "abidance.run.live", "abidance.run.trading"} == set()


# --- typed: 2

TYPED: dict[str, tuple[Any, ...]] = {
    "no such command": (("backtets",), 2, "backtets", "Did you mean 'backtest'?"),
    "no such option": (("backtest", "--timerang", "x"), 2, "--timerang"),
    "a superfluous word": (("list-data", "all"), 2, "all"),
    "no strategy of that name": (("backtest", "-s", "EmaCros", "-p", "BTC/USDT"), 2, "EmaCros", "EmaCross"),
    "no strategy file": (("backtest", "-s", "nope.py", "-p", "BTC/USDT"), 2, "nope.py"),
    "no strategy at all": (("backtest", "-p", "BTC/USDT"), 3, "-s"),
    "nothing to trade": (("backtest", "-s", "EmaCross"), 3, "-p BTC/USDT"),
    "lower case": (("backtest", "-s", "EmaCross", "-p", "btc/usdt"), 2, "BTC/USDT@BINANCE"),
    "no slash": (("backtest", "-s", "EmaCross", "-p", "BTCUSDT"), 2, "BTC/USDT@BINANCE"),
    "a way out of the folder": (
        ("backtest", "-s", "EmaCross", "-p", "../../etc/X@.."),
        2,
        "BASE/QUOTE@VENUE",
    ),
    "a name without end": (("backtest", "-s", "EmaCross", "-p", "A" * 600 + "/USDT"), 2, "BASE/QUOTE@VENUE"),
    "escapes in a name": (("backtest", "-s", "EmaCross", "-p", f"{ESCAPE}/USDT"), 2, "Unknown instrument"),
    "an instrument twice": ((*BACKTEST, "-p", "BTC/USDT@BINANCE"), 2, "listed twice"),
    "a strategy twice": ((*BACKTEST, "-s", "EmaCross"), 2, "EmaCross"),
    "no timeframe": ((*BACKTEST, "-i", "7x"), 2, "7x", "1h"),
    "a timeframe for ever": ((*BACKTEST, "-i", "99999999h"), 2, "99999999h", "1h"),
    "an odd digit": ((*BACKTEST, "-i", "²h"), 2, "²h", "1h"),
    "a detail too long": ((*BACKTEST, "--detail-timeframe", "1h"), 2, "does not divide"),
    "a range that ends first": ((*BACKTEST, "--timerange", "20240201-20240101"), 2, "ends before it starts"),
    "no range": ((*BACKTEST, "--timerange", "january"), 2, "january", "20240101-20240601"),
    "a negative fee": ((*BACKTEST, "--fee", "-1"), 2, "-1.0", "at least 0"),
    "an infinite fee": ((*BACKTEST, "--fee", "inf"), 2, "inf"),
    "slippage that is none": ((*BACKTEST, "--slippage", "nan"), 2, "nan", "plain digits"),
    "a fee in words": ((*BACKTEST, "--fee", "cheap"), 2, "cheap", "--fee"),
    "a stake of nothing": ((*BACKTEST, "--stake-amount", "0"), 2, "above 0"),
    "a stake that is no number": ((*BACKTEST, "--stake-amount", "nan"), 2, "nan"),
    "a stake beyond all": ((*BACKTEST, "--stake-amount", "inf"), 2, "inf"),
    "an empty wallet": ((*BACKTEST, "--dry-run-wallet", "0"), 2, "above 0"),
    "all money there is": ((*BACKTEST, "--dry-run-wallet", "1e300"), 2, "at most"),
    "a setting without value": ((*BACKTEST, "--set", "garbage"), 2, "KEY=VALUE"),
    "a setting almost right": (
        (*BACKTEST, "--set", "risk.limits.max_exposur=1"),
        2,
        "risk.limits.max_exposure",
    ),
    "a setting of another kind": (
        (*BACKTEST, "--set", "risk.limits.max_exposure=lots"),
        2,
        "lots",
        "a number",
    ),
    "a setting and its inside": ((*BACKTEST, "--set", "name=a", "--set", "name.b=1"), 2, "name.b"),
    "a setting too deep": ((*BACKTEST, "--set", "name=" + "[" * 9_000), 2, "does not fit"),
    "a setting that steers": ((*BACKTEST, "--set", f"{ESCAPE}=1"), 2, "Unknown setting"),
    "a speed backwards": (("trade", *RUN, "--speed", "-1"), 2, "-1", "--speed"),
    "a result into a folder": ((*BACKTEST, "--json", "."), 2, "folder"),
    "a report under a file": ((*BACKTEST, "--report", "taken/x.html"), 2, "taken"),
    "a file name without end": ((*BACKTEST, "--report", "a" * 5_000), 2, "too long"),
    "a user directory that is a file": (("list-data", "--userdir", "taken"), 2, "taken", "--userdir"),
    "a user directory under a file": (("trade", *RUN, "--userdir", "taken/x"), 2, "taken", "--userdir"),
    "a strategy that is a path": (("new-strategy", "../x"), 2, "MyIdea"),
    "a strategy that is shipped": (("new-strategy", "EmaCross"), 2, "shipped"),
    "no such data": (("check-data", "--instrument", f"X/Y@Z{ESCAPE}"), 4, "list-data"),
    "bars that are not there": (
        ("backtest", "-s", "EmaCross", "-p", "BTC/EUR"),
        4,
        "BTC/USDT@BINANCE",
        "import-data",
    ),
    "a venue that is not there": (
        ("backtest", "-s", "EmaCross", "-p", "BTC/USDT@KRAKEN"),
        4,
        "KRAKEN",
        "import-data",
    ),
    "a timeframe that is not there": ((*BACKTEST, "-i", "1m"), 4, "1m", "only 1h"),
    "a range without bars": ((*BACKTEST, "--timerange", "20300101-"), 4, "2030-01-01", "2025-06-30"),
}


@pytest.mark.parametrize("case", TYPED)
def test_what_is_typed_wrongly_is_told_and_nothing_is_written(program: Program, case: str) -> None:
    typed, code, *words = TYPED[case]
    program.file("taken", "mine")
    before = program.files()

    outcome = program(*typed)

    assert_refused(outcome, code, *words)
    assert program.files() == before


def test_the_corrected_command_works_and_its_files_are_whole(program: Program) -> None:
    done = program(
        *BACKTEST, "--json", "deep/in/a.json", "--report", "[red].html", "--stake-amount", "1000000"
    )

    assert done.code == 0, done
    assert done.err == ""
    assert decided(program.home / "deep/in/a.json")["metrics"]
    assert (program.home / "[red].html").read_text().rstrip().endswith("</html>")
    assert "[red].html" in done.out
    assert "risk" in done.out.lower()  # a stake larger than the wallet is refused order by order, and said


# --- configuration: 3

CONFIGURED: dict[str, tuple[Any, ...]] = {
    "missing": (None, "new-config"),
    "malformed": ("name = \nx", "line 1, column 8"),
    "twice": ('name = "a"\nname = "b"\n', "once"),
    "a table twice": ("[risk]\n[risk]\n", "once"),
    "not known": ("[risk.limit]\nmax_exposure = 1\n", "line 1", "risk.limits"),
    "not known, and steering": (f'"{ESCAPE.encode("unicode_escape").decode()}" = 1\n'.replace("\\x1b", "\\u001b"), "Unknown"),
    "out of range": ("[risk.limits]\nmax_exposure = -1\n", "-1", "line 2", "above 0"),
    "no number": ("dry_run_wallet = nan\n", "nan", "line 1"),
    "a number too long": ("dry_run_wallet = " + "9" * 5_000, "too long"),
    "lists too deep": ("name = " + "[" * 5_000 + "]" * 5_000, "too deep"),
    "junk": (bytes(range(256)), "UTF-8"),
    "zeros": (b"\0\0\0", "line 1"),
    "a parameter out of range": ('[[strategies]]\nstrategy = "EmaCross"\nparameters = {fast = -1}\n', "fast = -1", "from 2"),
    "a parameter of no name": ('[[strategies]]\nstrategy = "EmaCross"\nparameters = {fst = 3}\n', "fst", "fast, slow"),
    "a parameter of another kind": ('[[strategies]]\nstrategy = "EmaCross"\nparameters = {fast = "x"}\n', "'x'", "whole"),
}  # fmt: skip


@pytest.mark.parametrize("case", CONFIGURED)
def test_a_configuration_that_does_not_fit_is_told_with_its_place(program: Program, case: str) -> None:
    content, *words = CONFIGURED[case]
    if content is not None:
        program.file("own.toml", content)
    before = program.files()

    outcome = program("backtest", "-c", "own.toml", "-p", "BTC/USDT", "--timerange", "20240101-20240115")

    assert_refused(outcome, 2 if "parameter" in case else 3, *words)
    assert program.files() == before


@pytest.mark.parametrize(
    ("variable", "value", "word"),
    [
        ("ABIDANCE__FOO", "1", "ABIDANCE__FOO"),
        ("ABIDANCE__RISK__LIMITS__MAX_EXPOSURE", "x\x1b[2J", "MAX_EXPOSURE"),
        ("ABIDANCE__RISK", "[" * 5_000, "risk"),
        ("ABIDANCE__", "1", "ABIDANCE__TABLE__SETTING"),
    ],
)
def test_a_variable_that_does_not_fit_is_told(program: Program, variable: str, value: str, word: str) -> None:
    assert_refused(program(*BACKTEST, env={variable: value}), 3, word)


def test_a_folder_is_no_configuration_and_a_written_one_works(program: Program) -> None:
    refused = program(*BACKTEST, "-c", ".")
    written = program("new-config")
    again = program("new-config")
    shown = program("show-config", "-c", str(program.userdir / "config.toml"))

    assert_refused(refused, 3, "new-config")
    assert_refused(again, 2, "--force")
    assert (written.code, shown.code) == (0, 0)


# --- data: 4

IMPORTED: dict[str, tuple[str, str | bytes, str]] = {
    "empty": ("a.csv", "", "empty"),
    "a header alone": ("a.csv", ROW, "no rows"),
    "other columns": ("a.csv", "a,b\n1,2\n", "no column ts"),
    "columns that steer": ("a.csv", f"{ESCAPE}ts,open\n1,2\n", "no column ts"),
    "words for prices": ("a.csv", bars(prices="1,two,0.5,1.5,10"), "'two'"),
    "nothing for a price": ("a.csv", bars(prices="1,,0.5,1.5,10"), "row 1"),
    "no number": ("a.csv", bars(prices="1,nan,0.5,1.5,10"), "not a number"),
    "an infinite price": ("a.csv", bars(prices="1,inf,0.5,1.5,10"), "infinite"),
    "a high below": ("a.csv", bars(prices="1,0.2,0.1,1.5,10"), "high below"),
    "one low above": (
        "a.csv",
        bars(5_000) + f"{START + 5_000 * HOUR},1,2,3,1.5,10\n",
        "2024-07-27 08:00: open 1, high 2, low 3",
    ),
    "a negative volume": ("a.csv", bars(prices="1,2,0.5,1.5,-1"), "volume"),
    "two bars at once": ("a.csv", bars() + f"{START},1,3,0.5,1.5,10\n", "two different bars"),
    "another timeframe": ("a.csv", bars(step=HOUR // 60), "-i 1m"),
    "off the grid": ("a.csv", bars(start=START + 123), "grid"),
    "another century": ("a.csv", bars(start=32_503_680_000_000), "3000-01-01"),
    "junk": ("a.csv", bytes(range(256)) * 9, "csv"),
    "an unknown kind": ("a.doc", bars(), ".doc"),
    "a cut file": ("a.parquet", SAMPLE.read_bytes()[:20_000], "parquet"),
    "a false archive": ("a.csv.gz", "hello", "csv"),
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Return a program whose store holds the bars that the imports below collide with."""
    program = Program(tmp_path_factory.mktemp("filled"))
    program.file("good.csv", bars())
    assert program("import-data", "good.csv", *TEST).code == 0
    return program


@pytest.mark.parametrize("case", IMPORTED)
def test_a_file_that_cannot_be_trusted_is_refused_and_the_store_stays(filled: Program, case: str) -> None:
    name, content, word = IMPORTED[case]
    filled.file(name, content)
    before = filled.files()

    outcome = filled("import-data", name, *TEST)

    assert_refused(outcome, 4, word)
    assert filled.files() == before


def test_bars_that_contradict_stored_ones_change_nothing_until_told_to(filled: Program) -> None:
    filled.file("more.csv", bars(60).replace(f"{START + 5 * HOUR},1,2,", f"{START + 5 * HOUR},1,3,"))
    before = filled.files()

    refused = filled("import-data", "more.csv", *TEST)
    after = filled.files()
    replaced = filled("import-data", "more.csv", *TEST, "--replace")
    run = filled("backtest", "-s", "BuyAndHold", "-p", "TST/USDT")

    assert_refused(refused, 4, "2024-01-01 05:00", "--replace")
    assert after == before
    assert (replaced.code, run.code) == (0, 0)


def test_rows_out_of_order_and_rows_twice_are_put_right_and_said(program: Program) -> None:
    rows = bars().removeprefix(ROW).splitlines(keepends=True)
    program.file("a.csv", ROW + "".join([*reversed(rows), rows[0]]))

    done = program("import-data", "a.csv", *TEST)

    assert done.code == 0
    assert "not in the order of time" in done.out
    assert "exact duplicate" in done.out


def test_a_full_disk_is_told_by_the_import_and_the_stored_bars_stay(program: Program) -> None:
    program.file("a.csv", bars(24 * 28))
    program.file("b.csv", bars(24 * 90))
    program("import-data", "a.csv", *TEST)
    before = program.files()

    full = program("import-data", "b.csv", *TEST, before=("sh", "-c", 'ulimit -f 1; exec "$@"', "sh"))
    after = program.files()
    done = program("import-data", "b.csv", *TEST)

    assert_refused(full, 4, "no room", "Make room")
    assert after == before
    assert done.code == 0


def test_a_folder_or_a_missing_file_is_no_data(program: Program) -> None:
    assert_refused(program("import-data", ".", *TEST), 4, "path")
    assert_refused(program("import-data", "nope.csv", *TEST), 4, "nope.csv")


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ("cut", "cannot be read"),
        ("backwards", "does not come after"),
        ("nan", "not a number"),
        ("one low above", "low above another price"),
    ],
)
def test_a_damaged_store_is_not_traded_on_and_a_new_import_mends_it(
    program: Program, fault: str, word: str
) -> None:
    import polars as pl

    program.file("a.csv", bars(60))
    program("import-data", "a.csv", *TEST)
    (path,) = program.userdir.rglob("*.parquet")
    frame, version = pl.read_parquet(path), pl.read_parquet_metadata(path)["abidance.schema"]
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:-50])
    else:
        lows = pl.when(pl.int_range(pl.len()) == 5).then(3.0).otherwise("low")
        broken = {
            "backwards": frame.reverse(),
            "nan": frame.with_columns(close=pl.lit(float("nan"))),
            "one low above": frame.with_columns(low=lows),
        }[fault]
        broken.write_parquet(path, metadata={"abidance.schema": version})

    refused = [
        program(mode, "-s", "BuyAndHold", "-p", "TST/USDT", *more)
        for mode, *more in (("backtest",), ("trade", "--speed", "0", "--plain"))
    ]
    graded = program("check-data", "--instrument", "TST/USDT@BINANCE")
    path.unlink()
    mended = program("import-data", "a.csv", *TEST)
    works = program("backtest", "-s", "BuyAndHold", "-p", "TST/USDT")

    for outcome in refused:
        assert_refused(outcome, 4, word)
    assert graded.code == 4
    assert not program.journal.exists()
    assert (mended.code, works.code) == (0, 0)


@pytest.mark.parametrize("damage", ["junk", "a column gone"])
def test_a_file_that_cannot_be_read_hides_no_other_series(program: Program, damage: str) -> None:
    import polars as pl

    program.file("a.csv", bars(60))
    for name in ("TST", "OTHER"):
        program("import-data", "a.csv", "--instrument", f"{name}/USDT@BINANCE", "-i", "1h")
    (path,) = program.userdir.rglob("TST-USDT/**/*.parquet")
    if damage == "junk":
        path.write_bytes(b"PAR1 junk")
    else:
        version = pl.read_parquet_metadata(path)["abidance.schema"]
        pl.read_parquet(path).drop("close").write_parquet(path, metadata={"abidance.schema": version})

    listed, checked = program("list-data"), program("check-data")
    sound = program("backtest", "-s", "BuyAndHold", "-p", "OTHER/USDT")

    for outcome in (listed, checked):
        assert "Traceback" not in outcome.err
        assert all(
            word in outcome.out for word in ("TST/USDT@BINANCE", "OTHER/USDT@BINANCE", "BTC/USDT@BINANCE")
        )
    assert checked.code == 4
    assert listed.code == (4 if damage == "junk" else 0)  # a list reads the times alone
    assert "2024-01.parquet cannot be read" in "".join(checked.out.replace("\n  ", " ").split("\n"))
    assert "refused" in checked.out
    assert sound.code == 0


# --- strategies: 5


def answering(expression: str, first: str = "pass") -> str:
    return (
        "class Mine(BarStrategy):\n    warmup = 0\n    def signals(self, bars):\n        n = len(bars)\n"
        f"        {first}\n        return {expression}\n"
    )


GOOD = answering("Signals(np.ones(n), tag='\\x1b[31m\\u202e')")
BROKEN: dict[str, tuple[str | bytes, str]] = {
    "raises": (answering("1 / 0"), "ZeroDivisionError"),
    "raises at a bar": (answering("Signals(np.ones(n))", "if bars.ts[-1] >= 1704153600 * 10**9: raise ValueError(n)"), "ValueError"),
    "raises what cannot be told": (
        "class E(Exception):\n    def __str__(self): raise ValueError\n" + answering("1", "raise E()"),
        "E.",
    ),
    "raises what steers": (answering("1", f"raise ValueError({ESCAPE!r} + 'a\\n\\nb')"), "ValueError"),
    "exits": (answering("1", "raise SystemExit(0)"), "SystemExit"),
    "never returns": (answering("self.signals(bars)"), "RecursionError"),
    "returns nothing": (answering("None"), "NoneType"),
    "returns too few": (answering("Signals(np.ones(3))"), "(3,)"),
    "returns a table": (answering("Signals(np.ones((n, 2)))"), "one per bar"),
    "returns words": (answering("Signals(np.array(['a'] * n))"), "numbers"),
    "returns an infinite target": (answering("Signals(np.full(n, np.inf))"), "target is inf"),
    "returns no confidence": (answering("Signals(np.ones(n), np.full(n, np.nan))"), "confidence is nan"),
    "returns an unknown column": (answering("Signals(np.ones(n), stopp=1)"), "stopp"),
    "writes into the bars": (answering("1", "bars.close[:] = 0"), "read-only"),
    "tags what is no text": (answering("Signals(np.ones(n), tag='\\ud800')"), "UnicodeEncodeError"),
    "has no signals": ("class Mine(BarStrategy):\n    pass\n", "def signals"),
    "event: raises": ("class Mine(EventStrategy):\n    def on_bar(self, bar, view):\n        1 / 0\n", "ZeroDivisionError"),
    "event: never ends": ("class Mine(EventStrategy):\n    def on_bar(self, bar, view):\n        while True: yield 3\n", "intent"),
    "event: exits": ("class Mine(EventStrategy):\n    def on_bar(self, bar, view):\n        exit(0)\n", "SystemExit"),
    "event: returns no list": ("class Mine(EventStrategy):\n    def on_bar(self, bar, view):\n        return 5\n", "Return a list of intents"),
    "event: returns a number": ("class Mine(EventStrategy):\n    def on_bar(self, bar, view):\n        return [3]\n", "intent"),
}  # fmt: skip
UNUSABLE: dict[str, tuple[str | bytes, int, str]] = {
    "raises when imported": ("raise ValueError('boom')\nclass Mine(BarStrategy): pass\n", 5, "boom"),
    "exits when imported": ("import sys; sys.exit(0)\nclass Mine(BarStrategy): pass\n", 5, "SystemExit"),
    "imports what is not there": ("import nothere\nclass Mine(BarStrategy): pass\n", 5, "nothere"),
    "imports from elsewhere": (
        "from abidance.strategy import BarStrategy\nclass Mine(BarStrategy): pass\n",
        5,
        "It is in abidance.strategy.base",
    ),
    "raises when made": ("class Mine(BarStrategy):\n    def __init__(self): 1 / 0\n", 5, "mine.py:5"),
    "exits when made": ("class Mine(BarStrategy):\n    def __init__(self): exit(0)\n", 5, "mine.py:5"),
    "wants more": ("class Mine(BarStrategy):\n    def __init__(self, x): pass\n", 5, "mine.py:5"),
    "has no syntax": ("class Mine(BarStrategy)\n    pass\n", 5, "mine.py:4"),
    "reads what has no name": ("class Mine(BarStrategy):\n    references = 5\n", 5, "references"),
    "waits for no number": ("class Mine(BarStrategy):\n    warmup = 'long'\n", 5, "warm-up"),
    "has a bad parameter": ("class Mine(BarStrategy):\n    x = Parameter(5, 10, 20)\n", 5, "from 10 to 20"),
    "has no such class": ("class Other(BarStrategy): pass\n", 2, "Other"),
    "is no strategy": ("class Mine: pass\n", 2, "new-strategy"),
    "is junk": (bytes(range(256)), 2, "mine.py:1"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_strategy_that_fails_is_told_with_its_line_in_a_backtest_and_on_paper(
    program: Program, case: str
) -> None:
    body, word = BROKEN[case]
    program.strategy(body)
    run = ("-s", "Mine", "-p", "BTC/USDT", "--timerange", "20240101-20240103")

    tested = program("backtest", *run, "--json", "a.json")
    traded = program("trade", *run, "--speed", "0", "--plain", "--json", "b.json")

    for outcome in (tested, traded):
        assert_refused(outcome, 5, word, "mine.py:")
    assert not (program.home / "a.json").exists()
    assert decided(program.home / "b.json")["equity"]  # a bot goes on without it, and keeps its record
    assert "Mine was stopped" in traded.out.replace("\n", " ")


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_file_that_gives_no_strategy_is_told_and_leaves_no_run_behind(program: Program, case: str) -> None:
    body, code, word = UNUSABLE[case]
    program.strategy(body)
    before = program.files()

    outcome = program("trade", "-s", "Mine", "-p", "BTC/USDT", "--speed", "0", "--plain")

    assert_refused(outcome, code, word)
    assert program.files() == before


def test_two_classes_in_a_file_are_told_apart_and_a_broken_file_is_only_listed(program: Program) -> None:
    program.strategy("class A(BarStrategy): pass\n" + GOOD)
    program.strategy("import sys; sys.exit(0)\n", "broken.py")
    (program.userdir / "strategies" / "folder.py").mkdir()
    (program.userdir / "strategies" / "loop.py").symlink_to("loop.py")

    refused = program("backtest", "-s", "mine.py", "-p", "BTC/USDT")
    works = program("backtest", "-s", "mine.py:Mine", "-p", "BTC/USDT", "--timerange", "20240101-20240103")
    listed = program("list-strategies")

    assert_refused(refused, 2, "A, Mine", "mine.py:A")
    assert (works.code, listed.code) == (0, 0)
    assert "SystemExit" in listed.out
    assert "\x1b" not in works.out + listed.out


def test_a_mended_strategy_starts_anew_beside_its_old_record(program: Program) -> None:
    run = (
        "trade",
        "-s",
        "Mine",
        "-p",
        "BTC/USDT",
        "--timerange",
        "20240101-20240103",
        "--speed",
        "0",
        "--plain",
    )
    program.strategy(BROKEN["raises"][0])
    failed = program(*run)
    program.strategy(GOOD)

    mended = program(*run, "--fresh", "--json", "a.json")

    assert_refused(failed, 5, "--fresh")
    assert mended.code == 0, mended
    assert "\x1b" not in mended.out
    assert "\u202e" not in mended.out
    assert len(list(program.userdir.glob("runs/*/journal.abj"))) == 2


def test_a_new_strategy_runs_as_it_says(program: Program) -> None:
    written = program("new-strategy", "my_idea")
    command = next(line for line in written.out.splitlines() if line.startswith("Try it: "))

    tried = program(*command.split()[3:], "--timerange", "20240101-20240201", env={"ABIDANCE_HOME": ""})

    assert "-s MyIdea" in command
    assert tried.code == 0, tried


def test_a_new_strategy_without_room_is_told_and_not_there(program: Program) -> None:
    before = program.files()

    full = program("new-strategy", "MyIdea", before=("sh", "-c", 'ulimit -f 0; exec "$@"', "sh"))
    after = program.files()
    done = program("new-strategy", "MyIdea")

    assert_refused(full, 1, "my_idea.py cannot be written: File too large", "--userdir")
    assert after == before
    assert done.code == 0


# --- outputs


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("typed", [("--help",), ("list-data",), BACKTEST])
def test_a_full_output_is_told(program: Program, typed: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        outcome = program(*typed, stdout=full.fileno())

    assert_refused(outcome, 1, "No space left")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_result_without_room_is_told_and_the_figures_are_still_shown(program: Program) -> None:
    outcome = program(*BACKTEST, "--json", "/dev/full")

    assert_refused(outcome, 1, "no room")
    assert "Total return" in outcome.out


@pytest.mark.parametrize(("typed", "code"), [(("list-data",), 0), (BACKTEST, 0), (TRADE, 130)])
def test_a_reader_that_leaves_is_no_mistake_and_costs_no_file(
    program: Program, typed: tuple[str, ...], code: int
) -> None:
    files = ("--json", "a.json") if typed == BACKTEST else ()
    reading, writing = os.pipe()
    os.close(reading)

    outcome = program(*typed, *files, stdout=writing)
    os.close(writing)

    assert outcome.code == code
    assert "Traceback" not in outcome.err
    assert outcome.err == "" or "nothing is lost" in outcome.err
    assert not files or decided(program.home / "a.json")


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "COLUMNS": "40"},
        {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "20", "PYTHONUTF8": "1"},
    ],
)
def test_narrow_terminals_without_colours_or_letters_are_served(
    program: Program, env: dict[str, str]
) -> None:
    typed = [("--help",), ("list-data",), ("check-data",), ("list-strategies",), ("show-config",), TRADE]

    outcomes = [program(*each, env=env) for each in typed]

    for outcome in outcomes:
        assert (outcome.code, outcome.err) == (0, "")
        assert "\x1b" not in outcome.out
        assert outcome.out.isascii() or "PYTHONUTF8" in env


def test_a_run_over_everything_there_is_is_told_in_few_lines(program: Program) -> None:
    pairs = ",".join(f"C{number}/USDT" for number in range(3_000))

    outcome = program("backtest", "-s", "EmaCross", "-p", pairs)

    assert_refused(outcome, 4, "C0/USDT@BINANCE", "import-data")


@pytest.mark.skipif(os.geteuid() == 0 and which("setpriv") is None, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_told(program: Program) -> None:
    powerless = (
        ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--") if os.geteuid() == 0 else ()
    )
    program.file("good.csv", bars())
    program.file("secret.csv", bars()).chmod(0)
    program.userdir.mkdir()
    program.userdir.chmod(0o555)

    outcomes = [
        (6, program(*TRADE, before=powerless)),
        (4, program("import-data", "good.csv", *TEST, before=powerless)),
        (1, program("new-strategy", "MyIdea", before=powerless)),
        (1, program("new-config", before=powerless)),
    ]
    unread = program("import-data", "secret.csv", *TEST, before=powerless)
    result = program(*BACKTEST, "--json", "abidance/a.json", before=powerless)
    program.userdir.chmod(0o755)
    works = program(*TRADE)

    for code, outcome in outcomes:
        assert_refused(outcome, code, "ermission denied")
    assert_refused(unread, 2, "secret.csv", "not readable")
    assert_refused(result, 2, "abidance/a.json")
    assert works.code == 0


# --- the journal: 6


def test_a_cut_journal_goes_on_as_if_it_had_not_been_cut(program: Program) -> None:
    program(*TRADE, "--json", "whole.json")
    program.journal.write_bytes(program.journal.read_bytes()[:-7])

    done = program(*TRADE, "--json", "cut.json")

    assert (done.code, done.err) == (0, "")
    assert "journal.abj.torn-" in done.out
    assert decided(program.home / "cut.json") == decided(program.home / "whole.json")


def test_a_journal_damaged_within_is_left_alone_and_a_fresh_run_works(program: Program) -> None:
    program(*TRADE)
    content = bytearray(program.journal.read_bytes())
    content[len(content) // 2] ^= 255
    program.journal.write_bytes(content)

    damaged = program(*TRADE)
    kept = program.journal.read_bytes()
    fresh = program(*TRADE, "--fresh")

    assert_refused(damaged, 6, "damaged at byte")
    assert kept == bytes(content)
    assert fresh.code == 0
    assert bytes(content) in program.files().values()


@pytest.mark.parametrize("content", [b"", b"junk", bytes(9_999)])
def test_what_is_no_journal_is_told_and_kept(program: Program, content: bytes) -> None:
    program.file("abidance/runs/bot/journal.abj", content)

    outcome = program(*TRADE)

    assert_refused(outcome, 6, "journal.abj")
    assert program.journal.read_bytes() == content


def test_another_configuration_does_not_touch_the_record(program: Program) -> None:
    program(*TRADE)
    before = program.journal.read_bytes()

    other = program(*TRADE, "--fee", "0.002")
    named = program(*TRADE, "--fee", "0.002", "--set", "name=other")

    assert_refused(other, 6, "--fresh", "--set name=NAME")
    assert program.journal.read_bytes() == before
    assert named.code == 0


def test_a_bot_runs_once_at_a_time(program: Program) -> None:
    slow = ("trade", *RUN, "--speed", "1", "--plain", "--set", "journal_sync=always")
    first = subprocess.Popen(
        program.command(*slow), cwd=program.home, env=program.environ, stdout=subprocess.PIPE, text=True
    )
    assert first.stdout is not None
    while not program.journal.exists() and first.poll() is None:
        os.sched_yield()

    second = program(*TRADE, "--set", "journal_sync=always")
    first.send_signal(signal.SIGTERM)
    said, _ = first.communicate(timeout=30)
    third = program(*TRADE, "--set", "journal_sync=always")

    assert_refused(second, 6, f"({first.pid})", "another name")
    assert first.returncode == 0, said
    assert third.code == 0


def test_a_full_disk_stops_the_bot_and_with_room_it_ends_as_if_nothing_had_been(program: Program) -> None:
    program(*TRADE, "--json", "whole.json", "--set", "name=calm")
    size = (program.userdir / "runs" / "calm" / "journal.abj").stat().st_size
    limit = ("sh", "-c", f'ulimit -f {size // 1024 // 2}; exec "$@"', "sh")  # blocks of 512 bytes: a quarter

    full = program(*TRADE, before=limit)
    written = program.journal.stat().st_size
    done = program(*TRADE, "--json", "full.json")

    assert_refused(full, 6, "full", "start again", "nothing is lost")
    assert 0 < written < size
    assert done.code == 0, done
    assert decided(program.home / "full.json") == decided(program.home / "whole.json")
