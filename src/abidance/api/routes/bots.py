"""Bots: start one from a form, start it again, stop it. Real orders ask for more."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter

from abidance.api.access import Identity, Judged, Needs, Operator, Stand, Viewer
from abidance.api.bots import Recipe
from abidance.api.deeds import note
from abidance.api.fitting import asked_as
from abidance.api.house import House
from abidance.api.opening import opened, unlocking
from abidance.api.problems import ProblemError
from abidance.api.schemas.bots import BotIn, BotOut, LaunchIn
from abidance.api.schemas.wire import Done
from abidance.api.steering import at_door, refuse_demo
from abidance.model.errors import about
from abidance.run.door import leave
from abidance.run.keys import vault_path
from abidance.security.roles import Role

router = APIRouter(prefix="/bots", tags=["bots"], route_class=Judged)


@router.get("")
async def list_bots(who: Viewer, house: Stand) -> list[BotOut]:
    """List the bots that were started from here, by name."""
    return [_shown(house, each) for each in await house.reading(house.bots.all)]


@router.post("", status_code=201)
async def start_bot(body: BotIn, who: Operator, house: Stand) -> BotOut:
    """Start a bot in a process of its own, which goes on when this server ends; the answer takes some seconds."""
    shares = [each.allocation or 1 / len(body.strategies) for each in body.strategies]
    wish: dict[str, Any] = {
        "name": body.name,
        **({"timerange": body.timerange} if body.timerange else {}),
        "instruments": body.instruments,
        "timeframe": body.timeframe,
        "dry_run_wallet": body.wallet,
        "strategies": [
            {"strategy": each.strategy, "parameters": each.parameters, "allocation": share}
            for each, share in zip(body.strategies, shares, strict=True)
        ],
    }
    recipe = Recipe(
        body.name, body.feed, body.timerange, body.speed, is_real=body.is_real, account=body.account
    )
    with asked_as({"dry_run_wallet": "wallet"}):
        config, recipe = await house.reading(house.bots.plan, wish, recipe)
    _allow(house, who, recipe, body)
    is_real = house.runs.is_real(recipe.name)
    await house.reading(house.bots.check_name, recipe, is_real)
    await _try_vault(house, recipe, body)
    told = {"config": wish, "is_real": recipe.is_real, "fresh": body.fresh}
    await note(house, who, "bot.start", recipe.name, told)
    begin = partial(house.bots.begin, config, recipe, fresh=body.fresh, is_real=is_real)
    return await _start(house, recipe, partial(begin, passphrase=body.passphrase))


@router.post("/{name}/start")
async def restart_bot(name: str, body: LaunchIn, who: Operator, house: Stand) -> BotOut:
    """Start a bot again that was started from here; it goes on where it was."""
    recipe = await house.reading(house.bots.get, name)
    _allow(house, who, recipe, body)
    await _try_vault(house, recipe, body)
    await note(house, who, "bot.restart", name, {"is_real": recipe.is_real})
    return await _start(house, recipe, partial(house.bots.start, recipe, passphrase=body.passphrase))


@router.post("/{run}/stop")
async def stop_bot(run: str, who: Operator, house: Stand) -> Done:
    """End the process of a bot cleanly; its positions and stops stay as they are, and a start goes on from there."""
    followed = house.runs.get(run)
    refuse_demo(followed, who)
    await note(house, who, "bot.stop", run)
    await at_door(followed, leave, who.name, house.steering)
    return Done()


def _allow(house: House, who: Identity, recipe: Recipe, given: LaunchIn) -> None:
    """Raise ProblemError for a start with real orders that is not confirmed."""
    if not recipe.is_real:
        return
    Needs(Role.ADMIN, confirmed=True).allow(house, who)
    named = {each.strip().upper() for each in given.confirm}
    if missing := [each for each in recipe.venues if each not in named]:
        told = f"Trading with real money at {', '.join(missing)} was not confirmed."
        remedy = f"Type back the name of each venue: {', '.join(recipe.venues)}."
        raise ProblemError(422, told, remedy, code="venue", fields={"confirm": f"{told} {remedy}"})


async def _try_vault(house: House, recipe: Recipe, given: LaunchIn) -> None:
    """Open the vault with what was typed: that it is wrong the bot's process would tell late, and of no field."""
    path = vault_path(house.userdir)
    if recipe.is_real and given.passphrase and path.exists():
        with about("passphrase"):
            await opened(house, unlocking(given.passphrase), path)


async def _start(house: House, recipe: Recipe, start: Callable[[], bool]) -> BotOut:
    await asyncio.to_thread(start)  # it takes seconds, in which others want to read
    house.runs.scan()
    return _shown(house, recipe)


def _shown(house: House, recipe: Recipe) -> BotOut:
    return BotOut(
        name=recipe.name,
        feed=recipe.feed,
        timerange=recipe.timerange,
        speed=recipe.speed,
        is_real=recipe.is_real,
        account=recipe.account,
        venues=list(recipe.venues),
        is_running=house.runs.is_running(recipe.name),
        said=house.bots.said(recipe.name),
    )
