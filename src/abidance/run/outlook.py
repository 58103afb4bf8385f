"""What a simulation says: how outcomes are spread, how likely a loss and ruin are, in figures and in one sentence."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import sqrt

import msgspec
import numpy as np

from abidance import __version__
from abidance.backtest.export import plain
from abidance.backtest.wording import format_money, format_percent, iso_time
from abidance.run.simulating import REAL, PathResult, Simulation

SHARES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""The shares of the paths below which a figure of the table lies."""
_NORMAL = 1.959963984540054  # two-sided 95 %


class Chance(msgspec.Struct, frozen=True):
    """How many of all paths something happened on, and where its probability lies with 95 % confidence (Wilson)."""

    count: int
    total: int
    share: float
    low: float
    high: float


class Happening(msgspec.Struct, frozen=True):
    """How often something happened, and on how many paths."""

    count: int
    paths: int


class Outlook(msgspec.Struct, frozen=True):
    """The outcomes of all paths. Percentiles stand in the order of `SHARES`; codes come most frequent path first."""

    final_equity: tuple[float, ...]
    total_return: tuple[float, ...]
    max_drawdown: tuple[float, ...]
    """From the deepest to the mildest."""
    buy_and_hold: tuple[float, ...]
    mean_return: float
    mean_trades: float
    mean_costs: float
    loss: Chance
    ruin: Chance
    behind_buy_and_hold: Chance
    worst: PathResult
    best: PathResult
    refusals: dict[str, Happening]
    breakers: dict[str, Happening]


def outlook(simulation: Simulation) -> Outlook:
    """Return what the paths came to; there is at least one."""
    paths = simulation.paths
    floor = 1.0 - simulation.plan.ruin
    return Outlook(
        final_equity=_spread(path.final_equity for path in paths),
        total_return=_spread(path.total_return for path in paths),
        max_drawdown=_spread(path.max_drawdown for path in paths),
        buy_and_hold=_spread(path.buy_and_hold for path in paths),
        mean_return=float(np.mean([path.total_return for path in paths])),
        mean_trades=float(np.mean([path.trades for path in paths])),
        mean_costs=float(np.mean([path.costs for path in paths])),
        loss=chance(paths, lambda path: path.total_return < 0),
        ruin=chance(paths, lambda path: path.lowest <= floor),
        behind_buy_and_hold=chance(paths, lambda path: path.total_return < path.buy_and_hold),
        worst=min(paths, key=lambda path: (path.final_equity, path.number)),
        best=max(paths, key=lambda path: (path.final_equity, -path.number)),
        refusals=_happenings([path.refusals for path in paths]),
        breakers=_happenings([path.breakers for path in paths]),
    )


def chance(paths: Sequence[PathResult], happened: Callable[[PathResult], bool]) -> Chance:
    """Return how likely something is, by the paths on which it happened."""
    total, count = len(paths), sum(map(happened, paths))
    share, weight = count / total, _NORMAL**2 / total
    middle = (share + weight / 2) / (1 + weight)
    half = _NORMAL / (1 + weight) * sqrt(share * (1 - share) / total + weight / total / 4)
    return Chance(count, total, share, max(0.0, middle - half), min(1.0, middle + half))


def _spread(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(np.quantile(list(values), SHARES).tolist())


def _happenings(counts: Sequence[dict[str, int]]) -> dict[str, Happening]:
    total: Counter[str] = Counter()
    paths: Counter[str] = Counter()
    for each in counts:
        total.update(each)
        paths.update(each.keys())
    codes = sorted(paths, key=lambda code: (-paths[code], code))
    return {code: Happening(total[code], paths[code]) for code in codes}


def title(simulation: Simulation) -> str:
    """Return what was simulated in a few words."""
    plan = simulation.plan
    length = f"{simulation.bars:,} bars of {simulation.timeframe}"
    if plan.market == REAL:
        what = f"The real market, {length}"
    else:
        what = f"{plan.paths:,} {plan.market} markets of {length}, seed {plan.seed}"
    return f"{what}, under {plan.stress.text}" if plan.stress.text else what


def sentence(simulation: Simulation, found: Outlook) -> str:
    """Return what came of it in plain words."""
    plan, currency = simulation.plan, simulation.config.currency
    lost, total = found.loss.count, found.loss.total
    if total == 1:
        path = found.worst
        return (
            f"{format_money(simulation.start_equity, currency)} became {format_money(path.final_equity, currency)}"
            f" ({format_percent(path.total_return, signed=True)}); the deepest fall was"
            f" {format_percent(-path.max_drawdown)}."
        )
    middle, bad = (found.total_return[SHARES.index(share)] for share in (0.5, 0.05))
    return (
        f"Money was lost on {lost:,} of {total:,} paths ({format_percent(found.loss.share, 0)}); the middle path ended at"
        f" {format_percent(middle, signed=True)}, one in twenty at {format_percent(bad, signed=True)} or worse;"
        f" {_ruined(found.ruin)} lost {format_percent(plan.ruin, 0)} or more at some time, so that the risk of that is at"
        f" most {format_percent(found.ruin.high)} (95 % confidence)."
    )


def _ruined(ruin: Chance) -> str:
    return "none" if not ruin.count else f"{ruin.count:,} ({format_percent(ruin.share)})"


def to_json(simulation: Simulation, found: Outlook) -> bytes:
    """Return the simulation as a JSON document in UTF-8; equal seeds give equal documents."""
    plan = simulation.plan
    names = [f"p{round(share * 100):02d}" for share in SHARES]
    spreads = ("final_equity", "total_return", "max_drawdown", "buy_and_hold")
    document = {
        "market": plan.market,
        "stress": plan.stress.text,
        "paths": plan.paths,
        "seed": plan.seed,
        "bars": simulation.bars,
        "timeframe": simulation.timeframe,
        "currency": simulation.config.currency,
        "start_equity": simulation.start_equity,
        "percentiles": {name: dict(zip(names, getattr(found, name), strict=True)) for name in spreads},
        "mean_return": found.mean_return,
        "mean_trades": found.mean_trades,
        "mean_costs": found.mean_costs,
        "probability_of_loss": found.loss,
        "risk_of_ruin": {"loss": plan.ruin, **msgspec.structs.asdict(found.ruin)},
        "behind_buy_and_hold": found.behind_buy_and_hold,
        "worst_path": found.worst.number,
        "best_path": found.best.number,
        "refusals": found.refusals,
        "breakers": found.breakers,
        "fitted_to": plain(simulation.facts),
        "fingerprint": simulation.fingerprint,
        "notes": plain(simulation.notes),
        "runs": [_row(path) for path in simulation.paths],
        "config": plain(simulation.config.model_dump(mode="json")),
        "version": __version__,
    }
    return msgspec.json.encode(document)


def _row(path: PathResult) -> dict[str, object]:
    return {**msgspec.structs.asdict(path), "strikes": [iso_time(ts) for ts in path.strikes]}
