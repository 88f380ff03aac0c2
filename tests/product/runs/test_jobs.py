"""Runs of jobs, from their start to what is kept of them, over real databases and a scripted driver."""

import asyncio
import json
import signal
from dataclasses import replace

import pytest

from skep.kernel.errors import ConflictError, InvalidError, LimitError, NotFoundError, UnavailableError
from skep.kernel.paging import PageQuery
from skep.product.runs.model import AttemptPhase, RunLimits, RunStatus
from skep.product.sandboxes.model import Handle
from skep.testing.behaviour import FOREVER, Behaviour
from skep.testing.scripted_driver import ScriptedDriver
from skep.testing.wait import until


async def test_a_run_is_kept_whole(world):
    """A run that ends well has its output, result, artifacts, events and usage; nothing is left of its sandbox."""
    files = {
        "/run/skep/output": '{"answer": 42}',
        "/run/skep/artifacts/report.txt": "honey",
        "/run/skep/artifacts/deep/er/data.bin": "x" * 100_000,
    }
    await world.agent(Behaviour(files=files, stdout="hello\n", stderr="careful\n", show=("/run/skep/inputs.json",)))
    run = await world.start(inputs={"topic": "bees"})
    assert run.status is RunStatus.QUEUED
    async with world.working():
        run = await world.ended(run)
    assert (run.status, run.exit_code, run.failure) == (RunStatus.SUCCEEDED, 0, None)
    assert run.result == {"answer": 42}
    assert run.started_ms is not None
    assert run.ended_ms is not None
    output = await world.runs.output(world.admin, run.id)
    assert output.stdout == 'hello\n{"topic": "bees"}'
    assert output.stderr == "careful\n"
    assert not output.truncated
    artifacts = await world.runs.artifacts(world.admin, run.id)
    assert [(item.path, item.size) for item in artifacts] == [("deep/er/data.bin", 100_000), ("report.txt", 5)]
    artifact, data = await world.runs.open_artifact(world.admin, run.id, "report.txt")
    assert (b"".join([part async for part in data]), artifact.size) == (b"honey", 5)
    assert await world.events(run) == [
        "run.queued",
        "attempt.created",
        "attempt.started",
        "attempt.exited",
        "run.succeeded",
    ]
    assert world.driver.sandboxes == {}
    assert await world.sandbox_rows() == []


@pytest.mark.parametrize(
    ("behaviour", "status", "code"),
    [
        (Behaviour(exit_code=3), RunStatus.FAILED, "exit_code"),
        (Behaviour(exit_signal=11), RunStatus.FAILED, "signaled"),
        (Behaviour(oom=True, exit_signal=9), RunStatus.FAILED, "out_of_memory"),
        (Behaviour(fill_disk=True, exit_code=1), RunStatus.FAILED, "out_of_disk"),
        (Behaviour(too_many=True, exit_code=3), RunStatus.FAILED, "out_of_processes"),
        (Behaviour(start_error="no such program"), RunStatus.FAILED, "not_started"),
        (Behaviour(lost=True, run_for_s=FOREVER), RunStatus.LOST, "lost"),
        (Behaviour(lost=True, stdout="x"), RunStatus.FAILED, "output_lost"),
    ],
)
async def test_ends_are_told_apart(world, behaviour, status, code):
    """Exit code, signal, each limit, a command that cannot start and a vanished sandbox end a run in their own way."""
    await world.agent(behaviour)
    run = await world.start()
    async with world.working():
        run = await world.ended(run)
    assert (run.status, run.failure.code) == (status, code)
    assert world.driver.sandboxes == {}


async def test_the_time_limit(world):
    """The run's own limit counts before its agent's, and its end is `timed_out`."""
    await world.agent(Behaviour(stdout="x", run_for_s=FOREVER))
    run = await world.start(timeout_s=7)
    async with world.working():
        await world.phase(run, AttemptPhase.STARTED)
        world.clock.advance(6.9)
        assert not (await world.run(run)).status.final
        world.clock.advance(0.2)
        run = await world.ended(run)
    assert (run.status, run.failure.code) == (RunStatus.TIMED_OUT, "timed_out")
    assert await world.stdout(run) == "x"


