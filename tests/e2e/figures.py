"""What each screen has to show of a run that is over: figures of its journal and of the store, else of the API."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cached_property
from typing import Any

import abidance
from abidance.journal.store import read
from abidance.market.store import BarStore, Catalog
from abidance.model.command import Amend, Submit
from abidance.model.event import BalanceChanged, OrderFilled
from abidance.model.order import Fill, Purpose, Side
from abidance.model.outcome import Decided, Refused
from tests.e2e.dashboard import BTC, House

OWN = 10_000
SCORES = (1.25, 1.5, 0.75)
PAGE = 200
"""Rows of the newest page of a long list."""
MONEY, GAIN, COUNT = "{:,.2f}", "{:+,.2f}", "{:,}"
Found = Iterator[tuple[Any, str]]
"""Places of a page, and the whole text that has to stand in each."""


def exact(amount: Any) -> str:
    """Return an amount with all its digits, grouped."""
    return f"{Decimal(str(amount)).normalize():,f}"


def in_steps(amount: Any, step: str) -> str:
    """Return an amount with all the digits of its step, and of its own where they are more."""
    found = Decimal(str(amount))
    places = max(0, *(-int(each.normalize().as_tuple().exponent) for each in (Decimal(step), found)))
    return f"{found:,.{places}f}"


def share(part: float | None, digits: int = 1) -> str:
    """Return a share of one in percent, a dash where there is none."""
    return "–" if part is None else f"{part * 100:.{digits}f} %"


def words(code: str) -> str:
    """Return a code as people read it."""
    return code.replace("_", " ").capitalize()


class Truth:
    """What there is to be shown: a run's journal, read here by ourselves, and the answers of the API."""

    def __init__(self, house: House, request: Any) -> None:
        self.house, self._request = house, request

    def get(self, way: str) -> Any:
        """Return what the API answers."""
        answer = self._request.get(f"{self.house.address}/api/v1/{way}")
        assert answer.ok, answer.text()
        return answer.json()

    def of_run(self, way: str) -> Any:
        """Return what the API answers about the run."""
        return self.get(f"runs/bot/{way}")

    @cached_property
    def events(self) -> list[Any]:
        """Return all that the journal holds."""
        return [each.event for each in read(self.house.program.journal).records]

    @cached_property
    def fills(self) -> list[Fill]:
        """Return what was executed, in its order."""
        return [each.fill for each in self.events if isinstance(each, OrderFilled)]

    @cached_property
    def orders(self) -> int:
        """Return how many orders left."""
        decided = [each for each in self.events if isinstance(each, Decided)]
        return sum(isinstance(each, Submit) for one in decided for each in one.commands)

    @cached_property
    def refused(self) -> int:
        """Return how many orders risk refused."""
        decided = [each for each in self.events if isinstance(each, Decided)]
        return sum(isinstance(each, Refused) for one in decided for each in one.verdicts)

    @cached_property
    def wallet(self) -> dict[str, Decimal]:
        """Return what is owned of each asset: what came in, and what fills and their fees moved."""
        found: dict[str, Decimal] = defaultdict(Decimal)
        for each in self.events:
            if isinstance(each, BalanceChanged):
                found[each.asset] += each.amount
        for fill in self.fills:
            sign = 1 if fill.side is Side.BUY else -1
            found["BTC"] += sign * fill.quantity
            found["USDT"] -= sign * fill.quantity * fill.price
            found[fill.fee_asset] -= fill.fee
        return found

    @cached_property
    def position(self) -> tuple[Decimal, Decimal, Decimal | None]:
        """Return how much is held, at which mean price it was bought, and where its stop stands."""
        quantity, cost, stop, stops = Decimal(0), Decimal(0), None, set[str]()
        for each in self.events:
            if isinstance(each, OrderFilled):
                fill = each.fill
                sold = min(quantity, fill.quantity) if fill.side is Side.SELL else Decimal(0)
                cost = cost * (1 - sold / quantity) if sold else cost + fill.quantity * fill.price
                quantity += fill.quantity if not sold else -sold
            for command in each.commands if isinstance(each, Decided) else ():
                if isinstance(command, Submit) and command.request.purpose is Purpose.STOP_LOSS:
                    stops.add(command.order_id)
                    stop = command.request.trigger
                elif isinstance(command, Amend) and command.order_id in stops:
                    stop = command.trigger or stop
        return quantity, cost / quantity if quantity else Decimal(0), stop

    @cached_property
    def close(self) -> float:
        """Return the last price, as the store has it."""
        run = self.get("runs/bot")
        stored = Catalog(BarStore(self.house.program.userdir / "data")).read(BTC, "1h")
        at = stored.ts.tolist().index((run["now"] // 3_600_000 - 1) * 3_600 * 10**9)
        return float(stored.close[at])

    @cached_property
    def rules(self) -> dict[str, str]:
        """Return in which steps one trades."""
        found: dict[str, str] = self.of_run("instruments")[0]
        return found

    def price(self, amount: Any) -> str:
        """Return a price as it stands in a table."""
        return in_steps(amount, self.rules["tick"])

    def quantity(self, amount: Any) -> str:
        """Return a quantity as it stands in a table."""
        return in_steps(amount, self.rules["lot"])

    @property
    def equity(self) -> float:
        """Return what all of it is worth."""
        return float(self.wallet["USDT"]) + float(self.wallet["BTC"]) * self.close


def stat(page: Any, label: str) -> Any:
    """Return where a figure stands, by its label."""
    return page.locator(".stat", has=page.get_by_text(label, exact=True)).locator(".stat-value").first


def cells(page: Any, table: str, row: int, wanted: dict[str, str]) -> Found:
    """Yield cells of a row of a table, by their columns."""
    place = page.get_by_role("table", name=table, exact=True).locator(".table-row").nth(row)
    for name, text in wanted.items():
        yield place.locator(f'[data-name="{name}"]'), text


def filled(page: Any, truth: Truth, table: str) -> Found:
    """Yield the newest fills as the journal has them."""
    for row in range(3):
        fill = truth.fills[-1 - row]
        wanted = {
            "Side": fill.side.value,
            "Quantity, BTC": truth.quantity(fill.quantity),
            "Price, USDT": truth.price(fill.price),
        }
        yield from cells(page, table, row, wanted)


def held(page: Any, truth: Truth, table: str) -> Found:
    """Yield what is held as the journal has it: bought since nothing was, at those prices, with the stop sent last."""
    quantity, entry, stop = truth.position
    assert quantity, "nothing is held that could be shown"
    gain = float(quantity) * (truth.close - float(entry))
    wanted = {
        "Side": "long",
        "Quantity, BTC": truth.quantity(quantity),
        "Entry, USDT": truth.price(entry),
        "Last, USDT": truth.price(truth.close),
        "P&L, USDT": GAIN.format(gain),
        "Stop, USDT": truth.price(stop),
        "Share": share(float(quantity) * truth.close / truth.equity),
    }
    yield from cells(page, table, 0, wanted)


def overview(page: Any, truth: Truth) -> Found:
    run = truth.get("runs/bot")
    yield stat(page, "Equity, USDT"), MONEY.format(truth.equity)
    yield page.locator(".equity b"), MONEY.format(truth.equity)
    yield page.locator(".equity span"), GAIN.format(truth.equity - OWN)
    curve = truth.of_run("equity?points=10000")["equity"]
    yield stat(page, "Drawdown now"), share(truth.equity / max(*curve, OWN) - 1)
    yield stat(page, "In the market"), share(float(truth.wallet["BTC"]) * truth.close / truth.equity)
    yield from filled(page, truth, "Last fills")
    yield from held(page, truth, "Open positions")
    for each in truth.of_run("risk")["usage"]:
        written = "{:,.0f}" if each["name"] == "max_positions" else "{:.1%}"
        text = " of ".join(
            written.format(value).replace("%", " %")
            for value in (each["used"], each["limit"])
            if value is not None
        )
        label = words(each["name"].partition(" ")[0].removeprefix("max_").removesuffix("_exposure"))
        of = each["name"].partition(" ")[2]
        meter = page.locator(".meter", has=page.get_by_text(f"{label} {of}".strip(), exact=True))
        yield meter.locator(".number"), text
    assert run["fills"] == len(truth.fills)


def markets(page: Any, truth: Truth) -> Found:
    stored = next(
        each for each in truth.get("data") if (each["instrument"], each["timeframe"]) == (BTC, "1h")
    )
    rules = truth.rules
    last = page.locator(".stat", has=page.get_by_text("Last price, USDT", exact=True))
    yield last.locator(".stat-value"), truth.price(truth.close)
    yield last.locator(".stat-note"), utc(truth.get("runs/bot")["now"] // 3_600_000 * 3_600_000)
    yield stat(page, "Step of prices, USDT"), exact(rules["tick"])
    yield stat(page, "Step of amounts, BTC"), exact(rules["lot"])
    yield stat(page, "Least order, USDT"), exact(rules["min_notional"])
    rows = len(Catalog(BarStore(truth.house.program.userdir / "data")).read(BTC, "1h").ts)
    whole = f"{int(stored['quality'] * 10_000) / 100:.2f}"
    facts = page.locator(".facts dd")
    yield facts.first, f"{rows:,}, {whole} % whole, {stored['missing']:,} missing"
    yield facts.last, stored["source"]


def strategies(page: Any, truth: Truth) -> Found:
    (one,) = truth.of_run("strategies")
    trips = truth.of_run("round-trips?limit=500")["items"]
    won = sum(Decimal(each["pnl"]) > 0 for each in trips)
    yield stat(page, "Profit, USDT"), GAIN.format(one["profit"])
    yield stat(page, "Round trips"), str(len(trips))
    yield (
        page.locator(".stat", has_text="Round trips").locator(".stat-note"),
        f"{share(won / len(trips))} won",
    )
    yield stat(page, "Open positions"), str(int(truth.wallet["BTC"] > Decimal("0.0001")))
    yield stat(page, "Share of the capital"), share(one["allocation"])
    purposes = "&".join(f"purpose={each}" for each in ("entry", "signal", "rebalance"))
    newest = truth.of_run(f"orders?limit=1&{purposes}")["items"][0]
    refusals = truth.of_run(f"refusals?limit=1&{purposes}")["items"]
    if not refusals or refusals[0]["ts"] < newest["ts"]:
        wanted = {"Wish": newest["side"], "Confidence": share(newest["confidence"], 0)}
        wanted |= {
            "Quantity, BTC": truth.quantity(newest["quantity"]),
            "At, USDT": truth.price(newest["decision_price"]),
            "Became": newest["state"],
        }
        yield from cells(page, "Signals of EmaCross", 0, wanted)


def orders(page: Any, truth: Truth) -> Found:
    yield from held(page, truth, "Positions")
    listed = truth.of_run("orders?limit=3")["items"]
    for row, each in enumerate(listed):
        wanted = {"Side": each["side"], "Quantity, BTC": truth.quantity(each["quantity"])}
        wanted |= {"Filled, BTC": truth.quantity(each["filled"])}
        wanted |= {"Purpose": words(each["purpose"]), "State": each["state"]}
        yield from cells(page, "All orders", row, wanted)
    yield counted(page, "All orders", truth.orders)
    page.get_by_role("tab", name="Fills").click()
    yield from filled(page, truth, "Fills")
    yield counted(page, "Fills", len(truth.fills))


def counted(page: Any, table: str, rows: int) -> tuple[Any, str]:
    """Return a table that has to have so many rows, the head among them."""
    found = page.get_by_role("table", name=table, exact=True)
    return found.and_(page.locator(f'[aria-rowcount="{min(rows, PAGE) + 1}"]')), ""


def round_trips(page: Any, truth: Truth) -> Found:
    trips = truth.of_run("round-trips?limit=500")["items"]
    amounts = [Decimal(each["pnl"]) for each in trips]
    yield stat(page, "Closed"), COUNT.format(len(trips))
    yield stat(page, "Won"), share(sum(each > 0 for each in amounts) / len(trips))
    yield stat(page, "Result, USDT"), GAIN.format(sum(amounts))
    for row, each in enumerate(trips[:3]):
        wanted = {
            "Side": each["direction"],
            "Quantity, BTC": truth.quantity(each["quantity"]),
            "Entry, USDT": truth.price(each["entry_price"]),
        }
        wanted |= {
            "Exit, USDT": truth.price(each["exit_price"]),
            "P&L, USDT": GAIN.format(Decimal(each["pnl"])),
        }
        yield from cells(
            page, "Closed round trips", row, wanted | {"Fees, USDT": MONEY.format(Decimal(each["fees"]))}
        )
    assert sum(Decimal(each["fees"]) for each in trips) <= sum(each.fee for each in truth.fills)


def portfolio(page: Any, truth: Truth) -> Found:
    rows = truth.of_run("balances")
    for row, each in enumerate(rows):
        worth = float(truth.wallet[each["asset"]]) * (truth.close if each["asset"] == "BTC" else 1.0)
        wanted = {
            "Asset": each["asset"],
            "Worth, USDT": MONEY.format(worth),
            "Share": share(worth / truth.equity),
        }
        yield from cells(page, "Balances", row, wanted)
        title = page.get_by_role("table", name="Balances").locator(".table-row").nth(row).locator("[title]")
        yield title.and_(page.locator(f'[title="{exact(truth.wallet[each["asset"]])} {each["asset"]}"]')), ""
    (one,) = truth.of_run("contribution")
    brought = page.locator(".brought .number span").first
    yield brought, GAIN.format(one["closed"] + one["open"])
    shares = truth.of_run("strategies")
    for row, strategy in enumerate(shares):
        wanted = {
            "Capital share": share(strategy["allocation"]),
            "Profit, USDT": GAIN.format(strategy["profit"]),
        }
        yield from cells(page, "Contribution of strategies", row, wanted)
    newest = truth.of_run("ledger?limit=2")["items"]
    for row, entry in enumerate(newest):
        wanted = {"Kind": words(entry["kind"]), "Account": entry["account"], "Because of": entry["ref"]}
        yield from cells(page, "Ledger", row, wanted)


def risk(page: Any, truth: Truth) -> Found:
    found = truth.of_run("risk")
    for code, count in found["refusals"].items():
        yield (
            page.locator(".meter", has=page.get_by_text(words(code), exact=True)).locator(".number"),
            COUNT.format(count),
        )
    assert sum(found["refusals"].values()) == truth.refused
    for form, name, value in (
        ("Limits", "Max positions", f"{found['limits']['max_positions']:,}"),
        ("Limits", "Price collar", f"{found['limits']['price_collar'] * 100:g}"),
        ("Breakers", "Daily loss", f"{found['breakers']['daily_loss'] * 100:g}"),
    ):
        yield page.get_by_role("form", name=form).get_by_label(name), value
    if truth.refused:
        newest = truth.of_run("refusals?limit=1")["items"][0]
        wanted = {
            "Side": newest["side"],
            "Quantity, BTC": truth.quantity(newest["quantity"]),
            "Code": newest["code"],
        }
        yield from cells(page, "Refusals", 0, wanted | {"Reason": newest["reason"]})


def logs(page: Any, truth: Truth) -> Found:
    lines = truth.of_run("logs?limit=3")["items"]
    for row, each in enumerate(lines):
        yield from cells(page, "Log", row, {"Level": each["level"], "Event": words(each["event"])})


def alerts(page: Any, truth: Truth) -> Found:
    found = truth.get("alerts?level=warning&limit=500")["items"]
    yield stat(page, "Errors"), str(sum(each["level"] == "error" for each in found))
    yield stat(page, "Warnings"), str(sum(each["level"] == "warning" for each in found))
    for row, each in enumerate(found[:3]):
        text = each["text"].replace("`", "")
        yield from cells(page, "Alerts", row, {"Level": each["level"], "Bot": each["run"], "What": text})


def backtests(page: Any, truth: Truth) -> Found:
    (one,) = truth.get("backtests")["items"]
    row = page.locator(".backtest").first
    yield row.locator("span.up, span.down").first, share(one["metrics"]["total_return"], 2)
    row.get_by_role("button", name=one["label"]).click()
    metrics = one["metrics"]
    yield stat(page, "Final equity, USDT"), MONEY.format(metrics["final_equity"])
    yield stat(page, "Fees, USDT"), MONEY.format(metrics["fees"])
    yield stat(page, "Round trips"), COUNT.format(metrics["trades"])
    for label, field in (
        ("Total return", "total_return"),
        ("Max drawdown", "max_drawdown"),
        ("Win rate", "win_rate"),
    ):
        yield stat(page, label), "–" if metrics[field] is None else share(metrics[field], 2)
    for label, field in (("Profit factor", "profit_factor"), ("Sharpe", "sharpe")):
        yield stat(page, label), "–" if metrics[field] is None else f"{metrics[field]:,.2f}"
    fills = truth.get(f"backtests/{one['id']}/result")["fills"]
    yield row.get_by_role("combobox", name="Instrument"), fills[0]["instrument"]


def optimise(page: Any, truth: Truth) -> Found:
    yield counted(page, "Studies", 1)
    page.get_by_role("table", name="Studies").get_by_text("mine").click()
    yield counted(page, "Trials of mine", len(SCORES))
    trials = page.get_by_role("table", name="Trials of mine").locator(".table-row")
    for score in SCORES:
        yield trials.filter(has_text=f"sharpe {score:g}").and_(page.locator("[role=row]")), ""


def data(page: Any, truth: Truth) -> Found:
    catalog = Catalog(BarStore(truth.house.program.userdir / "data"))
    for row, each in enumerate(truth.get("data")[:3]):
        count = len(catalog.read(each["instrument"], each["timeframe"]).ts)
        wanted = {
            "Instrument": each["instrument"],
            "What": f"bars, {each['timeframe']}",
            "Rows": COUNT.format(count),
        }
        wanted |= {
            "From, UTC": utc(each["first"]),
            "To, UTC": utc(each["last"]),
            "Missing": COUNT.format(each["missing"]),
        }
        yield from cells(page, "Stored data", row, wanted | {"Source": each["source"]})


def jobs(page: Any, truth: Truth) -> Found:
    found = truth.get("jobs")["items"]
    yield stat(page, "Done"), str(sum(each["state"] == "done" for each in found))
    for row, each in enumerate(found):
        wanted = {"Kind": each["kind"], "What": each["label"], "By": each["actor"], "State": each["state"]}
        yield from cells(page, "Jobs", row, wanted | {"Asked for, UTC": utc(each["created"])})


def settings(page: Any, truth: Truth) -> Found:
    page.get_by_role("tab", name="Venues").click()
    for row, each in enumerate(truth.get("venues")):
        wanted = {"Venue": each["name"], "Real orders": ", ".join(each["orders"]) or "not yet"}
        yield from cells(page, "Venues", row, wanted)
    page.get_by_role("tab", name="About").click()
    about = page.locator(".panel", has=page.get_by_role("heading", name="About")).locator("p").first
    yield about, f"Abidance {abidance.__version__}. The API is described at /api/v1/openapi.json."


def utc(ms: int) -> str:
    """Return a moment as the dashboard writes it."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


FIGURES: dict[str, Callable[[Any, Truth], Found]] = {
    "/": overview,
    "/markets": markets,
    "/strategies": strategies,
    "/orders": orders,
    "/round-trips": round_trips,
    "/portfolio": portfolio,
    "/risk": risk,
    "/logs": logs,
    "/alerts": alerts,
    "/backtests": backtests,
    "/optimise": optimise,
    "/data": data,
    "/jobs": jobs,
    "/settings": settings,
}
