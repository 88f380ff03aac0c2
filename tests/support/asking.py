"""Words of tests in which a scripted agent asks: through its sandbox's door, as a real one does."""

import asyncio
import json
from contextlib import asynccontextmanager

from skep.product.runs.model import AttemptPhase
from skep.product.sandboxes.model import CommandId
from skep.testing.behaviour import FOREVER, Behaviour
from skep.testing.wait import until

ENDLESS = Behaviour(run_for_s=FOREVER)


async def post(sandbox, body, *, path="/ask", method="POST", **headers):
    """Send one request to the door of a sandbox as its agent would; return status and JSON."""
    reader, writer = await asyncio.open_connection(*sandbox.doors[80].getsockname())
    try:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Host": "127.0.0.1", "Content-Length": str(len(data)), **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in sent.items() if v is not None)]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        answer = await reader.read()
        head, _, content = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(content)
    finally:
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def asked(sandbox, text="Go on?", key="k", **more):
    """Ask, and give the task that waits for the answer."""
    task = asyncio.create_task(post(sandbox, {"key": key, "text": text, **more}))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


def sandbox_of(world, attempt):
    """Return the sandbox in which an attempt goes on."""
    return world.driver.sandboxes[attempt.sandbox_id]


def command_of(world, attempt):
    """Return an attempt's command."""
    return sandbox_of(world, attempt).commands[CommandId(attempt.id)]


async def started(world, behaviour=ENDLESS, **config):
    """Start a run whose agent goes on; return it with its attempt and its sandbox."""
    await world.agent(behaviour, **config)
    run = await world.start()
    attempt = await world.phase(run, AttemptPhase.STARTED)
    return run, attempt, sandbox_of(world, attempt)


async def is_in(world, run, wanted):
    """Tell whether a run is in a status."""
    return (await world.run(run)).status is wanted


async def status(world, run, wanted):
    """Wait until a run has come to a status."""
    await until(lambda: is_in(world, run, wanted), timeout_s=20, what=f"the run to be {wanted}")


async def question_of(world, run):
    """Return the run's oldest open question."""
    return next(iter((await world.answers.open(world.admin, [await world.run(run)])).get(run.id, ())), None)


async def questions(world, run):
    """List what a run has asked."""
    return await world.db.read(lambda tx: world.stores.questions.of_run(tx, run.id))


async def are_open(world, run, number):
    """Tell whether a run has asked so often."""
    return len(await questions(world, run)) == number
