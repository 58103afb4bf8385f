"""Before the first real order: what stands where, and the venue's name typed back."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from abidance.cli.terminal import visible

if TYPE_CHECKING:
    from rich.console import Console

    from abidance.run.config import RunConfig
    from abidance.run.golive import Ready


def confirmed(
    config: "RunConfig",
    accounts: "Mapping[str, Ready]",
    given: str | None,
    console: "Console",
    told: Sequence[str] = (),
) -> None:
    """Show limits and keys, and go on only when every venue's name is typed, or `given`. Raises UsageError.

    `told` says what the accounts were found to have: orders that this bot does not know, higher fees.
    """
    from abidance.model.errors import UsageError

    _show(config, accounts, console)
    for text in told:
        console.print(f"  {visible(text)}", style="yellow", soft_wrap=True, markup=False)
    names = {name.strip().upper() for name in (given or "").split(",") if name.strip()}
    if given is None and sys.stdin.isatty():
        for venue in accounts:
            if (
                typer.prompt(f"Type {venue} to trade there with real money", default="", show_default=False)
                == venue
            ):
                names.add(venue)
            else:
                break
    missing = [venue for venue in accounts if venue not in names]
    if missing:
        raise UsageError(
            f"Trading at {', '.join(missing)} was not confirmed: no order was sent.",
            f"Type the name when asked, or give --confirm {','.join(accounts)}",
        )


def _show(config: "RunConfig", accounts: "Mapping[str, Ready]", console: "Console") -> None:
    from abidance.model.instrument import InstrumentKind
    from abidance.run.rules import published, scarce
    from abidance.venues.accounts import is_through_ccxt

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, soft_wrap=True, markup=False)

    limits, breakers = config.risk.limits, config.risk.breakers
    say("Real orders", "bold red")
    for venue, budget in config.wallets(tuple(accounts)).items():
        ready = accounts[venue]
        which = f"account {ready.number}" if ready.number else "the venue tells no number of the account"
        say(
            f"  {venue} {visible(ready.key.account)} ({which}): up to {budget.normalize():,f} {config.currency} of what is there is used"
        )
        if is_through_ccxt(venue, InstrumentKind.SPOT):
            text = f"{venue} is reached through ccxt alone, and nobody here has proven it: see abidance venues {venue}"
            say(f"    {text}", "yellow")
        for text in (*ready.verdict.warnings, *ready.verdict.facts):
            say(f"    {visible(text)}", "yellow" if text in ready.verdict.warnings else "dim")
    whole = config.ready()
    for each in whole.strategies:
        stop = f", stop at {each.exits.stop_loss:.1%}" if each.exits.stop_loss else ""
        routed = [id for id in whole.places_of(each) if id not in each.instruments]
        also = f", entries at {', '.join(routed)} too" if routed else ""
        say(f"  {visible(each.name)}: {', '.join(each.instruments)}{also} on {each.timeframe}{stop}")
        exits = each.exits
        if not (stop or exits.stop_atr or exits.trailing_stop or exits.trailing_atr or limits.require_stop):
            say(
                "    No stop is configured: nothing but the strategy itself ends a loss (see require_stop)",
                "yellow",
            )
    names = {id for each in whole.strategies for id in whole.places_of(each)}
    for text in scarce(config, published(sorted(names), config.feed.grades)):
        say(f"  {text}", "yellow")
    day = f"{breakers.daily_loss:.1%}" if breakers.daily_loss else "off"
    fall = f"{breakers.max_drawdown:.1%}" if breakers.max_drawdown else "off"
    order = (
        f"{limits.max_order_value:,.10g} {config.currency}"
        if limits.max_order_value
        else "no limit of its own"
    )
    owed = f"{limits.max_borrowed:.0%}" if limits.max_borrowed else "nothing"
    say(
        f"  At most {limits.max_exposure:.0%} of it in the market, {limits.max_asset_exposure:.0%} in one asset and"
        f" {limits.max_venue_exposure:.0%} at one venue, in up to {limits.max_positions} positions; leverage up to"
        f" {limits.max_leverage:g}; the value of one order: {order}; to be owed: {owed}."
    )
    say(f"  Entries stop after a day's loss of {day} and a fall of {fall}.")
    say(f"  To stop everything at once, from anywhere: abidance kill {visible(config.name)}")
