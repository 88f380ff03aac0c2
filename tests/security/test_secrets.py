"""Rule 17: a secret is readable where it is used, and nowhere else."""

import hashlib
import json
import os
import pwd
import stat
import subprocess
from pathlib import Path

import pytest

from skep.testing.wait import until_sync

pytestmark = pytest.mark.root

VALUE = "s3cr3t-Vq8xJ2mTz7"


@pytest.fixture(scope="module")
def used(attacker):
    """The run of an agent that has used a secret, as a file and as a variable."""
    attacker.send("PUT", "/api/v1/secrets/KEY", {"value": VALUE})
    agent = attacker.build(
        {
            "files": {
                "main.py": "import hashlib, os, time\n"
                "found = open('/run/secrets/KEY').read(), os.environ['KEY']\n"
                "print([hashlib.sha256(each.encode()).hexdigest()[:8] for each in found])\n"
            }
        },
        secrets=["KEY"],
        env_from_secret={"KEY": "KEY"},
    )["agent_id"]
    return attacker.run(agent=agent)


def test_a_secret_is_where_it_is_used(used):
    """The agent has read it, as a file and from its environment."""
    assert used["status"] == "succeeded", used
    assert (
        json.loads(used["output"]["stdout"].replace("'", '"')) == [hashlib.sha256(VALUE.encode()).hexdigest()[:8]] * 2
    )


#: Below these lie the programs of the host and what agents have brought themselves.
FOREIGN = {"base", "gate", "layers"}


def holders(values, folder, *more):
    """Name the files below an installation's folder, *more* files, and the processes, that hold one of *values*."""
    places = list(more)
    for path, folders, names in os.walk(folder):
        folders[:] = set(folders) - FOREIGN
        # An empty disk of a gigabyte takes long to read.
        places += [Path(path, name) for name in names if not name.endswith(".template")]
    own = str(os.getpid())
    places += [path for kind in ("environ", "cmdline") for path in Path("/proc").glob(f"[0-9]*/{kind}")]
    return [path for path in places if own not in path.parts and _holds(path, values)]


def _holds(path, values):
    try:
        content = path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else b""
    except OSError:
        return False
    return any(value.encode() in content for value in values)


def test_a_secret_is_nowhere_else(attacker, used, skep):
    """No file, log, environment or command line of Skep holds its value; the answers of the API do not tell it."""
    settings = skep.settings
    assert holders([VALUE], skep.log_file.parent) == holders([VALUE], settings.instance_run_dir) == []
    said = [
        attacker.ask(path)
        for path in (
            "/api/v1/secrets",
            "/api/v1/audit?limit=100",
            f"/api/v1/agents/{used['agent_id']}",
            f"/api/v1/runs/{used['id']}",
            f"/api/v1/runs/{used['id']}/events",
        )
    ]
    assert VALUE not in json.dumps(said)
    assert "KEY" in json.dumps(said)


def test_the_first_token_is_in_its_file_only(skep):
    """The admin's token stands in `admin.token`, not in any log, environment or command line."""
    assert holders([skep.token], skep.log_file.parent) == [skep.settings.admin_token_file]


def test_tokens_are_not_kept(attacker, skep):
    """A token's text is told once: no file holds it, no listing shows it, and a changed one is refused."""
    made = attacker.make("/api/v1/tokens", {"name": "x", "scopes": ["read"]}, headers={"Idempotency-Key": "token"})
    again = attacker.make("/api/v1/tokens", {"name": "x", "scopes": ["read"]}, headers={"Idempotency-Key": "token"})

    assert again["token"] == made["token"]
    assert holders([made["token"]], skep.log_file.parent) == []
    assert made["token"] not in json.dumps(attacker.ask("/api/v1/tokens?limit=100"))
    wrong = made["token"][:-1] + ("A" if made["token"][-1] != "A" else "B")
    assert [attacker.send("GET", "/api/v1/agents", token=token)[0] for token in (made["token"], wrong)] == [200, 401]
    attacker.send("DELETE", f"/api/v1/tokens/{made['id']}")
    assert attacker.send("GET", "/api/v1/agents", token=made["token"])[0] == 401


def test_modes(skep):
    """What the server keeps is its own; what the keeper keeps is root's; nothing may be written by others."""
    settings = skep.settings
    server = pwd.getpwnam(settings.server_user).pw_uid
    for path in (settings.state_dir, *settings.state_dir.rglob("*"), settings.admin_token_file):
        info = path.lstat()
        assert (info.st_uid, stat.S_IMODE(info.st_mode) & 0o077) == (server, 0), path
    for path in (settings.data_dir, settings.keeper_dir, settings.instance_run_dir, settings.run_dir):
        info = path.lstat()
        assert (info.st_uid, stat.S_IMODE(info.st_mode) & 0o022) == (0, 0), path
    for path in (settings.keeper_dir / "layers", settings.keeper_dir / "disks"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    assert stat.S_IMODE(settings.keeper_socket.stat().st_mode) == 0o600
    assert settings.keeper_socket.stat().st_uid == server


def test_other_users_of_the_machine(attacker, skep):
    """Nobody but root and the server gets at layers, sandboxes or the first token; root does."""
    run = attacker.begin(attacker.obedient, "import time; print('up', flush=True); time.sleep(60)", timeout_s=60)
    until_sync(lambda: attacker.ask(f"/api/v1/runs/{run}")["output"]["stdout"] == "up\n", what="a living sandbox")
    try:
        (folder,) = skep.settings.instance_run_dir.glob("s/*")
        tries = [f"ls {path}" for path in (skep.settings.keeper_dir / "layers", folder / "gate/root", folder / "disk")]
        tries += [f"cat {skep.settings.admin_token_file}", f"cat {folder}/config.json"]
        for command in tries:
            asked = ["/bin/sh", "-c", f"cd / && {command}"]
            other = subprocess.run(asked, user="nobody", group="nogroup", capture_output=True, check=False)
            assert (other.returncode != 0, other.stdout) == (True, b""), command
            assert subprocess.run(asked, capture_output=True, check=True).stdout, command
    finally:
        attacker.send("POST", f"/api/v1/runs/{run}/cancel")
        attacker.ended(run)
