"""Tokens become principals, in the right project, for as long as they are good."""

import re

import pytest

from skep.kernel.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnauthenticatedError,
)
from skep.kernel.paging import PageQuery
from skep.product.access.model import Scope
from skep.product.access.recent import KEPT_S
from skep.product.access.service import require

ALL = PageQuery(limit=100)


@pytest.fixture
async def admin(access):
    """The principal of the first token."""
    token = await access.first_token(lambda _: None)
    assert token is not None
    return await access.authenticate(token.reveal())


async def test_the_first_start_makes_one_admin_token(access):
    """The first token is made once, has the promised form, and is good everywhere."""
    token = await access.first_token(lambda _: None)

    assert token is not None
    assert re.fullmatch(r"skep_[A-Za-z0-9_-]{43}", token.reveal())
    assert await access.first_token(lambda _: None) is None
    principal = await access.authenticate(token.reveal())
    assert principal.everywhere
    assert all(principal.may(scope) for scope in Scope)


async def test_the_first_token_is_kept_before_it_is_good(access):
    """Whoever is to keep it has it before the commit; a failure there leaves no token that nobody knows."""

    def fails(_token):
        raise OSError("no place")

    with pytest.raises(OSError, match="no place"):
        await access.first_token(fails)
    kept = []
    made = await access.first_token(kept.append)
    assert kept == [made]


async def test_a_token_is_stored_only_as_a_digest(access, db, stores):
    """The text of a token is in no row."""
    token = await access.first_token(lambda _: None)

    rows = await db.read(lambda tx: stores.access.tokens(tx, None, ALL))

    assert token is not None
    assert token.reveal() not in repr(rows)
    assert re.fullmatch(r"[0-9a-f]{64}", rows.items[0].digest)


@pytest.mark.parametrize("text", ["", "skep_", "skep_" + "x" * 43, "skep_" + "x" * 44, "Bearer x", "skep_" + "é" * 43])
async def test_what_is_no_token_is_refused(access, text):
    """Nothing but a token of this installation lets anybody in."""
    with pytest.raises(UnauthenticatedError) as caught:
        await access.authenticate(text)

    assert caught.value.code == "token_invalid"


async def test_a_token_of_one_project_stays_in_it(access, admin):
    """A token acts in its own project, and is told the same about a foreign project and none."""
    mine = await access.create_project(admin, "mine")
    await access.create_project(admin, "theirs")
    principal = await _in_project(access, admin, mine.id)
    _, text = await access.create_token(principal, "ci", [Scope.INVOKE])

    assert (await access.authenticate(text.reveal())).project_id == mine.id
    assert (await access.authenticate(text.reveal(), "mine")).project_id == mine.id
    answers = []
    for project in ("theirs", "nothing"):
        with pytest.raises(ForbiddenError) as caught:
            await access.authenticate(text.reveal(), project)
        answers.append(caught.value.message.replace(project, "X"))
    assert answers[0] == answers[1]


async def test_a_token_for_everything_chooses_its_project(access, admin):
    """By name or id; `default` where nothing is said; an unknown one is not found."""
    token, text = await access.create_token(admin, "all", [Scope.ADMIN], everywhere=True)
    other = await access.create_project(admin, "other")

    assert token.project_id is None
    assert (await access.authenticate(text.reveal())).project_id == admin.project_id
    assert (await access.authenticate(text.reveal(), "other")).project_id == other.id
    assert (await access.authenticate(text.reveal(), other.id)).project_id == other.id
    with pytest.raises(NotFoundError):
        await access.authenticate(text.reveal(), "nothing")


async def test_an_expired_token_is_refused_also_from_memory(access, admin, clock):
    """The time counts, not what was remembered."""
    _, text = await access.create_token(admin, "short", [Scope.READ], expires_s=2)
    await access.authenticate(text.reveal())

    clock.advance(2)

    with pytest.raises(UnauthenticatedError) as caught:
        await access.authenticate(text.reveal())
    assert caught.value.code == "token_expired"


async def test_a_revoked_token_is_refused_at_once(access, admin):
    """A revocation in this process needs no waiting."""
    token, text = await access.create_token(admin, "gone", [Scope.READ])
    await access.authenticate(text.reveal())

    await access.revoke(admin, token.id)

    with pytest.raises(UnauthenticatedError) as caught:
        await access.authenticate(text.reveal())
    assert caught.value.code == "token_revoked"


async def test_another_process_learns_of_a_revocation_within_seconds(access, make_access, admin, clock):
    """What another process remembers is forgotten soon."""
    other = make_access()
    token, text = await access.create_token(admin, "gone", [Scope.READ])
    await other.authenticate(text.reveal())
    await access.revoke(admin, token.id)

    clock.advance(KEPT_S)

    with pytest.raises(UnauthenticatedError):
        await other.authenticate(text.reveal())


