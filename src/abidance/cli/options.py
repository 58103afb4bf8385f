"""The options that `backtest` and `trade` share, and how they lay over a configuration. Flags win over everything."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from abidance.cli import paths
from abidance.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from abidance.market.store import Catalog
    from abidance.run.config import RunConfig
    from abidance.venues.net.config import FeedConfig

DEFAULT_VENUE = "BINANCE"
STORE = "ABIDANCE_STORE"
"""The variable that names where market data lies."""
_SETTING = "ABIDANCE__STORE"

Configs = Annotated[
    list[Path] | None, typer.Option("-c", "--config", help="TOML file; repeatable, the last wins.")
]
Strategies = Annotated[
    list[str] | None, typer.Option("-s", "--strategy", help="Strategy; repeatable, money is split evenly.")
]
Pairs = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        "--pairs",
        help=f"BTC/USDT@BINANCE; repeatable or comma-separated; @{DEFAULT_VENUE} if left out.",
    ),
]
Timeframe = Annotated[str | None, typer.Option("-i", "--timeframe", help="Bar length, such as 1h.")]
Detail = Annotated[
    str | None,
    typer.Option("--detail-timeframe", help="What decides fills inside a bar: shorter bars, or `trades`."),
]
Timerange = Annotated[
    str | None, typer.Option("--timerange", help="20240101-20240601, either end may be left open.")
]


def number(text: str) -> float:
    """Return an amount or share that was typed. Raises BadParameter for what is no number beyond doubt."""
    from abidance.model.money import is_plain

    if not is_plain(text):
        raise typer.BadParameter(f"{text!r} is no number in plain digits, such as 0.25.")
    return float(text)


Fee = Annotated[
    float | None, typer.Option("--fee", parser=number, help="Fee of every fill, as a share: 0.001 is 0.1 %.")
]
Slippage = Annotated[
    float | None,
    typer.Option(
        "--slippage", parser=number, help="Slippage of orders that take, as a share; replaces the model."
    ),
]
Stake = Annotated[
    float | None, typer.Option("--stake-amount", parser=number, help="Value of every entry, in quote units.")
]
Wallet = Annotated[float | None, typer.Option("--dry-run-wallet", parser=number, help="Opening balance.")]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--param", help="Strategy parameter: fast=10. Repeatable, for all strategies."),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Any key: risk.limits.max_exposure=0.8. Repeatable.")
]
Store = Annotated[
    str,
    typer.Option(
        "--store",
        help="Where market data lies: a folder, or postgresql://user@host/database; the user's by default.",
    ),
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", callback=paths.output, help="Write the whole result as JSON.")
]
ReportFile = Annotated[
    Path | None, typer.Option("--report", callback=paths.output, help="Write the report as one HTML page.")
]


@dataclass(frozen=True)
class RunOptions:
    """What was typed; None means not typed."""

    configs: list[Path] | None = None
    strategies: list[str] | None = None
    pairs: list[str] | None = None
    timeframe: str | None = None
    detail: str | None = None
    timerange: str | None = None
    fee: float | None = None
    slippage: float | None = None
    stake: float | None = None
    wallet: float | None = None
    settings: list[str] | None = None
    parameters: list[str] | None = None
    store: str = ""

    def load(self) -> "RunConfig":
        """Return the configuration: flags over environment over files over defaults."""
        from abidance.risk.config import SizingConfig
        from abidance.run.config import LARGEST, load

        config = load(self.configs or [], self.overrides(), os.environ)
        typed: dict[str, object] = {}
        if self.stake is not None:
            if not 0 < self.stake <= LARGEST:
                raise UsageError(
                    f"--stake-amount {self.stake:g} is no amount to buy for.",
                    f"Give one above 0, up to {LARGEST:g}.",
                )
            typed["sizing"] = SizingConfig(method="fixed_notional", amount=self.stake)
        values = {".".join(path): value for path, value in map(_parameter, self.parameters or ())}
        if not typed and not values:
            return config
        strategies = tuple(
            each.model_copy(update={**typed, "parameters": {**each.parameters, **values}})
            for each in config.strategies
        )
        return config.model_copy(update={"strategies": strategies})

    def overrides(self) -> dict[str, object]:
        """Return the flags as configuration keys. Raises UsageError when a flag and --set speak of the same key."""
        found: dict[str, Any] = {}
        for text in self.settings or ():
            _put(found, *_setting(text))
        for flag, path, value in self._flags():
            if value is None:
                continue
            if _is_given(found, path):
                remedy = "Use --param NAME=VALUE for parameters." if flag == "-s" else "Give one of them."
                raise UsageError(f"{flag} and --set {'.'.join(path)} say the same thing twice.", remedy)
            _put(found, path, value)
        return found

    def _flags(self) -> "Iterator[tuple[str, list[str], object]]":
        """Yield each flag with the key that it stands for and what was typed, None for nothing."""
        names = self.strategies or []
        chosen = [{"strategy": name, "allocation": 1 / len(names)} for name in names]
        yield "-s", ["strategies"], chosen or None
        pairs = [pair.strip() for text in self.pairs or () for pair in text.split(",") if pair.strip()]
        ids = [pair if "@" in pair else f"{pair}@{DEFAULT_VENUE}" for pair in pairs]
        yield "-p", ["instruments"], ids if self.pairs else None
        yield "-i", ["timeframe"], self.timeframe
        yield "--detail-timeframe", ["detail_timeframe"], self.detail
        yield "--timerange", ["timerange"], self.timerange
        yield "--dry-run-wallet", ["dry_run_wallet"], self.wallet
        yield "--store", ["store"], self.store or None
        fees = [{"volume": 0, "maker": self.fee, "taker": self.fee}]
        yield "--fee", ["venue", "fees"], fees if self.fee is not None else None
        slippage = {"spread": 0, "fixed": self.slippage, "volume_share": 0}
        yield "--slippage", ["venue", "slippage"], slippage if self.slippage is not None else None


def _is_given(found: dict[str, Any], path: list[str]) -> bool:
    """Say whether a key, or anything inside it, is there already."""
    table: Any = found
    for name in path:
        if not isinstance(table, dict) or name not in table:
            return False
        table = table[name]
    return True


def _setting(text: str) -> tuple[list[str], object]:
    return _assignment(text, "--set", "risk.limits.max_exposure=0.8")


def _parameter(text: str) -> tuple[list[str], object]:
    return _assignment(text, "--param", "fast=10")


def _assignment(text: str, flag: str, example: str) -> tuple[list[str], object]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"{flag} {text!r} is not KEY=VALUE.", f"For example {flag} {example}")
    try:
        return key.strip().split("."), tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):  # not TOML, or so long or deep that nobody means it
        return key.strip().split("."), value.strip()


def _put(found: dict[str, Any], path: list[str], value: object) -> None:
    *parents, last = path
    table: Any = found
    for depth, name in enumerate(parents, 1):
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            whole, part = ".".join(path[:depth]), ".".join(path)
            raise UsageError(f"Given are both {whole} and {part}, which is inside it.", "Give one of them.")
    table[last] = value


def data_folder(userdir: Path) -> Path:
    """Return where the user's market data lies."""
    return userdir.expanduser() / "data"