async def test_cancel_while_it_runs(world):
    """A cancel reaches the command, and what it printed is kept; a second cancel changes nothing."""
    await world.agent(Behaviour(stdout="so far", run_for_s=FOREVER))
    run = await world.start()
    async with world.working():
        await world.phase(run, AttemptPhase.STARTED)
        asked = await world.runs.cancel(world.admin, run.id)
        assert asked.cancel_requested
        run = await world.ended(run)
        assert await world.runs.cancel(world.admin, run.id) == run
    assert (run.status, run.failure.code) == (RunStatus.CANCELLED, "cancelled")
    assert await world.stdout(run) == "so far"
    assert world.driver.sandboxes == {}


async def test_cancel_while_it_waits(world):
    """A run that only waits is cancelled at once, and no work is left of it."""
    await world.agent()
    run = await world.runs.cancel(world.admin, (await world.start()).id)
    assert run.status is RunStatus.CANCELLED
    assert await world.claim() is None
    assert [frame async for frame in world.runs.follow_log(world.admin, run.id)] == []
    assert await world.events(run) == ["run.queued", "run.cancelled"]


async def test_cancel_while_the_server_is_down(world):
    """A cancel between two lives of the server ends the command that goes on meanwhile, and keeps its output."""
    await world.agent(Behaviour(stdout="early", run_for_s=FOREVER))
    run = await world.start()
    async with world.working():
        await world.phase(run, AttemptPhase.STARTED)
    after = world.again()
    await world.db.write(lambda tx: after.stores.work.release_owner(tx, ["one"]))
    asked = await after.runs.cancel(world.admin, run.id)
    assert (asked.status, asked.cancel_requested) == (RunStatus.RUNNING, True)
    async with after.working():
        run = await after.ended(run)
    assert run.status is RunStatus.CANCELLED
    assert await after.stdout(run) == "early"


async def test_a_driver_that_is_away_is_waited_for(world):
    """While the driver is away nothing fails; when it is back the run goes on, at whatever phase it was."""
    await world.agent(Behaviour(stdout="x", run_for_s=5))
    world.driver.down = True
    run = await world.start()
    async with world.working():
        await world.phase(run, AttemptPhase.INTENDED)
        await until(lambda: len(world.driver.calls) > 2, what="tries")
        world.driver.down = False
        await world.phase(run, AttemptPhase.STARTED)
        world.driver.down = True
        world.clock.advance(5)
        asked = len(world.driver.calls)
        await until(lambda: len(world.driver.calls) > asked + 1, what="more tries")
        assert not (await world.run(run)).status.final
        world.driver.down = False
        run = await world.ended(run)
    assert run.status is RunStatus.SUCCEEDED
    assert [attempt.number for attempt in await world.attempts(run)] == [1]


async def test_a_lost_attempt_is_repeated_only_if_the_agent_allows(world):
    """With max_attempts=2 a lost run is tried once more, as a new attempt with a log of its own; then it is lost."""
    await world.agent(Behaviour(stdout="try", run_for_s=FOREVER), max_attempts=2)
    run = await world.start()
    async with world.working():
        first = await world.phase(run, AttemptPhase.STARTED)
        world.driver.vanish(first.sandbox_id)
        await until(lambda: _is(world, run, RunStatus.QUEUED), what="the run to wait for its next attempt")
        world.clock.advance(60)
        await until(lambda: _count(world, run, 2), what="a second attempt")
        second = await world.phase(run, AttemptPhase.STARTED)
        world.driver.vanish(second.sandbox_id)
        run = await world.ended(run)
    assert (run.status, run.attempts) == (RunStatus.LOST, 2)
    assert await world.stdout(run, attempt=1) == "try"
    assert (await world.events(run)).count("attempt.lost") == 2
    assert world.driver.sandboxes == {}
    assert await world.sandbox_rows() == []


class DeafDriver(ScriptedDriver):
    """Its commands feel no signal; only with their sandbox do they go."""

    async def signal(self, handle, command_id, number):
        """Do nothing."""


@pytest.mark.parametrize(("cancel", "status"), [(True, RunStatus.CANCELLED), (False, RunStatus.TIMED_OUT)])
async def test_what_feels_no_signal_is_ended_with_its_sandbox(db, clock, make_world, cancel, status):
    """A command that outlives signals, or a supervisor that forgets the time, loses its sandbox; its end is named."""
    limits = RunLimits(retry_s=0.005, min_free_bytes=0, grace_s=0.02, slack_s=0.05)
    world = await make_world(db, driver=DeafDriver(clock), limits=limits)
    await world.agent(Behaviour(run_for_s=FOREVER))
    run = await world.start(timeout_s=60 if cancel else 0.1)
    async with world.working():
        await world.phase(run, AttemptPhase.STARTED)
        if cancel:
            await world.runs.cancel(world.admin, run.id)
        run = await world.ended(run)
    assert run.status is status
    assert world.driver.sandboxes == {}


