"""Keys against the local exchange over real sockets: what each of its accounts' keys may do, and how they change."""

import asyncio
from pathlib import Path

import pytest

from abidance.model.errors import AbidanceError, ConfigError
from abidance.model.order import OrderState
from abidance.run import golive, keys
from abidance.run.door import Answer
from abidance.run.golive import Owned, Ready, bot_maker
from abidance.run.keys import judged
from abidance.run.setup import Material
from abidance.run.trading import LiveTrading
from abidance.security.keys import ExchangeKey, Keys
from abidance.security.permissions import Verdict
from abidance.security.secret import Secret
from abidance.security.vault import Cost, Vault
from abidance.testing.exchange import LocalExchange, generated
from abidance.testing.exchange.accounts import Account, Permissions
from abidance.venues.net.real import AiohttpTransport
from tests.integration.live_bench import SPOT, START, SharedPulse
from tests.integration.test_live_ownership import enters, types
from tests.integration.test_live_trading import Market
from tests.unit.venues.keyed_venue import KEY, PASSPHRASE, SECRET

VENUES = sorted(SPOT)


async def verdict_of(
    venue: str, permissions: Permissions, secret: str = SECRET, late: float = 0.0
) -> Verdict:
    """Return what the rules say of a key with these permissions at the local exchange."""
    account = Account(KEY, SECRET, PASSPHRASE, permissions=permissions)
    market = generated(SPOT[venue], 1, START)
    pulse = SharedPulse()
    pulse.now = late
    key = ExchangeKey(venue, "main", Secret(KEY), Secret(secret), Secret(PASSPHRASE), 0)
    async with (
        LocalExchange([market], start=START, accounts=[account]) as exchange,
        AiohttpTransport() as transport,
    ):
        return await judged(key, transport, pulse, exchange.rest_url)


@pytest.mark.parametrize("venue", VENUES)
async def test_a_key_that_trades_from_one_address_is_taken(venue: str) -> None:
    verdict = await verdict_of(venue, Permissions())

    verdict.enforce(venue)
    assert all("does not tell" in warning for warning in verdict.warnings)


@pytest.mark.parametrize("venue", [venue for venue in VENUES if venue != "MEXC"])
async def test_a_key_that_can_withdraw_is_refused_and_one_for_every_address_warned_of(venue: str) -> None:
    refused = await verdict_of(venue, Permissions(withdraw=True))
    open_ = await verdict_of(venue, Permissions(addresses=()))

    with pytest.raises(ConfigError, match="It can withdraw money"):
        refused.enforce(venue)
    assert any("works from every address" in warning for warning in open_.warnings)


@pytest.mark.parametrize("venue", VENUES)
async def test_a_revoked_key_a_wrong_secret_and_a_wrong_clock_are_told(venue: str) -> None:
    with pytest.raises(ConfigError, match=r"does not know this key|refuses the key"):
        await verdict_of(venue, Permissions(is_revoked=True))
    with pytest.raises(ConfigError, match="the secret does not belong to it"):
        await verdict_of(venue, Permissions(), secret="bm9ib2R5cyBzZWNyZXQgYXQgYWxs")
    if venue != "KRAKEN":
        with pytest.raises(AbidanceError, match="clock of this machine is off"):
            await verdict_of(venue, Permissions(), late=-600.0)


class Watched(Market):
    """A local Binance and a bot as `abidance trade --live` makes it, with its key in a vault."""

    def made(self, material: Material) -> LiveTrading:
        key = ExchangeKey(
            "BINANCE", "main", Secret(self.account.key), Secret(self.account.secret), Secret(""), 1
        )
        vault = Keys(
            Vault.create(self.folder.with_name("vault"), Secret("four words are enough"), Cost(32, 1, 1))
        )
        vault.add(key)
        owned = Owned({"BINANCE": Ready(key, Verdict())}, vault, lambda: "")
        return bot_maker(material.config, owned, lambda: self.disk)(material, self.folder)

    async def looked_at(self, bot: LiveTrading, *, is_right: bool) -> None:
        """Let time pass until a look at the key has found so."""
        async with asyncio.timeout(60):  # what was found is noted in the vault, in real time
            while ("key" not in bot.gateways[0].doubts) is not is_right:
                await self.pass_time(0.5)


async def test_a_key_that_gains_the_right_to_withdraw_stops_entries_at_the_next_look_until_it_has_lost_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golive, "_terms", lambda *_: [])  # asked in a thread, in real time
    monkeypatch.setattr(keys, "EVERY", 20.0)
    place = Watched(tmp_path / "bot")
    told: dict[str, Answer] = {}

    async def person(bot: LiveTrading) -> None:
        told["before"] = await enters(place)
        place.account.permissions.withdraw = True
        await place.looked_at(bot, is_right=False)
        told["refused"] = await enters(place)
        told["exit"] = await types(place, "sell", "0.005", reduce_only=True)
        place.account.permissions.withdraw = False
        await place.looked_at(bot, is_right=True)
        told["again"] = await enters(place)

    async with place:
        bot = await place.live(3, person=person)
        place.agrees(bot)

    orders = {each.id: each.state for each in bot.engine.state.orders.all()}
    filled = [
        name for name, each in told.items() if [orders[id] for id in each.orders] == [OrderState.FILLED]
    ]
    assert filled == ["before", "exit", "again"]
    assert [each.code for each in told["refused"].refusals] == ["venue_not_trusted"]
    assert "It can withdraw money." in told["refused"].refusals[0].reason
