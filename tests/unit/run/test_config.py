import json
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from abidance.engine.config import StrategyConfig
from abidance.model.errors import ConfigError, UsageError
from abidance.run.config import RunConfig, load, reference, schema, starter, template, trace

DOCS = Path(__file__).parents[3] / "docs" / "configuration.md"
BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->\n"


def file(folder: Path, text: str, name: str = "a.toml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def refusal(*paths: Path, environ: dict[str, str] | None = None, **overrides: object) -> str:
    with pytest.raises(UsageError if overrides and not paths and not environ else ConfigError) as caught:
        load(paths, overrides, environ or {})
    return str(caught.value)


def limits(config: RunConfig) -> tuple[float, int]:
    return config.risk.limits.max_exposure, config.risk.limits.max_positions


# --- precedence


def test_without_any_source_the_defaults_hold() -> None:
    assert load([], {}, {}) == RunConfig()


def test_the_command_line_wins_over_the_environment_over_files_over_defaults(tmp_path: Path) -> None:
    first = file(tmp_path, 'name = "one"\ncurrency = "USD"\ntimeframe = "4h"\ntimerange = "20240101-"\n')
    second = file(tmp_path, 'currency = "EUR"\ntimeframe = "1d"\ntimerange = "20230101-"\n', "b.toml")
    environ = {"ABIDANCE__TIMEFRAME": "2h", "ABIDANCE__TIMERANGE": "20220101-"}

    config = load([first, second], {"timerange": "20210101-"}, environ)

    assert (config.name, config.currency, config.timeframe, config.timerange) == (
        "one",
        "EUR",
        "2h",
        "20210101-",
    )
    assert config.journal_sync == "commands"


def test_tables_are_joined_setting_by_setting_and_lists_are_replaced(tmp_path: Path) -> None:
    first = file(
        tmp_path, 'instruments = ["A/B@C", "D/B@C"]\n[risk.limits]\nmax_exposure = 0.4\nmax_positions = 3\n'
    )
    second = file(tmp_path, 'instruments = ["E/B@C"]\n[risk.limits]\nmax_positions = 4\n', "b.toml")

    config = load([first, second], {"risk.limits.max_exposure": 0.6}, {})

    assert limits(config) == (0.6, 4)
    assert config.instruments == ("E/B@C",)


def test_overrides_may_be_nested_or_dotted_and_none_is_not_typed() -> None:
    nested = load([], {"risk": {"limits": {"max_exposure": 0.3}}, "timeframe": None}, {})
    dotted = load([], {"risk.limits.max_exposure": 0.3, "name": None}, {})

    assert nested == dotted
    assert limits(nested)[0] == 0.3


def test_the_environment_reads_text_numbers_lists_and_tables() -> None:
    environ = {
        "ABIDANCE__NAME": "2024",
        "ABIDANCE__DRY_RUN_WALLET__BINANCE": "500",
        "ABIDANCE__INSTRUMENTS": '["BTC/USDT@BINANCE"]',
        "ABIDANCE__RISK__LIMITS__MAX_EXPOSURE": "0.3",
        "ABIDANCE__RISK__BREAKERS__DAILY_LOSS": "none",
        "ABIDANCE__VENUES__BINANCE__LATENCY_MS": "50",
        "ABIDANCE__VENUE__FEE_ASSET": "BNB",
        "ABIDANCE__VENUE__UNLIMITED_VOLUME": "true",
        "ABIDANCE__STRATEGIES": '[{"strategy": "EmaCross", "parameters": {"fast": 5, "on": true, "how": "sma"}}]',
    }

    config = load([], {}, environ)

    assert (config.name, config.dry_run_wallet) == ("2024", {"BINANCE": 500.0})
    assert config.instruments == ("BTC/USDT@BINANCE",)
    assert (limits(config)[0], config.risk.breakers.daily_loss) == (0.3, None)
    assert (config.venues["BINANCE"].latency_ms, config.venue.fee_asset) == (50, "BNB")
    assert config.venue.unlimited_volume
    assert config.strategies[0].parameters == {"fast": 5, "on": True, "how": "sma"}


def test_the_user_directory_and_other_variables_are_no_settings() -> None:
    assert load([], {}, {"ABIDANCE_HOME": "/x", "ABIDANCE": "y", "HOME": "z"}) == RunConfig()


def test_values_made_by_the_program_may_be_given_as_they_are() -> None:
    strategy = StrategyConfig(strategy="EmaCross", parameters={"fast": 3})

    assert load([], {"strategies": [strategy]}, {}).strategies == (strategy,)


# --- refusals


def test_an_unknown_setting_is_refused_with_its_line_and_the_nearest_name(tmp_path: Path) -> None:
    path = file(tmp_path, "# limits\n[risk.limits]\nmax_exposure = 0.4\nmax_exposre = 0.5\n")

    said = refusal(path)

    assert said == (
        f"Unknown setting risk.limits.max_exposre ({path}, line 4). Did you mean risk.limits.max_exposure?"
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[foo]\nbar = 1\n", 1),
        ("name = 'x'\nfoo.bar = 1\n", 2),
        ("name = 'x'\n[[strategies]]\nstrategy = 'A'\n[[strategies]]\nstrategy = 'B'\nfoo = 1\n", 6),
        ("[[strategies]]\nstrategy = 'A'\n[strategies.sizing]\nfoo = 1\n", 4),
        ("name = 'x'\nrisk = { limits = { foo = 1 } }\n", 2),
        ("strategies = [\n  { strategy = 'A', foo = 1 },\n]\n", 1),
        ("[venues.'BINANCE']\nfoo = 1\n", 2),
        ("\ufeff[venue]\nfoo = 1\n", 2),
    ],
)
def test_the_line_of_an_unknown_setting_is_found(tmp_path: Path, text: str, line: int) -> None:
    path = file(tmp_path, text)

    assert f"({path}, line {line})" in refusal(path)