class FlappingDriver(ScriptedDriver):
    """Nobody can follow a command of its that goes on, and TERM ends none; KILL does."""

    def __init__(self, clock, *, term_raises):
        super().__init__(clock)
        self.term_raises = term_raises
        self.signals = []

    async def output(self, handle, command_id, offset=0):
        """Fail while the command goes on."""
        if self._command("output", handle, command_id).exit is None:
            raise UnavailableError("it flaps", code="driver_unavailable")
        async for chunk in super().output(handle, command_id, offset):
            yield chunk

    async def signal(self, handle, command_id, number):
        """Note each, and let only KILL through."""
        self.signals.append(number)
        if number == signal.SIGKILL:
            await super().signal(handle, command_id, number)
        elif self.term_raises:
            raise ConflictError("it flaps")


@pytest.mark.parametrize("term_raises", [False, True])
async def test_nothing_that_fails_puts_off_a_kill(db, clock, make_world, term_raises):
    """However often following fails, or TERM itself, KILL follows the first TERM after the grace and a little more."""
    driver = FlappingDriver(clock, term_raises=term_raises)
    limits = RunLimits(retry_s=0.005, min_free_bytes=0, grace_s=0.1)
    world = await make_world(db, driver=driver, limits=limits)
    await world.agent(Behaviour(run_for_s=FOREVER))
    run = await world.start()
    async with world.working():
        await world.phase(run, AttemptPhase.STARTED)
        await world.runs.cancel(world.admin, run.id)
        run = await world.ended(run)
    assert run.status is RunStatus.CANCELLED
    assert driver.signals.count(signal.SIGKILL) == 1
    assert driver.signals[-1] == signal.SIGKILL
    assert (driver.signals.count(signal.SIGTERM) == 1) == (not term_raises)


class StillbornDriver(ScriptedDriver):
    """Its first sandboxes do not come to life."""

    stillborn = 0

    async def create(self, spec):
        """Make it, and find that it does not answer."""
        handle = await super().create(spec)
        if len([verb for verb, _ in self.calls if verb == "create"]) <= self.stillborn:
            raise UnavailableError("the supervisor does not answer", code="sandbox_not_started")
        return handle


@pytest.mark.parametrize(("stillborn", "status"), [(1, RunStatus.SUCCEEDED), (99, RunStatus.FAILED)])
async def test_a_sandbox_that_does_not_come_to_life(db, clock, make_world, stillborn, status):
    """Another one is made, without asking whether the agent may be repeated; after a few it is said to be hopeless."""
    driver = StillbornDriver(clock)
    driver.stillborn = stillborn
    world = await make_world(db, driver=driver)
    await world.agent()
    run = await world.start()
    while not (await world.run(run)).status.final:
        await world.work_once()
        clock.advance(60)
    run = await world.run(run)
    assert run.status is status
    assert run.attempts == (2 if status is RunStatus.SUCCEEDED else 5)
    assert driver.sandboxes == {}
    assert await world.sandbox_rows() == []


async def test_reboot(world):
    """A machine that starts again has no sandboxes: what ran is lost, and says so."""
    await world.agent(Behaviour(run_for_s=FOREVER))
    run = await world.start()
    async with world.working():
        await world.phase(run, AttemptPhase.STARTED)
    world.driver.reboot()
    after = world.again()
    await world.db.write(lambda tx: after.stores.work.release_owner(tx, ["one"]))
    async with after.working():
        run = await after.ended(run)
    assert run.status is RunStatus.LOST
    assert "sandbox" in run.failure.message
    assert await after.sandbox_rows() == []


