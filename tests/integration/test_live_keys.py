"""Keys against the local exchange over real sockets: what each of its accounts' keys may do, and how they change."""

import pytest

from abidance.model.errors import AbidanceError, ConfigError
from abidance.run.keys import judged
from abidance.security.keys import ExchangeKey
from abidance.security.permissions import Verdict
from abidance.security.secret import Secret
from abidance.testing.exchange import LocalExchange, generated
from abidance.testing.exchange.accounts import Account, Permissions
from abidance.venues.net.real import AiohttpTransport
from tests.integration.live_bench import SPOT, START, SharedPulse
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