def store_of(userdir: Path, store: str = "", configs: list[Path] | None = None) -> Path | str:
    """Return where market data lies, a folder or a database: as typed, or as the environment or a file says.

    Raises ConfigError for configuration files that do not fit.
    """
    if not store and not os.environ.get(STORE) and (configs or _SETTING in os.environ):
        from abidance.run.config import load

        store = load(configs or [], {}, os.environ).store
    return store or os.environ.get(STORE) or data_folder(userdir)


def feed_of(configs: list[Path] | None) -> "FeedConfig":
    """Return the table `[feed]` of configuration files, of which only the addresses matter to what asks once."""
    from abidance.model.errors import ConfigError
    from abidance.run.sources import Settings, read_file
    from abidance.venues.net.config import FeedConfig

    settings = Settings()
    for path in configs or ():
        settings.lay(read_file(path))
    try:
        return FeedConfig.model_validate(settings.values.get("feed", {}))
    except ValueError as error:
        raise ConfigError("The table [feed] does not fit.", "See: abidance show-config") from error


def folder_beside(where: Path | str, userdir: Path) -> Path:
    """Return the folder of what only folders keep: the store's own, or the user's where the store is a database."""
    if isinstance(where, str) and "://" in where:
        return data_folder(userdir)
    return Path(where).expanduser()


def catalog_of(userdir: Path, store: str = "") -> "Catalog":
    """Return the bars of a store, that of the user or the environment when none is named, and the bundled sample."""
    from abidance.market.store import BarStore, Catalog

    return Catalog(BarStore(store_of(userdir, store)))


def strategies_folder(userdir: Path) -> Path:
    """Return where the user's own strategies lie."""
    return userdir.expanduser() / "strategies"
