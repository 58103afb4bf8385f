"""The command that tells what each venue has here."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from abidance.model.order import OrderType
    from abidance.venues.survey import Offer


def venues(
    name: Annotated[
        str, typer.Argument(help="One venue, with everything about it; any that ccxt streams.")
    ] = "",
) -> None:
    """Tell what venues have here: data, order types, stops, private streams, checks of keys. Nobody is asked."""
    from rich.console import Console

    from abidance.cli.tables import table_of
    from abidance.venues.survey import native_offers, offers_of, wallet_offers

    console = Console(highlight=False)
    if name:
        for offer in offers_of(name):
            table = table_of("", "")
            table.show_header = False
            for row in _rows(offer):
                table.add_row(*row)
            console.print(f"[bold]{_named_market(offer)}[/]")
            console.print(table)
            for note in offer.orders.notes if offer.orders else ():
                console.print(f"- {note}", soft_wrap=True)
        return
    told = ("real orders", "stops", "goals", "exits", "amends")
    table = table_of("venue", "market", *told[:-1], "amend")  # a letter more is wider than a terminal
    for offer in native_offers():
        rows = dict(_rows(offer))
        rows["exits"] = rows["exits"].partition(",")[0]
        rows |= {each: _where(rows[each]) for each in ("stops", "goals")}
        table.add_row(offer.venue, offer.market, *(rows[each] for each in told))
    console.print(table)
    console.print(
        "Stops, take-profits with a trigger as well: at the venue, or held by us. Goals: exits with a profit, limit"
        " orders by default."
    )
    console.print(
        "Exits: how many of one position can stand there; the others are held by us, a goal before a stop."
    )
    lenders = ", ".join(_named_market(each) for each in (*native_offers(), *wallet_offers()) if each.lends)
    console.print(f"Loans (abidance loans): {lenders}.")
    console.print("More of one, or another venue that ccxt streams: abidance venues NAME")


def _named_market(offer: "Offer") -> str:
    return f"{offer.venue} {offer.wallet or offer.market}".strip()


def _rows(offer: "Offer") -> list[tuple[str, str]]:
    """Return what is told of a market, by name."""
    from abidance.model.market import DataKind
    from abidance.model.order import GOAL_TYPES, STOP_TYPES, TRIGGERED, OrderType, TimeInForce

    can = offer.orders
    orders = f"none: on paper only. {offer.why_none}".strip()
    if can is not None:
        names = [
            *_named(each for each in OrderType if each in can.native - TRIGGERED),
            *["post-only"] * can.post_only,
        ]
        orders = f"{', '.join(names)}{'' if offer.is_native else ': spot, unproven'}"
    return [
        ("data", ", ".join(_named(each for each in DataKind if each in offer.data)) or "none"),
        ("read", "natively" if offer.is_native else "through ccxt"),
        *[("paid from", f'spot_wallets.{offer.venue} = "{offer.wallet}"')] * bool(offer.wallet),
        ("real orders", orders),
        (
            "in force",
            ", ".join(each.value.upper() for each in TimeInForce if can and each in can.in_force) or "-",
        ),
        ("stops", _waiting(offer, STOP_TYPES)),
        ("take-profits", _waiting(offer, GOAL_TYPES)),
        ("goals", _goals(offer)),
        ("exits", _exits(offer)),
        ("open orders", _open_orders(offer)),
        ("reduce-only", _yes(can is not None and can.reduce_only)),
        ("amends", _yes(can is not None and can.amends)),
        ("takes all back", _yes(can is not None and can.cancels_all)),
        ("private stream", offer.listens_at or ("none: it is asked" if can else "none")),
        ("loans", "borrowed and repaid by hand" if offer.lends else "none"),
        ("key is checked", _yes(offer.checks_keys)),
    ]


def _waiting(offer: "Offer", kinds: "frozenset[OrderType]") -> str:
    """Say where orders of some kinds wait for their trigger."""
    if offer.orders is None:
        return "-"
    held = kinds & offer.held
    if not held:
        return "at the venue"
    return "held by us" if held == kinds else f"held by us: {', '.join(_named(sorted(held)))}"


def _where(waiting: str) -> str:
    """Say in a word where what trades at market waits: some of a kind may be held by us, as those with a limit."""
    return "us" if waiting.startswith("held by us") and ": " not in waiting else "venue"


def _goals(offer: "Offer") -> str:
    """Say where the exit with a profit is that rides with a position."""
    if offer.orders is None:
        return "-"
    return "held by us while a stop stands" if offer.orders.holds_goals else "at the venue"


def _exits(offer: "Offer") -> str:
    """Say how many exits of one position can stand at the venue at a time."""
    if offer.orders is None:
        return "-"
    return "one, the others are held by us" if offer.orders.one_exit else "all"


def _open_orders(offer: "Offer") -> str:
    """Say how many orders of an account may be open in one instrument."""
    from abidance.model.instrument import InstrumentKind
    from abidance.venues.net.limits import open_limits

    if offer.orders is None or not offer.market:
        return "-"
    most = open_limits(offer.venue, InstrumentKind(offer.market))
    grades = "".join(f", {count} ({grade})" for grade, count in most.grades.items() if count != most.orders)
    triggers = f", {most.stops} of them with a trigger" if most.stops else ""
    return f"{most.orders} in one instrument{grades}{triggers}" if most.orders else "-"


def _named(values: Iterable[str]) -> list[str]:
    return [str(each).replace("_", "-") for each in values]


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"
