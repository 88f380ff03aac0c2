"""A running supervisor and a client of it."""

import itertools

import pytest

from skep.adapters.supervisor.client import SupervisorClient
from skep.product.sandboxes.model import Command, CommandId, Stream
from skep.testing.supervisor import start_supervisor

_numbers = itertools.count(1)


@pytest.fixture(params=["one user", pytest.param("two users", marks=pytest.mark.root)])
def supervisor(request):
    """A supervisor with the test's user, and one as process 1 with two users."""
    with start_supervisor(two_users=request.param == "two users") as running:
        yield running
        assert "Traceback" not in running.complaints


@pytest.fixture
async def client(supervisor):
    """A client of `supervisor`."""
    made = SupervisorClient(supervisor.socket)
    yield made
    await made.close()


@pytest.fixture
def command():
    """Makes commands: a shell text, or an argv."""

    def make(*argv, **changes):
        words = ("/bin/sh", "-c", *argv) if len(argv) == 1 else argv
        fields = {"env": {"PATH": "/usr/bin:/bin"}, "cwd": "/"} | changes
        return Command(id=CommandId(f"cmd_{next(_numbers)}"), argv=words, **fields)

    return make


@pytest.fixture
def run(client):
    """Executes a command to its end: its exit, its standard output, its standard error."""

    async def execute(command):
        await client.exec(command)
        chunks = [chunk async for chunk in client.output(command.id)]
        out, err = (
            b"".join(chunk.data for chunk in chunks if chunk.stream is stream)
            for stream in (Stream.STDOUT, Stream.STDERR)
        )
        return await client.wait(command.id), out, err

    return execute
