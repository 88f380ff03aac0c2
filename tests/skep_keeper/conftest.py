"""A real keeper, and words to ask it with."""

import asyncio
import json

import pytest

from skep.adapters.supervisor.client import SupervisorClient
from skep.testing.keeper import request as send
from skep.testing.keeper import start_keeper

SPEC = {
    "isolation": "container",
    "cpus": 1,
    "memory_bytes": 128 << 20,
    "disk_bytes": 32 << 20,
    "pids": 48,
    "open_files": 512,
    "output_bytes": 1 << 20,
    "layers": [],
    "doors": [80],
}


def new_id(number):
    """Return the id of the sandbox *number*."""
    return f"sbx_{number:026d}"


class Asker:
    """Asks a keeper in JSON."""

    def __init__(self, running):
        self.running = running

    def __call__(self, op, **fields):
        """Ask, and return the answer's first packet."""
        return json.loads(send(self.running.socket, json.dumps({"op": op, **fields}).encode()))

    def create(self, number, **changes):
        """Make the sandbox *number*; *changes* replace parts of the usual specification."""
        return self("create", id=new_id(number), **{**SPEC, **changes})

    def ready(self, number):
        """Wait until a sandbox's supervisor has done its first acts, and answers."""

        async def hello():
            supervisor = SupervisorClient(self.folder(number) / "c.sock")
            await supervisor.hello()
            await supervisor.close()

        asyncio.run(hello())

    def process(self, number):
        """Return the host's id of a sandbox's process 1."""
        return json.loads((self.folder(number) / "made.json").read_text())["pid"]

    def folder(self, number):
        """Return where the keeper has a sandbox's things."""
        return self.running.run_dir / "s" / new_id(number)


@pytest.fixture(scope="module")
def running(able):
    """A keeper for all tests of a module."""
    with start_keeper() as keeper:
        yield keeper


@pytest.fixture
def ask(running):
    """Ask the module's keeper; what the test made is destroyed at its end."""
    asker = Asker(running)
    yield asker
    for item in asker("list")["items"]:
        asker("destroy", id=item["id"])