async def test_secrets(world):
    """Secrets are files for the agent alone, variables only where it says so, which the project's admin can see."""
    await world.secret("API_KEY", "sesame-open")
    await world.secret("OTHER", "thyme-and-sage")
    behaviour = Behaviour(show=("/run/secrets/API_KEY", "/run/secrets/OTHER"), show_env=("TOKEN",), run_for_s=3)
    await world.agent(behaviour, secrets=("API_KEY",), env_from_secret={"TOKEN": "OTHER"})
    run = await world.start()
    async with world.working():
        attempt = await world.phase(run, AttemptPhase.STARTED)
        entries = await world.driver.list(_handle(world, attempt), "/run/secrets")
        assert [(entry.path, oct(entry.mode)) for entry in entries] == [("API_KEY", "0o400")]
        world.clock.advance(3)
        run = await world.ended(run)
    assert await world.stdout(run) == "sesame-openTOKEN=thyme-and-sage\n"
    told = [event.data for event in (await world.runs.events(world.admin, run.id)).items]
    [audited] = (await world.access.audit_log(world.admin, PageQuery(q="run.env_from_secret"))).items
    assert (audited.project_id, audited.resource) == (run.project_id, run.id)
    assert audited.details == {"variable": "TOKEN", "secret": "OTHER"}
    assert "thyme" not in json.dumps(told)
    assert "sesame" not in json.dumps(told)


async def test_a_missing_secret_ends_the_run(world):
    """A secret that is not there is named, and nothing is started."""
    await world.agent(Behaviour(stdout="no"), secrets=("NOPE",))
    run = await world.start()
    async with world.working():
        run = await world.ended(run)
    assert (run.status, run.failure.code) == (RunStatus.FAILED, "secret_missing")
    assert "NOPE" in run.failure.message
    assert await world.stdout(run) == ""
    assert world.driver.sandboxes == {}


async def test_output_without_end(world):
    """Endless output is cut in the middle, said so, and the run succeeds all the same."""
    await world.agent(Behaviour(stdout="0123456789", repeat=100_000))
    run = await world.start()
    async with world.working():
        run = await world.ended(run)
    output = await world.runs.output(world.admin, run.id)
    assert run.status is RunStatus.SUCCEEDED
    assert output.truncated
    assert len(output.stdout) == world.limits.output_bytes


@pytest.mark.parametrize(
    ("files", "links", "code"),
    [
        ({"/run/skep/output": "x" * 10_001}, {}, "result_too_large"),
        ({f"/run/skep/artifacts/{n}": "" for n in range(1001)}, {}, "artifacts_too_large"),
        ({"/run/skep/artifacts/a": "x" * 200_001}, {}, "artifacts_too_large"),
        ({"/run/skep/artifacts/a\nb": "x"}, {}, "artifacts_too_large"),
        ({}, {"/run/skep/output": "/etc/passwd", "/run/skep/artifacts/p": "/etc/passwd"}, None),
    ],
)
async def test_what_is_left_is_bounded(world, files, links, code):
    """Results and artifacts beyond the limits fail the run in clear words; links are followed nowhere."""
    await world.agent(Behaviour(files=files, links=links))
    run = await world.start()
    async with world.working():
        run = await world.ended(run)
    assert (run.failure and run.failure.code) == code
    assert run.result is None
    assert len(await world.runs.artifacts(world.admin, run.id)) <= 1000


@pytest.mark.parametrize("exit_code", [0, 3])
async def test_what_was_left_out_is_said(world, exit_code):
    """Artifacts out of reach are named in an event, also where the run has failed for another reason."""
    deep = "d/" * 2500 + "f"
    files = {f"/run/skep/artifacts/{name}": "x" for name in (deep, "kept")}
    await world.agent(Behaviour(files=files, exit_code=exit_code))
    run = await world.start()
    async with world.working():
        run = await world.ended(run)
    assert run.failure.code == ("exit_code" if exit_code else "artifacts_too_large")
    assert [artifact.path for artifact in await world.runs.artifacts(world.admin, run.id)] == ["kept"]
    told = {event.type: event.data for event in (await world.runs.events(world.admin, run.id)).items}
    assert told["artifacts.left_out"] == {"count": 1, "names": [repr(deep[:200])]}


class ClosedDriver(ScriptedDriver):
    """One of the folders that its agents leave is closed to its owner."""

    async def list(self, handle, path, *, limit=10_000):
        """Show the folder, and nothing in it."""
        found = await super().list(handle, path, limit=limit)
        closed = [replace(entry, mode=0o300) for entry in found if entry.path == "closed"]
        return closed + [entry for entry in found if not entry.path.startswith("closed")]


