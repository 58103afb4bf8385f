"""Commands about instruments: ask a venue for its rules, list what is known, show one with its history.

Nothing heavy is imported before a command runs. Errors are left to the program's entry, which knows the exit codes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from abidance.cli import options
from abidance.cli.data import DEFAULT_USERDIR, UserDir
from abidance.cli.tables import table_of

if TYPE_CHECKING:
    from decimal import Decimal

    from abidance.market.terms import Terms, TermsStore, Version

_MOST_LISTED = 40


def refresh_instruments(
    venues: Annotated[
        list[str], typer.Argument(help="For example BINANCE KRAKEN; any venue that ccxt knows.")
    ],
    config: options.Configs = None,
    store: options.Store = "",
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Ask venues for the rules of all they trade, and keep what changed as a new version. No keys are needed."""
    import asyncio

    from rich.console import Console

    from abidance.kernel.clock import WallClock
    from abidance.venues.ccxt.terms import fetch_terms

    console, terms = Console(highlight=False), _terms(userdir, store, config)
    feed = options.feed_of(config)
    for venue in dict.fromkeys(name.upper() for name in venues):
        found = asyncio.run(fetch_terms(venue, feed))
        changed = terms.replace_all(venue, found, WallClock().now())
        console.print(f"{venue}: {len(found):,} instruments, {len(changed):,} of them new or changed.")


def list_instruments(
    venue: Annotated[str, typer.Argument(help="One venue; all by default.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Leave none out of a long list.")] = False,
    config: options.Configs = None,
    store: options.Store = "",
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """List the instruments whose rules a venue has told, and those of the bundled table."""
    from rich.console import Console

    from abidance.market.reference import known, resolve
    from abidance.model.errors import DataError

    terms, console = _terms(userdir, store, config), Console(highlight=False)
    ids = [*terms.ids(venue.upper())]
    bundled = [id for id in known() if id not in set(ids) and (not venue or id.endswith(f"@{venue.upper()}"))]
    table = table_of("instrument", "tick>", "lot>", "min value>", "leverage>", "status", "from")
    shown = sorted([*ids, *bundled])
    if not shown:
        raise DataError(
            f"No instruments of {venue.upper()} are known.",
            f"Ask the venue, if there is one, with: abidance refresh-instruments {venue.upper()}",
        )
    for id in shown if everything else shown[:_MOST_LISTED]:
        version = terms.at(id)
        instrument = version.terms.instrument if version else resolve(id).instrument
        status, origin = (version.terms.status.value, "venue") if version else ("", "table")
        values = (instrument.tick, instrument.lot, instrument.min_notional, instrument.max_leverage)
        table.add_row(id, *map(_plain, values), status, origin)
    console.print(table)
    if len(shown) > _MOST_LISTED and not everything:
        console.print(f"and {len(shown) - _MOST_LISTED:,} more: name a venue, or say --all")
    console.print("Ask a venue with: abidance refresh-instruments VENUE")


def show_instrument(
    instrument: Annotated[str, typer.Argument(help="For example BTC/USDT:USDT@BINANCE.")],
    config: options.Configs = None,
    store: options.Store = "",
    userdir: UserDir = DEFAULT_USERDIR,
) -> None:
    """Show what is known of one instrument, and how its rules changed."""
    from rich.console import Console

    from abidance.market.reference import resolve

    console = Console(highlight=False)
    versions = _terms(userdir, store, config).versions(instrument)
    reference = resolve(instrument, version=versions[-1] if versions else None)
    table = table_of("", "")
    table.show_header = False
    known = reference.instrument
    for name in ("tick", "lot", "min_quantity", "min_notional", "max_leverage", "maintenance"):
        table.add_row(name.replace("_", " "), _plain(getattr(known, name)))
    if versions:
        for name, value in _facts(versions[-1].terms):
            table.add_row(name, value)
    console.print(f"[bold]{known.id}[/] ({reference.source.value})")
    console.print(table)
    for sentence in [reference.notice] if reference.notice else _history(versions):
        console.print(sentence)


def _facts(terms: "Terms") -> list[tuple[str, str]]:
    """Return what a venue said beyond the instrument itself; what it did not say is left out."""
    known = terms.instrument
    facts = {
        "symbol": terms.symbol,
        "status": terms.status.value,
        "maker fee": _share(terms.maker),
        "taker fee": _share(terms.taker),
        "max quantity": _plain(terms.max_quantity) if terms.max_quantity else "",
        "open orders": str(known.max_orders or ""),
        "of these with a trigger": str(known.max_stops or ""),
        "borrow rate a day": _share(terms.borrow_rate),
        "funding every": f"{_plain(terms.funding_hours)} h" if terms.funding_hours else "",
    }
    for tier in terms.tiers:
        what = f"up to {_plain(tier.max_leverage)}x, maintenance {_share(tier.maintenance)}"
        facts[f"from {_plain(tier.floor)} {known.quote}"] = what
    return [(name, value) for name, value in facts.items() if value]


def _history(versions: "Sequence[Version]") -> list[str]:
    """Return one sentence for each version: since when, and what was changed."""
    import msgspec

    from abidance.market.store import show

    sentences, before = [], None
    for version in versions:
        now = msgspec.to_builtins(version.terms)
        now |= now.pop("instrument")
        changed = [name for name in now if before is not None and now[name] != before.get(name)]
        what = f": {', '.join(name.replace('_', ' ') for name in changed)}" if changed else ""
        sentences.append(f"{'changed' if changed else 'known'} since {show(version.since)}{what}")
        before = now
    return sentences


def _terms(userdir: Path, store: str, configs: list[Path] | None) -> "TermsStore":
    """Return the rules that venues told: they lie in the store's folder, the user's where the store is a database."""
    from abidance.market.terms import TermsStore

    return TermsStore(options.folder_beside(options.store_of(userdir, store, configs), userdir))


def _plain(value: "Decimal") -> str:
    return f"{value.normalize():f}"


def _share(value: "Decimal | None") -> str:
    return "" if value is None else f"{_plain(value * 100)} %"
