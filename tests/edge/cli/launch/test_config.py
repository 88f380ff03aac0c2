"""The launcher's orders."""

import dataclasses
import os

import pytest

from skep.edge.cli.launch import config as launch
from skep.edge.cli.launch.config import LaunchConfig
from skep.edge.cli.launch.folders import Place, User, places, useradd_argv
from skep.edge.cli.launch.kept import backoff_s
from skep.edge.cli.launch.start import as_root_argv, given, orders
from skep.edge.cli.launch.supervise import needs
from skep.kernel.errors import InvalidError
from skep.kernel.settings import Settings

CONFIG = LaunchConfig(
    instance="abc",
    data_dir="/var/lib/skep",
    state_dir="/var/lib/skep/state",
    keeper_dir="/var/lib/skep/keeper",
    run_dir="/run/skep/abc",
    admin_token_file="/var/lib/skep/admin.token",
    keeper_socket="/run/skep/abc/keeper.sock",
    server_user="skep",
    host="127.0.0.1",
    port=8080,
    port_fixed=False,
    python="/venv/bin/python",
    code=("/venv", "/usr", "/src"),
    uv="/venv/bin/uv",
    ca_file="/etc/ssl/ca.crt",
    env={"PATH": "/bin", "SKEP_MAX_RUNS": "3"},
)


def test_orders_come_back_as_they_were_sent():
    """One line of JSON holds everything."""
    assert "\n" not in CONFIG.to_json()
    assert LaunchConfig.from_json(CONFIG.to_json()) == CONFIG


def test_keeper_command():
    """The keeper gets its places and whom to serve, as the keeper's own documentation says."""
    assert launch.keeper_argv(CONFIG, 7, 8) == (
        *("/venv/bin/python", "-I", "-m", "skep_keeper", "--instance", "abc", "--run-dir", "/run/skep/abc"),
        *("--store-dir", "/var/lib/skep/keeper", "--uid", "7", "--gid", "8"),
        *("--uv", "/venv/bin/uv", "--ca-file", "/etc/ssl/ca.crt"),
    )


def test_server_command_and_environment():
    """The server gets the socket by number, and its settings by environment: never a secret in argv."""
    assert launch.server_argv(CONFIG, 3) == ("/venv/bin/python", "-I", "-m", "skep.edge.cli", "serve", "--fd", "3")
    assert launch.server_env(CONFIG, port=8081, tls=("/c", "/k")) == {
        "PATH": "/bin",
        "SKEP_MAX_RUNS": "3",
        "SKEP_DATA_DIR": "/var/lib/skep",
        "SKEP_RUN_DIR": "/run/skep",
        "SKEP_HOST": "127.0.0.1",
        "SKEP_PORT": "8081",
        "SKEP_TLS_CERT": "/c",
        "SKEP_TLS_KEY": "/k",
        "HOME": "/var/lib/skep/state",
        "PYTHONUNBUFFERED": "1",
    }


def test_the_keeper_sees_nothing_of_the_environment():
    """Settings, some of them secret, are the server's business."""
    assert set(launch.keeper_env(CONFIG)) == {"PATH", "LANG", "PYTHONUNBUFFERED"}


def test_only_what_is_meant_for_the_server_is_passed_on():
    """The user's other variables, and the credentials of the CLI, stay out."""
    environ = {
        "AWS_SECRET_ACCESS_KEY": "no",
        "SKEP_TOKEN": "no",
        "SKEP_URL": "no",
        "LD_PRELOAD": "no",
        "PYTHONPATH": "no",
        "SKEP_MAX_RUNS": "yes",
        "LC_ALL": "yes",
        "HTTPS_PROXY": "yes",
        "UV_INDEX_URL": "no",
    }
    assert set(launch.passed_on(environ)) == {name for name, value in environ.items() if value == "yes"}


def test_places_and_their_owners():
    """Only state and token belong to the server's user; the keeper's folder is root's."""
    assert places(CONFIG, User("skep", 7, 8)) == (
        Place(path="/var/lib/skep", mode=0o755),
        Place(path="/var/lib/skep/state", mode=0o700, uid=7, gid=8),
        Place(path="/var/lib/skep/keeper", mode=0o711),
        Place(path="/var/lib/skep/admin.token", mode=0o600, uid=7, gid=8, is_file=True),
        Place(path="/var/lib/skep/skep.log", mode=0o640, gid=8, is_file=True),
        Place(path="/run/skep", mode=0o711),
        Place(path="/run/skep/abc", mode=0o711),
    )


