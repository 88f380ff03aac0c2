"""The key appears whole and only once; what is sealed opens only with it, in its place."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.adapters.keys.sealer import KeyFileSealer
from skep.kernel.errors import UnavailableError
from skep.kernel.secret import Secret

SEALER = KeyFileSealer(Secret(b"k" * 32))


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_sealed_opens_in_its_context_only(value, context):
    """Any text comes back; another context does not open it."""
    nonce, ciphertext = SEALER.seal(Secret(value), context)

    assert SEALER.open(nonce, ciphertext, context, SEALER.key_id).reveal() == value
    with pytest.raises(UnavailableError):
        SEALER.open(nonce, ciphertext, context + "x", SEALER.key_id)


def test_no_two_seals_are_alike():
    """A fresh nonce each time: equal values do not show as equal."""
    assert SEALER.seal(Secret("same"), "c") != SEALER.seal(Secret("same"), "c")


def test_the_first_start_makes_the_key_for_its_owner_alone(tmp_path: Path):
    """The file has 32 random bytes and the mode 0600; the next start reads the same."""
    path = tmp_path / "key"
    first = KeyFileSealer.at(path)

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size == 32
    assert KeyFileSealer.at(path).key_id == first.key_id
    assert [p.name for p in tmp_path.iterdir()] == ["key"]
    assert KeyFileSealer.at(tmp_path / "other").key_id != first.key_id


def test_starts_at_the_same_time_agree_on_one_key(tmp_path: Path):
    """Whoever is second takes the first one's key."""
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: KeyFileSealer.at(tmp_path / "key").key_id, range(32)))

    assert len(ids) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int):
    """Such a key may be known already."""
    KeyFileSealer.at(tmp_path / "key")
    (tmp_path / "key").chmod(mode)

    with pytest.raises(UnavailableError):
        KeyFileSealer.at(tmp_path / "key")


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_damaged_key_is_refused(tmp_path: Path, content: bytes):
    """It is not silently replaced: what was sealed would be lost."""
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(content)

    with pytest.raises(UnavailableError):
        KeyFileSealer.at(path)
