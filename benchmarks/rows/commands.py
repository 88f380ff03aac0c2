"""A command in a sandbox that runs already."""

import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from benchmarks.bare import finish, runtime
from benchmarks.bench import Bench, Row, load, milliseconds
from benchmarks.model import Bar, Figure
from benchmarks.sandbox import command, ground
from skep.adapters.supervisor.client import SupervisorClient
from skep.product.sandboxes.model import Command

_TIMES = 20
_PROGRAM = ("/bin/true",)


async def commands(bench: Bench) -> AsyncIterator[Figure]:
    """The supervisor alone, through the driver with all output read, and the runtime's own `exec`."""
    before = load()
    alone, driven, bare = list[float](), list[float](), list[float]()
    async with ground() as made:
        handle = await made.cold()
        client = SupervisorClient(Path(handle.data["socket"]))
        config = json.loads(made.config(handle).read_text())
        with tempfile.NamedTemporaryFile("w", suffix=".json") as process:
            json.dump({**config["process"], "args": list(_PROGRAM), "capabilities": {}}, process)
            process.flush()
            state = str(made.keeper.run_dir / "runc")
            exec_argv = (runtime(), "--root", state, "exec", "-p", process.name, handle.id)
            for number in range(_TIMES * bench.repetitions):
                alone.append(await milliseconds(_supervised(client, command(f"a{number}", *_PROGRAM))))
                driven.append(await milliseconds(made.answer(handle, command(f"d{number}", *_PROGRAM))))
                if number < 4 * bench.repetitions:
                    bare.append(await milliseconds(finish(exec_argv)))
        await client.close()
    peers = {"runc exec": bare}
    yield bench.figure("start to exit, supervisor alone", "ms", alone, peers=peers, load=before)
    yield bench.figure("the same through the driver, output read", "ms", driven, Bar(limit=5), peers=peers, load=before)


async def _supervised(client: SupervisorClient, what: Command) -> None:
    await client.exec(what)
    await client.wait(what.id)


ROWS = (Row(name="exec", about="a command in a running sandbox", measure=commands, sandboxes=True),)
