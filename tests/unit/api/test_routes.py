"""What the routes tell of a recorded run, held against the replica that they read."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from starlette.testclient import TestClient

from abidance.api.house import House
from abidance.journal.record import Record
from abidance.model.event import (
    BalanceChanged,
    CircuitMoved,
    CircuitState,
    Control,
    ControlAction,
    Part,
    VenueStatus,
)
from abidance.model.order import Purpose
from abidance.model.outcome import Decided, Notice
from abidance.portfolio.ledger import fill_ref
from abidance.run.door import Answer, Wish, Word
from tests.unit.api.conftest import CHANGE, Node, logged_in, read_all

RUN = "/api/v1/runs/demo"


@pytest.fixture
def viewer(nobody: TestClient, house: House) -> TestClient:
    return logged_in(nobody, house, "viewer")


def test_pages_hold_everything_once_newest_first(viewer: TestClient, house: House) -> None:
    cursor, found = "", []
    while True:
        page = viewer.get(f"{RUN}/fills", params={"limit": 3, "cursor": cursor}).json()
        found += page["items"]
        cursor = page["next"]
        if not cursor:
            break

    replica = house.runs.get("demo").replica
    assert len(found) == page["total"] == len(replica.fills) > 3
    assert [each["ref"] for each in found] == [fill_ref(each) for each in reversed(replica.fills)]


def test_a_fill_is_explained_from_its_bar_to_its_last_cent(viewer: TestClient) -> None:
    fill = next(
        each for each in viewer.get(f"{RUN}/fills?limit=500").json()["items"] if each["purpose"] == "entry"
    )

    why = viewer.get(f"{RUN}/why", params={"ref": fill["ref"]}).json()

    assert why["trigger"]["kind"] == "bars"
    assert why["signal"]["instrument"] == fill["instrument"]
    assert why["signal"]["strength"] != 0
    rule, signal = why["sizing"]["rule"], why["signal"]
    capital = why["sizing"]["equity"] * why["sizing"]["allocation"]
    stop = min(filter(None, (signal["protection"]["stop"], signal["protection"]["trailing"])))
    risked = rule["risk"] * capital / stop * abs(signal["strength"]) * signal["confidence"]
    assert rule["method"] == "risk_per_trade"
    assert float(why["order"]["quantity"]) == pytest.approx(
        min(risked, rule["max_fraction"] * capital / signal["price"]), rel=0.01
    )
    assert why["request"]["side"] == fill["side"]
    assert Decimal(why["request"]["quantity"]) == Decimal(why["order"]["quantity"])
    assert [each["kind"] for each in why["steps"]][:2] == ["submit", "accepted"]
    assert "filled" in {each["kind"] for each in why["steps"]}
    sums: dict[str, Decimal] = {}
    for line in why["ledger"]:
        assert line["ref"] == fill["ref"]
        sums[line["asset"]] = sums.get(line["asset"], Decimal(0)) + Decimal(line["amount"])
    assert set(sums.values()) == {Decimal(0)}
    assert why["ledger"]


def test_what_risk_said_of_an_order_is_what_the_record_says(viewer: TestClient, house: House) -> None:
    replica = house.runs.get("demo").replica
    id, other = replica.sent[-1].id, replica.sent[0].id
    approved = viewer.get(f"{RUN}/orders/{id}").json()["verdict"]
    decision = replica.lives.decision(id)
    assert decision is not None
    bare = msgspec.structs.replace(decision.decided, verdicts=())
    replica.decisions[list(replica.decisions).index(decision)] = decision._replace(decided=bare)

    unproven = viewer.get(f"{RUN}/orders/{id}").json()["verdict"]

    assert (approved["approved"], approved["reason"]) == (True, "")
    assert not unproven["approved"]
    assert "no approval" in unproven["reason"]
    assert viewer.get(f"{RUN}/orders/{other}").json()["verdict"]["approved"]


def test_a_share_that_was_refused_sized_nothing(viewer: TestClient, house: House) -> None:
    replica = house.runs.get("demo").replica
    entry = next(each for each in reversed(replica.sent) if each.request.purpose is Purpose.ENTRY)
    before = viewer.get(f"{RUN}/orders/{entry.id}").json()["sizing"]
    refused: list[dict[str, float | int | str | bool]] = [{}, {"allocation": 7}, {"allocation": "much"}]
    for values in refused:
        control = Control(0, ControlAction.SET_ALLOCATION, entry.request.strategy, "ada", values)
        replica.controls.append((0, control))

    after = viewer.get(f"{RUN}/orders/{entry.id}").json()["sizing"]

    assert after == before
    assert after["allocation"] is not None


def test_what_was_brought_is_told_in_the_currency_of_the_run(viewer: TestClient, house: House) -> None:
    portfolio = house.runs.get("demo").replica.portfolio
    found = viewer.get(f"{RUN}/contribution").json()
    worth = portfolio.worth

    def doubled(asset: str) -> float:
        return worth(asset) * 2

    portfolio.worth = doubled  # type: ignore[method-assign]
    twice = viewer.get(f"{RUN}/contribution").json()

    assert sum(each["closed"] for each in found) == pytest.approx(
        sum(float(each.pnl) for each in portfolio.round_trips)
    )
    assert [each["closed"] * 2 for each in found] == pytest.approx([each["closed"] for each in twice])


def test_every_fill_has_its_explanation(viewer: TestClient, house: House) -> None:
    refs = [fill_ref(each) for each in house.runs.get("demo").replica.fills]

    statuses = {viewer.get(f"{RUN}/why", params={"ref": ref}).status_code for ref in refs}

    assert statuses == {200}


def test_money_adds_up(viewer: TestClient, house: House) -> None:
    run = viewer.get(RUN).json()
    balances = viewer.get(f"{RUN}/balances").json()
    equity = viewer.get(f"{RUN}/equity?points=5").json()

    assert run["equity"] == pytest.approx(sum(each["value"] for each in balances))
    assert run["profit"] == pytest.approx(run["equity"] - 10_000)
    assert equity["equity"][-1] == pytest.approx(run["equity"])
    assert len(equity["ts"]) <= 5
    assert min(equity["drawdown"]) == pytest.approx(
        min(viewer.get(f"{RUN}/equity?points=9999").json()["drawdown"])
    )


def test_profit_of_the_day_the_week_and_the_month_begins_at_their_midnight(viewer: TestClient) -> None:
    run = next(each for each in viewer.get("/api/v1/runs").json() if each["name"] == "demo")
    curve = viewer.get(f"{RUN}/equity", params={"points": 10_000}).json()
    now = datetime.fromtimestamp(run["now"] / 1000, UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    starts = {
        "profit_today": midnight,
        "profit_week": midnight - timedelta(days=now.weekday()),
        "profit_month": midnight.replace(day=1),
    }

    for name, start in starts.items():
        before = [
            value
            for ts, value in zip(curve["ts"], curve["equity"], strict=True)
            if ts <= start.timestamp() * 1000
        ]
        first = before[-1] if before else run["start_equity"]
        assert run[name] == pytest.approx(run["equity"] - first), name
    assert len({run[name] for name in starts}) > 1


def test_money_that_comes_or_goes_is_no_profit(viewer: TestClient, house: House) -> None:
    replica = house.runs.get("demo").replica
    before = viewer.get(RUN).json()
    now = replica.state.now

    for number, amount in enumerate((Decimal(5_000), Decimal(-1_200)), 1):
        moved = BalanceChanged(now + number, "BINANCE", "USDT", amount, "by hand")
        replica.take([Record(replica.seq + 1, False, moved)])

    after = viewer.get(RUN).json()
    assert after["equity"] == pytest.approx(before["equity"] + 3_800)
    for name in ("profit", "profit_today", "profit_week", "profit_month"):
        assert after[name] == pytest.approx(before[name]), name


def test_bars_of_a_run_go_on_where_its_own_begin(viewer: TestClient) -> None:
    wish: dict[str, str | int] = {"instrument": "BTC/USDT@BINANCE", "timeframe": "1h", "limit": 500}

    bars = viewer.get(f"{RUN}/bars", params=wish).json()

    assert len(bars["ts"]) == 500
    assert {after - before for before, after in zip(bars["ts"], bars["ts"][1:], strict=False)} == {3_600_000}
    stored = viewer.get("/api/v1/bars", params={**wish, "end": bars["ts"][-1] + 1}).json()
    assert stored["close"] == bars["close"]


@pytest.mark.parametrize(
    "path", ["orders", "positions", "round-trips", "round-trips/open", "ledger", "refusals", "risk", "strategies",
             "instruments", "notices", "logs", "config"]
)  # fmt: skip
def test_every_view_of_a_run_answers(viewer: TestClient, path: str) -> None:
    assert viewer.get(f"{RUN}/{path}").status_code == 200


def test_refusals_are_counted_by_reason(viewer: TestClient) -> None:
    counts = viewer.get(f"{RUN}/risk").json()["refusals"]
    code = next(iter(counts))

    page = viewer.get(f"{RUN}/refusals", params={"code": code, "limit": 500}).json()

    assert len(page["items"]) == counts[code]
    assert all(each["reason"] for each in page["items"])


def test_refusals_and_orders_are_found_by_what_they_were_for(viewer: TestClient) -> None:
    refusals = viewer.get(f"{RUN}/refusals", params={"limit": 500}).json()["items"]
    orders = viewer.get(f"{RUN}/orders", params={"limit": 500}).json()["items"]
    wanted = {"purpose": ["entry", "rebalance"], "strategy": orders[0]["strategy"], "limit": 500}

    refused = viewer.get(f"{RUN}/refusals", params=wanted).json()["items"]
    sent = viewer.get(f"{RUN}/orders", params=wanted).json()["items"]

    for some, all_of_them in ((refused, refusals), (sent, orders)):
        assert some == [
            each
            for each in all_of_them
            if each["purpose"] in wanted["purpose"] and each["strategy"] == wanted["strategy"]
        ]
        assert len(some) > 0
        assert all(0 <= each["confidence"] <= 1 for each in some)
    assert viewer.get(f"{RUN}/orders", params={"purpose": "luck"}).status_code == 422


def test_a_strategy_tells_its_parameters_as_a_schema(viewer: TestClient) -> None:
    found = {each["name"]: each for each in viewer.get("/api/v1/strategies").json()}

    schema = found["EmaCross"]["parameters"]

    assert schema["type"] == "object"
    assert all("default" in each and each["type"] in ("integer", "number", "boolean", "string")
               for each in schema["properties"].values())  # fmt: skip


def test_a_strategy_file_with_a_mistake_is_listed_with_its_reason(viewer: TestClient, house: House) -> None:
    house.strategies.mkdir()
    (house.strategies / "broken.py").write_text("import nothing_of_that_name\n")

    found = [each for each in viewer.get("/api/v1/strategies").json() if each["problem"]]

    assert len(found) == 1
    assert "nothing_of_that_name" in found[0]["problem"]


def test_what_is_asked_of_a_bot_that_does_not_run_is_refused_and_audited(
    nobody: TestClient, house: House
) -> None:
    operator = logged_in(nobody, house, "operator")

    answer = operator.post(f"{RUN}/control", json={"action": "kill"}, headers=CHANGE)

    assert (answer.status_code, answer.json()["code"]) == (409, "not_running")
    assert house.audit.last(1)[0].action == "control.kill"
    assert house.audit.verify().problem == ""


def test_a_journal_that_cannot_be_read_takes_no_other_run_away(
    nobody: TestClient, viewer: TestClient, house: House
) -> None:
    broken = house.runs.folder / "broken"
    broken.mkdir()
    (broken / "journal.abj").write_bytes(b"nothing of ours")

    read_all(nobody, house)

    assert [each["name"] for each in viewer.get("/api/v1/runs").json()] == ["demo"]
    assert "is not a journal" in viewer.get("/api/v1/runs/broken").json()["remedy"]


def test_metrics_are_there_for_a_scraper(viewer: TestClient) -> None:
    text = viewer.get("/metrics").text

    assert 'abidance_run_equity{run="demo"}' in text
    assert "abidance_http_requests_total" in text


def test_circuits_are_shown_and_those_that_are_not_closed_counted(viewer: TestClient, house: House) -> None:
    replica = house.runs.get("demo").replica
    now = replica.state.now
    for venue, part, state in (
        ("BINANCE", Part.REQUESTS, CircuitState.OPEN),
        ("BINANCE", Part.CLOCK, CircuitState.OPEN),
        ("BINANCE", Part.CLOCK, CircuitState.CLOSED),
        ("", Part.DISK, CircuitState.HALF_OPEN),
    ):
        replica._handle(CircuitMoved(now, venue, part, state, "Requests failed.", 1, 15.0))

    shown = viewer.get(f"{RUN}/risk").json()["circuits"]
    text = viewer.get("/metrics").text

    assert [(each["venue"], each["part"], each["state"]) for each in shown] == [
        ("BINANCE", "requests", "open"),
        ("BINANCE", "clock", "closed"),
        ("", "disk", "half_open"),
    ]
    assert (shown[0]["reason"], shown[0]["rest"]) == ("Requests failed.", 15.0)
    for at, name, value in (("BINANCE", "requests", 1.0), ("BINANCE", "clock", 0.0), ("", "disk", 0.5)):
        assert f'abidance_run_circuit_open{{part="{name}",run="demo",venue="{at}"}} {value}' in text


def test_a_run_whose_account_is_not_compared_yet_stands_reducing(viewer: TestClient, house: House) -> None:
    replica = house.runs.get("demo").replica
    now, seen = replica.state.now, []
    venues = {each.venue for each in replica.state.instruments.values()}

    for reasons in ((), ("the account was not compared with our books yet.",), ()):
        for venue in venues:
            replica._handle(VenueStatus(now, venue, reasons))
        run, risk = viewer.get(RUN).json()["standing"], viewer.get(f"{RUN}/risk").json()
        rows = viewer.get(f"{RUN}/strategies").json()
        assert all(each == run for each in risk["strategies"].values())
        assert all(each["standing"] == run == risk["standing"] for each in rows)
        seen.append((run["state"], run["code"]))

    assert seen == [("active", None), ("reducing", "venue_not_trusted"), ("active", None)]


def test_risk_tells_how_long_positions_stood_without_their_stops(viewer: TestClient, house: House) -> None:
    replica = house.runs.get("demo").replica
    name, now = next(iter(replica.state.strategies)), replica.state.now
    texts = [f"BTC/USDT@BINANCE was without its whole stop for {lasted} s." for lasted in ("0.250", "1.500")]
    before = viewer.get(f"{RUN}/risk").json()["without_stop"]
    for text in texts:
        replica._handle(Decided(now, notices=(Notice(now, "info", "protected", text, name),)))

    told = viewer.get(f"{RUN}/risk").json()["without_stop"]

    assert before == []
    assert told == [
        {"strategy": name, "instrument": "BTC/USDT@BINANCE", "times": 2, "total": 1.75, "longest": 1.5}
    ]


def test_without_a_dashboard_the_first_page_says_so(nobody: TestClient) -> None:
    answer = nobody.get("/")

    assert answer.status_code == 200
    assert "dashboard was not built" in answer.text


def test_a_built_dashboard_is_served_and_nothing_beside_it(nobody: TestClient, house: House) -> None:
    web = house.userdir / "web"
    (web / "assets").mkdir(parents=True)
    (web / "index.html").write_text("<h1>dashboard</h1>")
    (web / "assets" / "app-1a2b.js").write_text("1")
    (house.userdir / "secret.txt").write_text("secret")

    page, asset = nobody.get("/runs/demo"), nobody.get("/assets/app-1a2b.js")
    outside = [
        nobody.get(path).text
        for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/assets/..%2f..%2fsecret.txt")
    ]

    assert "dashboard" in page.text
    assert page.headers["cache-control"] == "no-cache"
    assert "immutable" in asset.headers["cache-control"]
    assert "secret" not in outside
    assert nobody.get("/assets/none.js").status_code == 404


@pytest.mark.parametrize("spec", ["/etc/passwd.py:X", "../x.py", "a/b.py:C"])
def test_a_backtest_takes_strategies_by_name_only(nobody: TestClient, house: House, spec: str) -> None:
    operator = logged_in(nobody, house, "operator")
    config = {"instruments": ["BTC/USDT@BINANCE"], "strategies": [{"strategy": spec}]}

    answer = operator.post("/api/v1/backtests", json={"config": config}, headers=CHANGE)

    assert answer.status_code == 422
    assert "by its name" in answer.json()["remedy"]


def test_a_backtest_whose_settings_do_not_fit_says_which(nobody: TestClient, house: House) -> None:
    operator = logged_in(nobody, house, "operator")
    config = {"instruments": ["BTC/USDT@BINANCE"], "strategies": [{"strategy": "EmaCross"}], "timefrme": "1h"}

    answer = operator.post("/api/v1/backtests", json={"config": config}, headers=CHANGE)

    assert answer.status_code == 422
    assert answer.json()["detail"] == "Unknown setting timefrme."
    assert [each["field"] for each in answer.json()["errors"]] == ["config.timefrme"]


def test_every_setting_that_does_not_fit_is_told_by_its_name(nobody: TestClient, house: House) -> None:
    operator = logged_in(nobody, house, "operator")
    config = {
        "instruments": ["BTC/USDT@BINANCE"],
        "strategies": [{"strategy": "EmaCross", "allocation": 7}],
        "risk": {"limits": {"max_exposure": -1}},
    }

    answer = operator.post("/api/v1/backtests", json={"config": config}, headers=CHANGE)

    told = {each["field"]: each["message"] for each in answer.json()["errors"]}
    assert answer.status_code == 422
    assert told == {
        "config.strategies.0.allocation": "config.strategies.0.allocation = 7 does not fit. Give a number above 0 and of at most 1.",
        "config.risk.limits.max_exposure": "config.risk.limits.max_exposure = -1 does not fit. Give a number above 0.",
    }


def test_a_live_run_shows_the_bars_that_it_began_with(viewer: TestClient, house: House) -> None:
    import polars as pl

    replica = house.runs.get("demo").replica
    first = replica.bars["BTC/USDT@BINANCE", "1h"][0]
    replica.state.instruments["NEW/USDT@BINANCE"] = replica.state.instruments["BTC/USDT@BINANCE"]
    hour = 3_600_000_000_000
    columns = {name: [1.0, 2.0] for name in ("open", "high", "low", "close", "volume")}
    frame = pl.DataFrame(
        {
            "instrument": ["NEW/USDT@BINANCE"] * 2,
            "timeframe": ["1h"] * 2,
            "ts": [first.ts, first.ts + hour],
            **columns,
        }
    )
    frame.write_parquet(house.runs.folder / "demo" / "history.parquet")

    bars = viewer.get(f"{RUN}/bars", params={"instrument": "NEW/USDT@BINANCE", "timeframe": "1h"}).json()

    assert bars["close"] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("body", "values"),
    [
        ({}, {"venue": "", "part": ""}),
        ({"venue": "binance", "part": "requests"}, {"venue": "BINANCE", "part": "requests"}),
    ],
)
def test_circuits_are_closed_by_hand_through_the_same_door_as_from_a_terminal(
    nobody: TestClient, house: House, body: dict[str, str], values: dict[str, float | int | str | bool]
) -> None:
    admin = logged_in(nobody, house, "admin")

    with Node(house, Answer(7, notices=(Word("info", "circuits_reset", "Closed."),))) as node:
        answer = admin.post(f"{RUN}/risk/circuits/reset", json=body, headers=CHANGE)

    assert (answer.status_code, answer.json()["notices"][0]["text"]) == (200, "Closed.")
    assert node.taken == [Wish(ControlAction.RESET_CIRCUITS, "admin (session)", "", values)]
    assert house.audit.last(1)[0].action == "control.reset_circuits"


def test_a_route_that_takes_other_methods_says_so(viewer: TestClient) -> None:
    answer = viewer.delete(f"{RUN}/risk", headers=CHANGE)

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert answer.headers["content-type"] == "application/problem+json"