def test_the_system_user_can_do_nothing_else():
    """No home, no shell."""
    argv = useradd_argv("skep")
    assert argv[0] == "useradd"
    assert "--no-create-home" in argv
    assert "/usr/sbin/nologin" in argv


def test_an_ordinary_user_starts_the_launcher_through_sudo():
    """Root starts it directly; nobody is ever asked for a password."""
    assert as_root_argv(CONFIG, "up", euid=0)[0] == "/venv/bin/python"
    assert as_root_argv(CONFIG, "up", euid=1000)[:3] == ("sudo", "-n", "--")


def test_settings_travel_as_variables(tmp_path):
    """Whatever was set, by argument, variable or file, reaches the server in the same words."""
    settings = Settings(data_dir=tmp_path, git_http_hosts=("a", "b"), database_url="postgresql://u:p@h/d")
    assert given(settings) == {
        "SKEP_DATA_DIR": str(tmp_path),
        "SKEP_GIT_HTTP_HOSTS": "a,b",
        "SKEP_DATABASE_URL": "postgresql://u:p@h/d",
    }


def test_a_port_that_was_asked_for_is_not_replaced(tmp_path):
    """Only the default port may give way to another."""
    assert orders(Settings(data_dir=tmp_path, port=9), {}, detach=False).port_fixed
    assert not orders(Settings(data_dir=tmp_path), {}, detach=False).port_fixed


@pytest.mark.root
def test_the_keepers_folder_is_never_in_somebodys_home(tmp_path):
    """Layers lie where only root could put others in their place."""
    home = tmp_path / "home"
    (home / "data").mkdir(parents=True)
    inside = orders(Settings(data_dir=home / "data"), {}, detach=False)
    assert inside.keeper_dir == str(home / "data" / "keeper")
    os.chown(home, 65534, 65534)
    outside = orders(Settings(data_dir=home / "data"), {}, detach=False)
    assert outside.keeper_dir == f"/var/lib/skep-keeper/{outside.instance}"


def test_needs_are_read_only_but_for_data_and_sockets():
    """The server cannot write its own code."""
    writable = [need.path for need in needs(CONFIG, None) if need.writable]
    assert writable == ["/var/lib/skep", "/run/skep/abc"]


def test_back_off_grows_to_a_limit():
    """The first restart is immediate, later ones wait, never more than five seconds."""
    waits = [backoff_s(deaths) for deaths in range(1, 20)]
    assert waits[0] == 0
    assert waits == sorted(waits)
    assert waits[-1] == 5


@pytest.mark.parametrize("name", ["with space", "dätä", "a,b:c"])
def test_layers_lie_elsewhere_when_the_path_is_not_plain(tmp_path, name):
    """Mounts name the keeper's folder, where some characters have a meaning; the data folder itself may have any."""
    data = tmp_path / name
    made = orders(Settings(data_dir=data), {}, detach=False)
    assert made.data_dir == str(data)
    assert made.keeper_dir == f"/var/lib/skep-keeper/{made.instance}"


def test_a_path_may_lead_upwards(tmp_path):
    """What keeper and server are told has no `..` in it."""
    (tmp_path / "inner").mkdir()
    made = orders(Settings(data_dir=tmp_path / "inner" / ".." / "data"), {}, detach=False)
    assert made.data_dir == str(tmp_path.resolve() / "data")


def test_a_folder_for_sockets_that_cannot_be_used_is_refused_at_once(tmp_path):
    """Before anything is started, with the setting's name."""
    with pytest.raises(InvalidError) as caught:
        orders(Settings(data_dir=tmp_path, run_dir=tmp_path / "r n"), {}, detach=False)
    assert "SKEP_RUN_DIR" in str(caught.value.hint)


def test_orders_are_complete():
    """Every field without a default is told."""
    fields = {field.name for field in dataclasses.fields(LaunchConfig)}
    assert {"python", "code", "uv", "keeper_socket"} <= fields
