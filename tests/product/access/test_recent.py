"""What is remembered of a token is never older than its revocation in this process."""

from skep.product.access.model import Principal, ProjectId, Scope, Token, TokenId
from skep.product.access.recent import KEPT_S, Recent

TOKEN = Token(id=TokenId("tok_1"), project_id=None, name="t", scopes=frozenset({Scope.READ}), digest="d", created_ms=0)
WHO = Principal(token_id=TOKEN.id, name="t", project_id=ProjectId("prj_1"), scopes=TOKEN.scopes)
KEY = ("d", None)


def test_it_is_remembered_for_a_moment(clock):
    """Then it is asked for again."""
    recent = Recent(clock)
    recent.put(KEY, (TOKEN, WHO), recent.ticket())

    assert recent.get(KEY) == (TOKEN, WHO)
    assert recent.get(("d", "other")) is None
    clock.advance(KEPT_S)
    assert recent.get(KEY) is None


def test_a_revocation_forgets_every_project_of_the_token(clock):
    """However it was asked for."""
    recent = Recent(clock)
    for project in (None, "one"):
        recent.put(("d", project), (TOKEN, WHO), recent.ticket())

    recent.forget(TOKEN.id)

    assert recent.get(KEY) is None
    assert recent.get(("d", "one")) is None


def test_what_was_read_before_a_revocation_is_not_remembered_after_it(clock):
    """The read may have seen the token as it was."""
    recent = Recent(clock)
    ticket = recent.ticket()
    recent.forget(TOKEN.id)

    recent.put(KEY, (TOKEN, WHO), ticket)

    assert recent.get(KEY) is None


def test_memory_is_bounded(clock):
    """Many tokens push out what was remembered, not the server's memory."""
    recent = Recent(clock)
    for number in range(10_000):
        recent.put((str(number), None), (TOKEN, WHO), recent.ticket())

    assert recent.get(("9999", None)) is not None
    assert recent.get(("0", None)) is None
