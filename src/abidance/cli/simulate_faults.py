"""`abidance simulate-faults`: the whole live program in many invented worlds in which everything goes wrong."""

import time
from typing import Annotated

import typer

_EVERY = 100


def simulate_faults(
    seeds: Annotated[int, typer.Option("--seeds", "-n", min=1, help="How many worlds to play.")] = 100,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Play this one alone, and say what happened in it.")
    ] = None,
    world: Annotated[
        str,
        typer.Option(
            "--world",
            help="spot, coins, shared, worked, perpetual, routed, apart, bybit, bybit-pairs, kraken, kraken-shared, kucoin,"
            " kucoin-margin, margin or mexc, in place of the seed's choice.",
        ),
    ] = "",
    first: Annotated[int, typer.Option("--first", min=0, help="The seed to begin with.")] = 0,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, help="Processes that play at the same time.")
    ] = 1,
) -> None:
    """Trade at an exchange on this machine's own time while network, exchange, process and disk fail.

    No money, no key and no network are needed. Each seed is a world of its own, the same each time it is played. Every
    rule of order safety is checked after every event by a program that shares no code with the bot. The exit code is 1
    when one did not hold, or when something that should go wrong never did, in so many worlds that it must have.
    """
    from abidance.model.errors import UsageError
    from abidance.testing.simulation.campaign import ENOUGH, Tally, play_all
    from abidance.testing.simulation.kinds import KINDS

    if world and world not in KINDS:
        raise UsageError(f"There is no world {world}.", f"Choose one of {', '.join(KINDS)}.")

    began, tally = time.monotonic(), Tally()
    wanted = range(first, first + seeds) if seed is None else (seed,)
    for played in play_all(wanted, jobs if seed is None else 1, world):
        tally.add(played)
        if played.failure:
            typer.echo(f"Seed {played.seed} ({played.kind}): {played.failure}")
            typer.echo(
                f"  again: abidance simulate-faults --seed {played.seed}{f' --world {world}' * bool(world)}"
            )
        if tally.seeds % _EVERY == 0:
            typer.echo(f"{tally.seeds} of {len(wanted)} worlds, {len(tally.failed)} failed")
        if seed is not None:
            typer.echo(
                f"went wrong: {', '.join(f'{name} {count}' for name, count in sorted(played.hits.items()))}"
            )
            typer.echo(f"hash: {played.digest}")
    typer.echo(
        f"{tally.seeds} worlds in {time.monotonic() - began:.0f} s: {tally.lives} lives, {tally.orders} orders,"
        f" {tally.fills} fills, {sum(tally.hits.values())} faults of {len({name for _, name in tally.hits})} kinds, {tally.checks} checks."
    )
    typer.echo(
        f"{len(tally.failed)} violations. Both sides agreed at the latest {tally.slowest:.1f} s after the last fault."
    )
    is_whole = seed is None and tally.seeds >= (ENOUGH if world else _EVERY)
    if is_whole:
        typer.echo(
            f"{len(tally.unhit)} faults never hit{': ' if tally.unhit else ''}{', '.join(tally.unhit)}."
        )
    if is_whole and tally.gaps:
        text = ", ".join(f"{name} in {kind}" for kind, name in tally.gaps)
        typer.echo(f"Not in every kind of world that was played: {text}.")
    if tally.failed or (is_whole and tally.unhit):
        raise typer.Exit(1)