async def test_a_token_cannot_revoke_itself(access, admin):
    """Somebody always can still get in."""
    with pytest.raises(ConflictError):
        await access.revoke(admin, admin.token_id)


async def test_a_project_admin_rules_only_the_project(access, admin):
    """It makes tokens and reads the audit log of its project, and nothing elsewhere."""
    mine = await access.create_project(admin, "mine")
    in_mine = await _in_project(access, admin, mine.id)
    _, text = await access.create_token(in_mine, "boss", [Scope.ADMIN])
    boss = await access.authenticate(text.reveal())

    token, _ = await access.create_token(boss, "more", [Scope.READ])
    assert token.project_id == mine.id
    for forbidden in (
        access.create_project(boss, "next"),
        access.create_token(boss, "all", [Scope.ADMIN], everywhere=True),
        access.tokens(boss, ALL, all_projects=True),
        access.audit_log(boss, ALL, all_projects=True),
    ):
        with pytest.raises(ForbiddenError):
            await forbidden
    with pytest.raises(NotFoundError):
        await access.revoke(boss, admin.token_id)
    assert {t.project_id for t in (await access.tokens(boss, ALL)).items} == {mine.id}
    assert {e.project_id for e in (await access.audit_log(boss, ALL)).items} == {mine.id}
    assert [p.name for p in (await access.projects(boss, ALL)).items] == ["mine"]


ORDER = [Scope.ADMIN, Scope.OPERATE, Scope.INVOKE, Scope.READ]


@pytest.mark.parametrize(
    ("held", "included"),
    [*((scope, ORDER[place:]) for place, scope in enumerate(ORDER)), (Scope.METRICS, [])],
)
async def test_each_scope_includes_those_below_it(access, admin, held, included):
    """Of admin > operate > invoke > read, each can what those behind it can; metrics only itself; admin all."""
    _, text = await access.create_token(admin, "some", [held])
    principal = await access.authenticate(text.reveal())
    can = {held, *included} | ({Scope.METRICS} if held is Scope.ADMIN else set())

    for scope in can:
        require(principal, scope)
    for scope in set(Scope) - can:
        with pytest.raises(ForbiddenError) as caught:
            require(principal, scope)
        assert caught.value.code == "scope_missing"


async def test_who_has_no_admin_scope_administers_nothing(access, admin):
    """The services check the scope themselves, whatever the edge did."""
    _, text = await access.create_token(admin, "op", [Scope.OPERATE])
    operator = await access.authenticate(text.reveal())

    for forbidden in (
        access.create_token(operator, "x", [Scope.READ]),
        access.tokens(operator, ALL),
        access.revoke(operator, admin.token_id),
        access.create_project(operator, "x"),
        access.audit_log(operator, ALL),
    ):
        with pytest.raises(ForbiddenError):
            await forbidden


async def test_a_bad_token_is_explained_field_by_field(access, admin):
    """Each wrong member is named."""
    with pytest.raises(InvalidError) as caught:
        await access.create_token(admin, "a\nb", [], expires_s=-1)

    assert set(caught.value.fields) == {"name", "scopes", "expires_s"}


async def test_a_project_has_its_name_alone(access, admin):
    """A name that is taken, or is none, makes no project."""
    await access.create_project(admin, "one")

    with pytest.raises(ConflictError) as caught:
        await access.create_project(admin, "one")
    assert caught.value.code == "name_taken"
    for bad in ("", "-a", "A", "a" * 64, "a\n"):
        with pytest.raises(InvalidError):
            await access.create_project(admin, bad)


async def test_what_is_done_is_written_down_with_it(access, admin, db):
    """The audit log names who, what, whom and from where, and no token's text."""
    caller = await access.authenticate((await _text(access, admin)), address="192.0.2.7")
    made, text = await access.create_token(caller, "ci", [Scope.READ])

    entry = (await access.audit_log(caller, PageQuery(limit=1), all_projects=True)).items[0]

    assert (entry.action, entry.resource, entry.address) == ("token.create", made.id, "192.0.2.7")
    assert caller.token_id in entry.principal
    assert text.reveal() not in repr(entry)


async def test_an_effect_that_fails_later_is_not_written_down(access, admin, db):
    """The entry is part of the transaction of the effect."""

    def fails(_tx, _made):
        raise ConflictError("no")

    with pytest.raises(ConflictError):
        await access.create_token(admin, "never", [Scope.READ], also=fails)

    entries = (await access.audit_log(admin, ALL, all_projects=True)).items
    assert "never" not in [entry.details.get("name") for entry in entries]
    assert "never" not in [token.name for token in (await access.tokens(admin, ALL, all_projects=True)).items]


async def _text(access, admin):
    return (await access.create_token(admin, "second", [Scope.ADMIN], everywhere=True))[1].reveal()


async def _in_project(access, admin, project_id):
    return await access.authenticate(await _text(access, admin), project_id)
