"""What the launcher hands to the server of the operator's pip, uv and npm."""

import pytest

from skep.edge.cli.launch.operator import handed_on
from skep.edge.cli.launch.start import orders
from skep.kernel.errors import InvalidError
from skep.kernel.indexes import Indexes
from skep.kernel.settings import INDEXES_VARIABLE, Settings


def environ(home, **more: str) -> dict[str, str]:
    """Return the environment of an operator whose home is *home*."""
    return {"HOME": str(home), "PATH": "/usr/bin:/bin", **more}


def test_the_operators_files_reach_the_server_as_one_variable(tmp_path):
    """Credentials of files and variables are in it and nowhere else; what is unreadable says nothing."""
    (tmp_path / ".netrc").write_text("machine pip.lan login me password from-netrc\n")
    (tmp_path / ".npmrc").write_text("registry=https://npm.lan/\n//npm.lan/:_authToken=from-npmrc\n")
    (tmp_path / ".config/uv/uv.toml").mkdir(parents=True)
    given = environ(tmp_path, PIP_INDEX_URL="https://pip.lan/simple", UV_INDEX="https://me:from-uv@uv.lan/simple")
    env = dict(orders(Settings(data_dir=tmp_path / "data"), given, detach=False).env)
    found = Indexes.from_json(env.pop(INDEXES_VARIABLE))
    assert found.python == ("https://uv.lan/simple", "https://pip.lan/simple")
    assert found.npm == "https://npm.lan/"
    assert {"from-netrc", "from-uv"} < set(found.hidden)
    assert any(login.header.reveal() == "Bearer from-npmrc" for login in found.logins)
    assert "from-" not in repr(env)


def test_authorities_of_the_operator_go_along(tmp_path):
    """A small file's text is handed on; a whole bundle is the bundle."""
    small, large = tmp_path / "own.pem", tmp_path / "all.pem"
    small.write_text("-----BEGIN CERTIFICATE-----\n")
    large.write_text("x" * 100_000)
    env = orders(
        Settings(data_dir=tmp_path / "data"),
        environ(tmp_path, NODE_EXTRA_CA_CERTS=str(small), PIP_CERT=str(large)),
        detach=False,
    ).env
    assert Indexes.from_json(env[INDEXES_VARIABLE]).authorities == "-----BEGIN CERTIFICATE-----\n"
    assert env["SKEP_CA_FILE"] == str(large)


def test_what_is_too_long_for_a_variable_is_refused(tmp_path):
    """With what to do about it."""
    many = " ".join(f"https://index-{number}.example/{'x' * 100}/simple" for number in range(1000))
    with pytest.raises(InvalidError) as caught:
        handed_on(environ(tmp_path, UV_INDEX=many))
    assert "SKEP_INDEX_URL" in (caught.value.hint or "")
