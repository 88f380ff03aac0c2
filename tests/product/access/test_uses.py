"""When a token was last used: kept now and then, over a restart, and never in a call's way."""

import pytest

from skep.kernel.errors import UnauthenticatedError, UnavailableError
from skep.kernel.paging import PageQuery
from skep.product.access.model import Scope
from skep.product.access.service import AccessService

ALL = PageQuery(limit=100)


async def shown(access, principal):
    """Return when each token was last used, by name."""
    page = await access.tokens(principal, ALL, all_projects=True)
    return {token.name: token.last_used_ms for token in page.items}


@pytest.fixture
async def token(access):
    """The first token."""
    made = await access.first_token(lambda _: None)
    assert made is not None
    return made.reveal()


async def test_the_last_use_survives_a_restart(make_access, token, clock, db, stores):
    """What was kept is there for the next process; one write keeps many uses."""
    access = make_access()
    for _ in range(3):
        clock.advance(10)
        principal = await access.authenticate(token)
    used_ms = clock.now_ms()
    unwritten = await db.read(lambda tx: stores.access.token(tx, principal.token_id))
    assert unwritten.last_used_ms is None

    await access.keep_uses()
    clock.advance(100)

    assert await shown(make_access(), principal) == {"first": used_ms}


async def test_a_use_is_shown_before_it_is_kept(access, token, clock):
    """Whoever looks sees it at once; nothing is used before its first use."""
    principal = await access.authenticate(token)
    made, _ = await access.create_token(principal, "idle", [Scope.READ])

    assert await shown(access, principal) == {"first": clock.now_ms(), made.name: None}


async def test_a_refused_token_is_not_used(access, token, clock):
    """An expired token that somebody still tries keeps its last good use."""
    principal = await access.authenticate(token)
    _, text = await access.create_token(principal, "short", [Scope.READ], 5)
    await access.authenticate(text.reveal())
    good_ms = clock.now_ms()
    clock.advance(10)
    with pytest.raises(UnauthenticatedError):
        await access.authenticate(text.reveal())

    await access.keep_uses()

    assert (await shown(access, principal))["short"] == good_ms


class Flaky:
    """A database whose writes fail as long as it is away."""

    def __init__(self, db):
        self.db, self.away = db, False
        self.read = db.read

    async def write(self, work):
        """Write, unless it is away."""
        if self.away:
            raise UnavailableError("away")
        return await self.db.write(work)


async def test_a_database_that_is_away_fails_no_call(db, stores, token, clock, ids, access):
    """Calls go on without it; the use is kept when it is back, the latest one."""
    flaky = Flaky(db)
    served = AccessService(flaky, stores.access, stores.audit, clock, ids)
    principal = await served.authenticate(token)
    flaky.away = True
    with pytest.raises(UnavailableError):
        await served.keep_uses()
    clock.advance(1)
    await served.authenticate(token)
    flaky.away = False

    await served.keep_uses()

    assert [one.last_used_ms for one in (await access.tokens(principal, ALL, all_projects=True)).items] == [
        clock.now_ms()
    ]