def test_a_setting_in_the_wrong_table_is_led_to_the_right_one() -> None:
    assert refusal(max_exposure=0.5) == (
        "Unknown setting max_exposure (command line). Did you mean risk.limits.max_exposure?"
    )


def test_an_unknown_setting_in_the_environment_names_the_variable() -> None:
    said = refusal(environ={"ABIDANCE__RISK__LIMIT__MAX_EXPOSURE": "0.3"})

    assert said == (
        "Unknown setting risk.limit (environment variable ABIDANCE__RISK__LIMIT__MAX_EXPOSURE). "
        "Did you mean risk.limits?"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[risk.limits]\nmax_exposure = 'lots'\n", 'risk.limits.max_exposure = "lots" (F, line 2) does not fit. Give a number above 0.'),
        ("[risk.limits]\nmax_exposure = 0\n", "risk.limits.max_exposure = 0 (F, line 2) does not fit. Give a number above 0."),
        ("[risk.limits]\nmax_positions = true\n", "risk.limits.max_positions = true (F, line 2) does not fit. Give a whole number of at least 1."),
        ("[risk.limits]\nmax_positions = 1.5\n", "risk.limits.max_positions = 1.5 (F, line 2) does not fit. Give a whole number of at least 1."),
        ("[risk.breakers]\ndaily_loss = 5\n", 'risk.breakers.daily_loss = 5 (F, line 2) does not fit. Give a number above 0 and of at most 1 or "none".'),
        ("journal_sync = 'often'\n", 'journal_sync = "often" (F, line 1) does not fit. Give one of "always", "commands", "never".'),
        ("instruments = 'BTC/USDT@BINANCE'\n", 'instruments = "BTC/USDT@BINANCE" (F, line 1) does not fit. Give a list of texts.'),
        ("risk = 5\n", "risk = 5 (F, line 1) does not fit. Give a table."),
        ("name = 'a b'\n", 'name = "a b" (F, line 1) does not fit. Give up to 64 letters, digits, dots, dashes and underscores.'),
        ("dry_run_wallet = -1\n", "dry_run_wallet = -1 (F, line 1) does not fit. Give a number above 0 and of at most 1e+12 or a table of names, each with a number of at least 0 and of at most 1e+12."),
        ("[dry_run_wallet]\nBINANCE = 'x'\n", 'dry_run_wallet.BINANCE = "x" (F, line 2) does not fit. Give a number of at least 0 and of at most 1e+12.'),
        ("[[strategies]]\nname = 'x'\n", "strategies[0].strategy is missing (F, line 1). Give text."),
        ("[risk.limits]\nmax_exposure = inf\n", "risk.limits.max_exposure = inf (F, line 2) is no number. Give a finite one."),
        ("[risk.limits]\nmax_exposure = nan\n", "risk.limits.max_exposure = nan (F, line 2) is no number. Give a finite one."),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_shown_with_what_would(tmp_path: Path, text: str, said: str) -> None:
    path = file(tmp_path, text)

    assert refusal(path) == said.replace("F", str(path), 1)


def test_everything_that_does_not_fit_is_told_at_once(tmp_path: Path) -> None:
    path = file(tmp_path, "nome = 'x'\n[risk.limits]\nmax_positions = 0\n")

    said = refusal(path)

    assert said.startswith("2 settings do not fit:\n- ")
    assert "Did you mean name?" in said
    assert "risk.limits.max_positions = 0" in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"a = ", "end of the file: "),
        (b"name = 'x'\n[x\n", "line 2, column 3: "),
        (b"name = x\n", "line 1, column 8: "),
        (b"name = 'x'\n# caf\xe9\n", "line 2, is not UTF-8 text"),
    ],
)
def test_a_malformed_file_names_the_place(tmp_path: Path, text: bytes, sentence: str) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(text)

    assert f"{path}, {sentence}" in refusal(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    assert f"There is no configuration file {tmp_path / 'nope.toml'}. " in refusal(tmp_path / "nope.toml")
    assert f"The configuration file {tmp_path} cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("ABIDANCE__", "1", "names no setting"),
        ("ABIDANCE__RISK____X", "1", "names no setting"),
        ("ABIDANCE__HOME", "1", "Unknown setting home"),
        ("ABIDANCE__STRATEGIES__0__NAME", "x", "A list is given whole, as JSON, in ABIDANCE__STRATEGIES"),
        ("ABIDANCE__INSTRUMENTS", "BTC/USDT@BINANCE", 'written as JSON: ["one", "two"]'),
        ("ABIDANCE__RISK", "5", "Give a table"),
        ("ABIDANCE__NAME", "\udc80", "is not UTF-8 text"),
        ("ABIDANCE__RISK__LIMITS__MAX_EXPOSURE", "Infinity", "is no number"),
    ],
)
def test_a_variable_that_does_not_fit_is_named(variable: str, value: str, sentence: str) -> None:
    said = refusal(environ={variable: value})

    assert sentence in said
    assert variable in said