async def test_folders_that_cannot_be_seen_into_are_said(db, clock, make_world):
    """A folder that the agent has closed, and whatever comes after more names than are looked at."""
    limits = RunLimits(retry_s=0.005, min_free_bytes=0, artifact_count=2)
    world = await make_world(db, driver=ClosedDriver(clock), limits=limits)
    await world.agent(Behaviour(files={"/run/skep/artifacts/closed/f": "x"}), name="closes")
    for name, depth in (("digs", 8), ("fits", 7)):
        await world.agent(Behaviour(files={f"/run/skep/artifacts/{'d/' * depth}f": "x"}), name=name)
    runs = [await world.start(name) for name in ("closes", "digs", "fits")]
    async with world.working():
        closed, dug, fitted = [await world.ended(run) for run in runs]
    assert closed.failure.message == "An artifact was not kept: what is in 'closed'."
    assert dug.failure.message == "An artifact was not kept: what comes after the first 8 names."
    assert fitted.status is RunStatus.SUCCEEDED


async def test_a_result_may_be_text(world):
    """What is no JSON is kept as it was written."""
    await world.agent(Behaviour(files={"/run/skep/output": "plain words"}))
    run = await world.start()
    async with world.working():
        assert (await world.ended(run)).result == "plain words"


async def test_following_from_the_first_moment(world):
    """Who follows events and log from before the first attempt sees all, once, and comes to the end."""
    await world.agent(Behaviour(stdout="a", run_for_s=4))
    run = await world.start()

    async def events():
        return [event.seq async for event in world.runs.follow_events(world.admin, run.id)]

    async def log():
        return b"".join([frame.data async for frame in world.runs.follow_log(world.admin, run.id)])

    tasks = [asyncio.create_task(events()), asyncio.create_task(log())]
    async with world.working():
        await world.phase(run, AttemptPhase.STARTED)
        world.clock.advance(4)
        async with asyncio.timeout(10):
            assert await asyncio.gather(*tasks) == [[1, 2, 3, 4, 5], b"a"]


async def test_an_agent_of_another_base_does_not_start(world):
    """Its layers fit a Python that the machine has no more: the run says so, where its program would find nothing."""
    await world.agent()
    world.driver.base = "another"
    run = await world.start()
    await world.work_once()
    run = await world.run(run)
    assert (run.status, run.failure.code) == (RunStatus.FAILED, "base_changed")
    assert "skep build bees" in run.failure.hint
    assert world.driver.sandboxes == {}


async def test_what_is_refused(world):
    """Unknown agents, agents without a build, wrong inputs or limits, a full queue or disk: a clear error, no row."""
    await world.agent(built=False, name="new")
    await world.agent(inputs_schema={"required": ["topic"], "properties": {"topic": {"type": "string"}}})
    with pytest.raises(NotFoundError):
        await world.start("nobody")
    with pytest.raises(ConflictError) as not_built:
        await world.start("new")
    assert not_built.value.code == "agent_not_built"
    with pytest.raises(InvalidError) as invalid:
        await world.start(inputs={"topic": 3})
    assert "topic" in invalid.value.fields
    for timeout_s in (0, -1, float("nan"), 1e9):
        with pytest.raises(InvalidError):
            await world.start(inputs={"topic": "x"}, timeout_s=timeout_s)
    world.free = -1
    with pytest.raises(UnavailableError) as full:
        await world.start(inputs={"topic": "x"})
    assert full.value.code == "disk_full"
    assert (await world.runs.all(world.admin, _page())).items == []


async def test_the_queue_is_bounded(db, make_world):
    """Of one project only so many runs may be unfinished."""
    world = await make_world(db, limits=RunLimits(max_unfinished=2, min_free_bytes=0))
    await world.agent()
    first = await world.start()
    await world.start()
    with pytest.raises(LimitError):
        await world.start()
    await world.runs.cancel(world.admin, first.id)
    await world.start()


async def test_usage_is_summed(world):
    """Usage is told per agent, by status."""
    await world.agent(Behaviour(run_for_s=2))
    await world.start()
    cancelled = await world.start()
    await world.runs.cancel(world.admin, cancelled.id)
    run = (await world.runs.all(world.admin, _page(status=("queued",)))).items[0]
    async with world.working():
        await world.phase(run, AttemptPhase.STARTED)
        world.clock.advance(2)
        await world.ended(run)
    (usage,) = await world.runs.usage(world.admin)
    assert usage.runs == {RunStatus.SUCCEEDED: 1, RunStatus.CANCELLED: 1}
    assert usage.duration_s == 2


def _page(**more):
    return PageQuery(**more)


def _handle(world, attempt):
    return Handle(version=1, driver=world.driver.name, id=attempt.sandbox_id)


async def _is(world, run, status):
    return (await world.run(run)).status is status


async def _count(world, run, number):
    return len(await world.attempts(run)) == number
