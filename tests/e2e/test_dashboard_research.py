"""Research in a real browser: searches, verdicts, comparisons and stored data."""

import re
from pathlib import Path
from typing import Any

import pytest

from abidance.research.objective import Aim, Outcome
from abidance.research.space import Dimension, Space
from abidance.research.storage import journal
from abidance.research.study import Plan, Study
from abidance.testing.exchange.faults import Fault, Wrong
from tests.e2e.dashboard import (
    BTC,
    House,
    Visitor,
    barriers,
    browser,
    exchange,
    house,
    playwright,
    pytestmark,
    shot,
    told,
    visitor,
)

__all__ = ["browser", "house", "pytestmark", "visitor"]  # fixtures, and what all tests of the dashboard need
PROGRESSING = """(label) => new MutationObserver(() => {
    if (document.querySelector(`[aria-label="${label}"]`)) window.progressed = true;
}).observe(document, {childList: true, subtree: true})"""
"""Notes in the page itself that it showed how far work is: that may be quicker than one looks."""
LONG = 120_000
"""Milliseconds that a process may take to start and to work on a busy machine."""


def compiled(test: Any) -> Any:
    """Let a test begin once all is compiled that searches run; that takes minutes where much else runs."""
    return pytest.mark.timeout(400)(pytest.mark.usefixtures("kernels_are_compiled")(test))


@compiled
def test_a_search_is_started_watched_read_and_applied(visitor: Visitor) -> None:
    page = visitor.go("/optimise")
    page.get_by_label("Trials", exact=True).fill("6")
    page.get_by_label("Time range").fill("20240101-20240401")
    page.get_by_label("Search until").fill("20240301")
    page.get_by_label("fast").fill("5,10,15")
    page.get_by_label("slow").fill("30,60")

    page.get_by_role("button", name="Search", exact=True).click()

    row = page.locator(".search").first
    playwright.expect(row.get_by_text("done", exact=True)).to_be_visible(timeout=LONG)
    row.get_by_text("On bars that the search never saw").wait_for()
    row.get_by_role("table", name="The best score by").wait_for()
    row.get_by_text("What matters").wait_for()
    shot(page, "optimise-found")
    row.get_by_role("button", name=re.compile("Write trial")).click()
    row.get_by_role("status").get_by_text("EmaCross.toml").first.wait_for()
    applied(page, row)
    assert visitor.faults == []


def applied(page: Any, row: Any) -> None:
    """Give what was found to the bot that runs, to a new one and to a backtest, all from the browser."""
    search = page.request.get("/api/v1/searches").json()["items"][0]
    found = page.request.get(f"/api/v1/searches/{search['id']}/result").json()
    best = next(each for each in found["trials"] if each["number"] == found["best"])
    wanted, name = best["parameters"], f"trial {best['number']}"

    def parameters() -> dict[str, Any]:
        (one,) = page.request.get("/api/v1/runs/bot/strategies").json()
        return {each: one["parameters"].get(each) for each in wanted}

    assert parameters() != wanted
    row.get_by_role("combobox", name="Running bot").click()
    page.get_by_role("option", name="bot, paper").click()
    row.get_by_text(" → ").wait_for()
    shot(page, "optimise-apply")
    assert barriers(page) == []
    row.get_by_role("button", name=f"Apply {name} to bot").click()
    row.get_by_text("EmaCross of bot has these parameters.").wait_for()
    assert parameters() == wanted

    row.get_by_role("button", name=f"New bot with {name}").click()
    form = page.get_by_role("form", name="Start a bot")
    for each, value in wanted.items():
        playwright.expect(form.get_by_label(each, exact=True)).to_have_value(str(value))
    page.keyboard.press("Escape")

    row.get_by_role("button", name=f"Backtest {name}").click()
    page.get_by_role("heading", name="Backtests", exact=True).wait_for()
    test = page.locator(".backtest").first
    test.get_by_role("button", name=f", {name}").wait_for()
    playwright.expect(test.get_by_text("done", exact=True)).to_be_visible(timeout=LONG)
    newest = page.request.get("/api/v1/backtests").json()["items"][0]
    config = page.request.get(f"/api/v1/backtests/{newest['id']}/result").json()["config"]
    assert {each: config["strategies"][0]["parameters"][each] for each in wanted} == wanted
    assert (newest["timerange"], config["timerange"]) == ("20240101-20240401",) * 2


