"""Secrets are kept sealed, opened only for their project, and never shown."""

import sqlite3

import pytest

from skep.adapters.keys.sealer import KeyFileSealer
from skep.kernel.errors import ForbiddenError, InvalidError, NotFoundError, UnavailableError
from skep.kernel.ids import IdSource
from skep.kernel.paging import PageQuery
from skep.kernel.secret import Secret
from skep.product.access.model import Scope
from skep.product.secrets.service import MAX_BYTES, SecretService

ALL = PageQuery(limit=100)
VALUE = "correct horse battery staple"


async def test_what_is_put_is_revealed_to_its_project_only(secrets, access, admin):
    """The value comes back for the same project, and is missing in another."""
    other = await access.create_project(admin, "other")
    await secrets.put(admin, "API_KEY", Secret(VALUE))

    found = await secrets.reveal(admin.project_id, ["API_KEY"])

    assert {name: value.reveal() for name, value in found.items()} == {"API_KEY": VALUE}
    with pytest.raises(NotFoundError) as caught:
        await secrets.reveal(other.id, ["API_KEY", "TOKEN"])
    assert caught.value.code == "secret_missing"
    assert set(caught.value.fields) == {"API_KEY", "TOKEN"}


async def test_putting_again_replaces_the_value(secrets, admin, clock):
    """The secret keeps its id and its time of making."""
    first = await secrets.put(admin, "K", Secret("one-value"))
    clock.advance(5)
    second = await secrets.put(admin, "K", Secret("two-value"))

    assert (second.id, second.created_ms) == (first.id, first.created_ms)
    assert second.updated_ms == first.updated_ms + 5000
    assert (await secrets.reveal(admin.project_id, ["K"]))["K"].reveal() == "two-value"
    assert [entry.name for entry in (await secrets.entries(admin, ALL)).items] == ["K"]


async def test_the_value_is_in_no_file_row_or_audit_line(secrets, access, admin, tmp_path, redactor):
    """The database's bytes, the listing and the audit log do not hold it; the log takes it out."""
    await secrets.put(admin, "K", Secret(VALUE))

    assert VALUE not in repr((await secrets.entries(admin, ALL)).items)
    assert VALUE not in repr((await access.audit_log(admin, ALL)).items)
    assert all(VALUE.encode() not in path.read_bytes() for path in tmp_path.glob("skep.db*"))
    assert VALUE not in redactor.clean(f"it was {VALUE}")


async def test_a_row_that_was_moved_does_not_open(secrets, access, admin, tmp_path):
    """A sealed value is bound to its project and name: a copy elsewhere is no way to read it."""
    await secrets.put(admin, "A", Secret("value-of-a"))
    await secrets.put(admin, "B", Secret("value-of-b"))
    with sqlite3.connect(tmp_path / "skep.db") as raw:
        rows = dict(raw.execute("select name, ciphertext from secrets"))
        nonces = dict(raw.execute("select name, nonce from secrets"))
        raw.execute("update secrets set ciphertext = ?, nonce = ? where name = 'B'", (rows["A"], nonces["A"]))
    raw.close()

    with pytest.raises(UnavailableError) as caught:
        await secrets.reveal(admin.project_id, ["B"])
    assert caught.value.code == "secret_key_missing"


async def test_another_key_does_not_open_it(db, stores, access, admin, clock, secrets, tmp_path):
    """A lost key is said to be lost."""
    await secrets.put(admin, "A", Secret("value-of-a"))
    stranger = KeyFileSealer.at(tmp_path / "another.key")
    other = SecretService(db, stores.secrets, stranger, access, clock, IdSource())

    with pytest.raises(UnavailableError) as caught:
        await other.reveal(admin.project_id, ["A"])
    assert caught.value.code == "secret_key_missing"


async def test_deleting_is_final_and_written_down(secrets, access, admin):
    """A deleted secret is missing; deleting it again says so."""
    await secrets.put(admin, "K", Secret("a-value"))
    await secrets.delete(admin, "K")

    with pytest.raises(NotFoundError):
        await secrets.delete(admin, "K")
    actions = [entry.action for entry in (await access.audit_log(admin, ALL)).items]
    assert actions[:2] == ["secret.delete", "secret.put"]


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("", "v", "name"),
        ("1A", "v", "name"),
        ("A-B", "v", "name"),
        ("../etc/passwd", "v", "name"),
        ("A\n", "v", "name"),
        ("A" * 65, "v", "name"),
        ("A", "", "value"),
        ("A", "x" * (MAX_BYTES + 1), "value"),
        ("A", "a\0b", "value"),
    ],
)
async def test_what_cannot_be_a_secret_is_refused(secrets, admin, name, value, field):
    """A name is also a file's name; a value is text of a bounded size."""
    with pytest.raises(InvalidError) as caught:
        await secrets.put(admin, name, Secret(value))

    assert set(caught.value.fields) == {field}


async def test_only_an_admin_changes_secrets(secrets, access, admin):
    """An operator sees the names, an invoker nothing; neither puts nor deletes."""
    operator, invoker = [
        await access.authenticate((await access.create_token(admin, scope, [scope]))[1].reveal())
        for scope in (Scope.OPERATE, Scope.INVOKE)
    ]

    await secrets.entries(operator, ALL)
    for forbidden in (
        secrets.entries(invoker, ALL),
        secrets.put(operator, "K", Secret("v")),
        secrets.delete(operator, "K"),
    ):
        with pytest.raises(ForbiddenError):
            await forbidden