def test_a_secret_that_was_put_in_the_wrong_place_is_not_repeated() -> None:
    strategy = {"strategy": "EmaCross", "parameters": {"api_key": ["c4n4ry"]}}

    said = refusal(strategies=[strategy])

    assert "strategies[0].parameters.api_key" in said
    assert "c4n4ry" not in said


# --- meaning


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("BTC/USDT", "BTC/USDT@BINANCE"),
        ("btc-usdt", "BTC/USDT@BINANCE"),
        ("BTCUSDT", "BTC/USDT@BINANCE"),
        ("eth_eur@kraken", "ETH/EUR@KRAKEN"),
        ("BTC/USDT:USDT", "BTC/USDT:USDT@BINANCE"),
    ],
)
def test_an_instrument_that_is_not_written_in_full_is_led_to_its_id(typed: str, meant: str) -> None:
    assert f"Did you mean {meant}?" in refusal(instruments=[typed])
    assert f"Did you mean {meant}?" in refusal(strategies=[{"strategy": "A", "instruments": [typed]}])


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"name": "bot.20250101-120000"}, "'bot.20250101-120000' is how a folder is called that"),
        ({"name": "bot.20250101-120000-2"}, "'bot.20250101-120000-2' is how a folder is called that"),
        ({"instruments": ["?"]}, "Unknown instrument '?'"),
        ({"instruments": ["A/B@C", "A/B@C"]}, "A/B@C is listed twice"),
        ({"timeframe": "1x"}, "Unknown timeframe '1x'"),
        ({"detail_timeframe": "1h"}, "does not divide the bar length 1h"),
        ({"detail_timeframe": "7m"}, "does not divide the bar length 1h"),
        (
            {"detail_timeframe": "5m", "strategies": [{"strategy": "A", "timeframe": "1m"}]},
            "the bar length 1m",
        ),
        ({"timerange": "yesterday"}, "'yesterday' is not a time range"),
        ({"timerange": "20240601-20240101"}, "ends before it starts"),
        ({"strategies": [{"strategy": "A", "timeframe": "0h"}]}, "Unknown timeframe '0h'"),
        ({"strategies": [{"strategy": "A"}, {"strategy": "f.py:A"}]}, "Two strategies are named A"),
        ({"strategies": [{"strategy": "A"}, {"strategy": "B"}]}, "add up to 2"),
        ({"currency": "usdt"}, "an asset in capitals"),
        ({"spot_wallets": {"BINANCE": "isolated_margin"}}, "It has: cross_margin, spot."),
        ({"spot_wallets": {"KUCOIN": "margin"}}, "It has: cross_margin, spot."),
        ({"spot_wallets": {"BYBIT": "cross_margin"}}, "BYBIT has no wallet 'cross_margin'"),
        ({"feed": {"grades": {"KRAKEN": "gold"}}}, "It has: intermediate, pro, starter."),
        ({"feed": {"grades": {"BINANCE": "pro"}}}, "BINANCE has no accounts of grade 'pro'"),
        (
            {"feed": {"addresses": {"binance": {}}}},
            "'binance' is no venue that has an address",
        ),
        ({"feed": {"addresses": {"BINANCE-perp": {}}}}, "'BINANCE-perp' is no venue that has an address"),
        (
            {"instruments": ["A/B@BINANCE"], "feed": {"addresses": {"BINANSE-spot": {}}}},
            "No instrument is traded at BINANSE",
        ),
        ({"instruments": ["A/B@BINANCE"], "venues": {"BINANC": {}}}, "Did you mean BINANCE?"),
        ({"instruments": ["A/B@BINANCE"], "dry_run_wallet": {"binance": 1}}, "Did you mean BINANCE?"),
    ],
)
def test_what_cannot_be_meant_is_refused(overrides: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(**overrides)


def test_thirds_add_up_to_one() -> None:
    strategies = [{"strategy": name, "allocation": 1 / 3} for name in "ABC"]

    assert len(load([], {"strategies": strategies}, {}).strategies) == 3


def test_a_resolved_run_has_complete_strategies() -> None:
    config = RunConfig(
        timeframe="4h",
        instruments=("A/B@C",),
        strategies=(
            StrategyConfig(strategy="x/my_idea.py", allocation=0.2),
            StrategyConfig(strategy="x/my_idea.py:Other", allocation=0.2),
            StrategyConfig(
                strategy="Ema", name="ema", timeframe="1d", instruments=("D/B@C",), allocation=0.2
            ),
        ),
    )

    resolved = config.resolved()

    assert [(each.name, each.timeframe, each.instruments) for each in resolved.strategies] == [
        ("my_idea", "4h", ("A/B@C",)),
        ("Other", "4h", ("A/B@C",)),
        ("ema", "1d", ("D/B@C",)),
    ]
    assert resolved.instruments == ("A/B@C", "D/B@C")
    assert resolved.resolved() == resolved
    assert RunConfig.model_validate(resolved.model_dump(mode="json")).resolved() == resolved


def test_a_venue_of_its_own_keeps_what_it_does_not_change(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        "[venue]\nlatency_ms = 9\n[venue.slippage]\nspread = 0.01\n[venues.KRAKEN.slippage]\nfixed = 0.02\n",
    )

    config = load([path], {}, {})

    assert config.venue_of("BINANCE") == config.venue
    for found in (config.venue_of("KRAKEN"), config.resolved().venue_of("KRAKEN")):
        assert (found.latency_ms, found.slippage.spread, found.slippage.fixed) == (9, 0.01, 0.02)


def test_a_run_is_ready_when_something_trades_something() -> None:
    strategy = StrategyConfig(strategy="A")

    with pytest.raises(ConfigError, match="No strategy is given"):
        RunConfig(instruments=("A/B@C",)).ready()
    with pytest.raises(ConfigError, match="A has nothing to trade"):
        RunConfig(strategies=(strategy,)).ready()
    assert RunConfig(instruments=("A/B@C",), strategies=(strategy,)).ready().strategies[0].instruments == (
        "A/B@C",
    )


def test_one_wallet_is_split_to_the_last_unit() -> None:
    wallets = RunConfig(dry_run_wallet=100).wallets(["A", "B", "C"])

    assert sum(wallets.values()) == 100
    assert wallets["B"] == wallets["C"] == Decimal("33.333333333333")
    assert RunConfig().wallets(["A"]) == {"A": Decimal("10000.0")}


def test_wallets_by_venue_are_taken_as_they_are() -> None:
    config = RunConfig(dry_run_wallet={"A": 5.5})

    assert config.wallets(["A", "B"]) == {"A": Decimal("5.5"), "B": Decimal("0.0")}
    with pytest.raises(ConfigError, match="puts money at A, where nothing is traded"):
        config.wallets(["B"])
    with pytest.raises(ConfigError, match="is empty"):
        RunConfig(dry_run_wallet={}).wallets(["A"])


def test_a_run_that_is_built_in_python_is_checked_too() -> None:
    with pytest.raises(ValidationError, match="Did you mean BTC/USDT@BINANCE"):
        RunConfig(instruments=("BTC/USDT",))


# --- telling


def test_each_value_tells_where_it_was_given(tmp_path: Path) -> None:
    path = file(tmp_path, "name = 'x'\n[risk.limits]\nmax_exposure = 0.4\nmax_positions = 3\n")
    environ = {"ABIDANCE__RISK__LIMITS__MAX_EXPOSURE": "0.3"}

    assert trace([path], {"timeframe": "4h"}, environ).sources == {
        "name": f"{path}, line 1",
        "risk.limits.max_exposure": "environment variable ABIDANCE__RISK__LIMITS__MAX_EXPOSURE",
        "risk.limits.max_positions": f"{path}, line 4",
        "timeframe": "command line",
    }


def test_the_schema_describes_every_setting() -> None:
    found = schema()

    json.dumps(found)
    objects = [found, *found["$defs"].values()]
    for each in objects:
        assert each["additionalProperties"] is False
        assert each["description"]
        for name, setting in each["properties"].items():
            assert setting.get("description"), name


def test_the_template_loads_back_equal_and_every_table_is_in_it(tmp_path: Path) -> None:
    path = file(tmp_path, template())

    assert load([path], {}, {}) == starter()
    assert starter().ready().strategies[0].instruments == starter().instruments
    found = tomllib.loads(template())
    assert found["risk"]["limits"]["max_exposure"] == 0.5
    assert len(max(template().splitlines(), key=len)) <= 120


def test_what_is_commented_out_in_the_template_may_be_uncommented(tmp_path: Path) -> None:
    lines = template().splitlines()[1:]
    text = "\n".join(line.removeprefix("# ") if " = " in line else line for line in lines)
    path = file(tmp_path, text)

    assert load([path], {}, {}) == starter()


def test_the_documentation_lists_every_setting_as_it_is() -> None:
    page = DOCS.read_text("utf-8")

    told = page.partition(BEGIN)[2].partition(END)[0]

    assert told.strip() == reference().strip(), "refresh with: python -m tests.unit.run.test_config"


@pytest.mark.parametrize(
    ("typed", "variable", "nested", "written", "expected"),
    [
        ("/typed", "/variable", "/nested", "/written", "/typed"),
        (None, "/variable", "/nested", "/written", "/variable"),
        (None, "", "/nested", "/written", "/nested"),
        (None, None, None, "/written", "/written"),
        (None, None, None, None, ""),
    ],
)
def test_the_store_is_named_by_flag_then_variable_then_file(
    tmp_path: Path,
    typed: str | None,
    variable: str | None,
    nested: str | None,
    written: str | None,
    expected: str,
) -> None:
    path = file(tmp_path, f'store = "{written}"' if written else "")
    given = {"ABIDANCE_STORE": variable, "ABIDANCE__STORE": nested}
    environ = {name: value for name, value in given.items() if value is not None}

    assert load([path], {"store": typed}, environ).store == expected


def test_the_variable_of_the_store_is_named_as_its_source() -> None:
    loaded = trace([], {}, {"ABIDANCE_STORE": "/srv/market"})

    assert loaded.sources["store"] == "environment variable ABIDANCE_STORE"


def test_a_run_may_go_on_after_its_data_was_moved() -> None:
    here, there = (
        load([], {"store": "/here"}, {}),
        load([], {"store": "postgresql://me:secret@there/market"}, {}),
    )

    assert here.model_dump(mode="json") == there.model_dump(mode="json")
    assert here.resolved().store == "/here"


def test_a_store_with_a_control_character_is_refused() -> None:
    assert "a folder, or the URL of a database" in refusal(store="market\x00")


def test_the_database_of_leases_is_no_part_of_what_is_recorded_and_may_change() -> None:
    here, there = load([], {"lease": "postgresql://me:secret@here/leases"}, {}), load([], {}, {})

    assert here.model_dump(mode="json") == there.model_dump(mode="json")
    assert here.resolved().lease == "postgresql://me:secret@here/leases"


@pytest.mark.parametrize(
    "value", ["/srv/leases", "mysql://here/leases", "postgresql://", "postgresql://a\x00b"]
)
def test_leases_lie_in_a_postgresql_database_and_nowhere_else(value: str) -> None:
    assert "the URL of a PostgreSQL database" in refusal(lease=value)


if __name__ == "__main__":
    before, _, rest = DOCS.read_text("utf-8").partition(BEGIN)
    DOCS.write_text(f"{before}{BEGIN}\n{reference().strip()}\n\n{END}{rest.partition(END)[2]}", "utf-8")


def test_no_money_lies_where_moods_are_read() -> None:
    wallets = RunConfig(dry_run_wallet=900.0).wallets(("BINANCE", "KRAKEN", "SENTIMENT"))

    assert wallets == {"BINANCE": Decimal(450), "KRAKEN": Decimal(450), "SENTIMENT": Decimal(0)}


# --- execution


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('order_type = "limit"\nexecution = { algo = "twap" }', "and for limit entries of its own"),
        ('entry_timeout = 5\nexecution = { algo = "chase" }', "and for limit entries of its own"),
        ('execution = { algo = "twap", slices = 10, duration = 5 }', "10 slices within 5 s"),
        ('execution = { algo = "vwap" }', "algo"),
        ("execution = { max_cost = 0.0 }", "max_cost"),
    ],
)
def test_ways_of_execution_that_cannot_be_are_refused(tmp_path: Path, text: str, found: str) -> None:
    assert found in refusal(file(tmp_path, f'[[strategies]]\nstrategy = "EmaCross"\n{text}\n'))


def test_the_examples_of_the_page_on_execution_are_configurations(tmp_path: Path) -> None:
    page = DOCS.with_name("execution.md").read_text("utf-8")
    blocks = [block.partition("```")[0] for block in page.split("```toml\n")[1:]]

    configs = [load([file(tmp_path, block, f"{n}.toml")], {}, {}) for n, block in enumerate(blocks)]

    assert len(configs) >= 2
    assert {each.execution.algo for config in configs for each in config.strategies} >= {"twap", "chase"}