def test_a_search_of_the_terminal_shows_how_it_stands_trial_by_trial(visitor: Visitor, house: House) -> None:
    path = house.program.userdir / "studies" / "mine.journal"
    path.parent.mkdir(exist_ok=True)
    study = Study(
        journal(path),
        Plan("mine", "random", 3, Space({"fast": Dimension("fast", 2, 900)}), Aim.read(("sharpe",), ())),
    )
    for score in (1.0, 1.5):
        study.tell(study.ask().number, Outcome((score,), (), {}))
    page = visitor.go("/optimise")

    page.get_by_role("table", name="Studies").get_by_text("mine").click()

    trials = page.get_by_role("table", name="Trials of mine").locator(".table-row")
    playwright.expect(trials).to_have_count(2)
    trials.first.get_by_text("sharpe 1.5").wait_for()
    shot(page, "optimise-study")
    assert barriers(page) == []
    assert visitor.faults == []


@compiled
def test_a_running_search_tells_its_best_is_cancelled_and_two_objectives_make_a_front(
    visitor: Visitor,
) -> None:
    page = visitor.go("/optimise")
    rows = page.locator(".search")
    rows.or_(page.get_by_text("No search was started here yet.")).first.wait_for()
    before = rows.count()
    page.get_by_label("Time range").fill("20240101-20240401")
    page.get_by_label("Search until").fill("")
    page.get_by_label("Trials", exact=True).fill("50000")
    page.get_by_role("button", name="Search", exact=True).click()
    playwright.expect(rows).to_have_count(before + 1)
    playwright.expect(rows.first.get_by_text(re.compile(r"[1-9]\d* of ")).first).to_be_visible(timeout=LONG)
    best = rows.first.locator(".stat", has_text="Best sharpe")
    best.wait_for(timeout=LONG)
    shown = best.locator(".stat-value, .stat-note").all_inner_texts()
    search = page.request.get("/api/v1/searches").json()["items"][0]
    rows.first.get_by_role("button", name="Cancel").wait_for()
    assert search["state"] == "running"
    known = [[f"{each['score']:.2f}", f"trial {each['number']}"] for each in search["improvements"]]
    assert shown in known  # told while it went on, as the search had found it by then

    rows.first.get_by_role("button", name="Cancel").click()

    playwright.expect(rows.first.get_by_text("cancelled", exact=True)).to_be_visible(timeout=LONG)

    page.get_by_label("Trials", exact=True).fill("8")
    page.get_by_role("combobox", name="Objectives").click()
    page.get_by_role("option", name="max_drawdown").click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Search", exact=True).click()
    playwright.expect(rows).to_have_count(before + 2)
    playwright.expect(rows.first.get_by_text("done", exact=True)).to_be_visible(timeout=LONG)
    front = rows.first.get_by_role("img", name=re.compile("Pareto front"))
    front.locator(".dot").nth(1).wait_for()  # it is asked for once the search is known to be done
    assert front.locator(".dot-marked").count() >= 1
    shot(page, "optimise-front")
    assert visitor.faults == []


CONTRAST = """box => {
    const light = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map(each => each / 255)
        .map(each => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
        .reduce((sum, each, at) => sum + each * [0.2126, 0.7152, 0.0722][at], 0);
    const behind = getComputedStyle(box.closest('.panel')).backgroundColor;
    const [low, high] = [light(getComputedStyle(box).borderTopColor), light(behind)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
}"""
"""Returns how much the edge of a field stands out from what is behind it, as WCAG counts it."""


@pytest.mark.timeout(300)
def test_a_backtest_is_watched_and_its_result_opened_without_asking_how_it_goes(visitor: Visitor) -> None:
    page, asked = visitor.go("/backtests"), list[str]()
    page.locator(".link-live").wait_for()
    page.route(
        re.compile(r"/api/v1/(backtests|jobs)(\?|$)"),
        lambda route: (
            route.continue_() if route.request.method == "POST" else asked.append(route.request.url)
        ),
    )
    page.get_by_label("Time range").fill("20240101-20240401")
    page.evaluate(PROGRESSING, "Progress")
    before = page.locator(".backtest").count()

    page.get_by_role("button", name="Start", exact=True).click()

    row = page.locator(".backtest").first
    playwright.expect(page.locator(".backtest")).to_have_count(before + 1)  # as the stream tells it
    playwright.expect(row.get_by_text("done", exact=True)).to_be_visible(timeout=LONG)
    row.get_by_role("heading", name="Trades on the chart").wait_for()
    assert page.evaluate("window.progressed")
    assert len(asked) <= 2  # what the start itself makes the page read anew, and no answer came
    assert visitor.faults == []


@pytest.mark.timeout(300)
def test_work_is_asked_after_while_the_stream_is_lost(visitor: Visitor) -> None:
    page = visitor.page
    page.route_web_socket(re.compile("/api/v1/stream"), lambda socket: socket.close())
    visitor.go("/backtests")
    page.get_by_text("Connection lost").wait_for()
    page.get_by_label("Time range").fill("20240101-20240401")

    page.get_by_role("button", name="Start", exact=True).click()

    row = page.locator(".backtest").first
    playwright.expect(row.get_by_text("done", exact=True)).to_be_visible(timeout=LONG)
    row.get_by_role("heading", name="Trades on the chart").wait_for()


@compiled
def test_backtests_are_compared_and_judged(visitor: Visitor) -> None:
    page = visitor.go("/backtests")
    page.get_by_label("Time range").fill("20240101-20240401")
    rows = page.locator(".backtest")
    before = rows.count()
    for number in range(2):
        page.get_by_role("button", name="Start", exact=True).click()
        playwright.expect(rows).to_have_count(before + number + 1)
        playwright.expect(rows.first.get_by_text("done", exact=True)).to_be_visible(timeout=LONG)

    for at in range(2):
        page.get_by_role("checkbox", name=re.compile("Compare")).nth(at).check()
    side = page.locator(".panel", has=page.get_by_role("heading", name="Side by side"))
    side.get_by_role("rowheader", name="Total return").wait_for()
    row = page.locator(".backtest").first
    row.get_by_role("heading", name="Trades on the chart").wait_for()
    page.evaluate(PROGRESSING, "Progress of the verdict")
    row.get_by_role("button", name="Judge it").click()
    playwright.expect(row.locator(".checks li").first).to_be_visible(timeout=2 * LONG)

    assert page.evaluate("window.progressed")
    assert row.locator(".checks li").count() > 5
    assert (
        row.get_by_role("link", name="Save as a page").get_attribute("href").startswith("/api/v1/verdicts/")
    )
    shot(page, "backtests-verdict")

    page.get_by_role("link", name="Jobs").click()
    jobs = page.get_by_role("table", name="Jobs").locator(".table-row")
    playwright.expect(jobs.filter(has_text="verdict").filter(has_text="all of it")).to_have_count(1)
    jobs.filter(has_text="verdict").first.click()
    verdict = page.locator(".panel", has=page.get_by_role("heading", name="Verdict on EmaCross BTC/USDT"))
    verdict.locator(".checks li").nth(5).wait_for()
    page.get_by_role("link", name="Jobs").click()
    jobs.filter(has_text="backtest").first.click()
    page.get_by_role("heading", name="Trades on the chart").wait_for()
    assert visitor.faults == []


def test_an_empty_check_box_is_seen_in_both_themes(visitor: Visitor) -> None:
    page = visitor.go("/data")
    box = page.get_by_role("checkbox", name="Funding rates")
    for _ in range(2):
        assert box.evaluate(CONTRAST) >= 3
        shot(page, "data-boxes")
        page.locator(".acts").get_by_role("button", name=re.compile("colours")).click()


def test_stored_data_shows_its_calendar_and_a_download_that_cannot_be_is_refused(visitor: Visitor) -> None:
    page = visitor.go("/data")
    page.get_by_role("row").get_by_text("BTC/USDT@BINANCE").first.click()
    page.get_by_role("img", name=re.compile("2024, day by day")).wait_for()
    page.get_by_role("region", name="Quality").get_by_text("Largest move").wait_for()
    shot(page, "data-calendar")
    page.keyboard.press("Escape")

    page.get_by_role("combobox", name="Instruments").fill("nonsense")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Download").click()

    told(page.get_by_role("combobox", name="Instruments")).get_by_text("nonsense").wait_for()


@pytest.mark.timeout(300)
def test_a_download_is_watched_until_its_bars_are_in_the_store(browser: Any, tmp_path: Path) -> None:
    with exchange() as venue, House(tmp_path, demo=True) as house:
        (house.program.userdir / "config.toml").write_text(
            f'[feed.addresses.BINANCE]\nrest_url = "{venue.rest_url}"\n'
        )
        visitor = Visitor(browser, house.address)
        page = visitor.go("/data")
        page.get_by_role("combobox", name="Instruments").fill(BTC)
        page.keyboard.press("Enter")
        page.get_by_role("combobox", name="Timeframes").click()
        page.get_by_role("option", name="5m", exact=True).click()
        page.keyboard.press("Escape")
        venue.faults.add(Fault(Wrong.SLOW, where="klines", times=0, seconds=0.3))
        page.get_by_role("button", name="Download").click()

        row = page.locator(".download").first
        bar = row.get_by_role("progressbar", name="Progress")
        playwright.expect(bar).to_have_attribute("aria-valuenow", re.compile("^[1-9]"), timeout=LONG)
        playwright.expect(row.get_by_text("done", exact=True)).to_be_visible(timeout=LONG)
        row.get_by_text(re.compile(r"5m: [1-9]\d* new")).wait_for()
        page.get_by_role("table", name="Stored data").locator(".table-row", has_text="5m").wait_for()
        shot(page, "data-download")
        assert visitor.faults == []
        visitor.close()
