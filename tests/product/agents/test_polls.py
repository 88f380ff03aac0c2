"""Looks at repositories: when one is due, what it begins, how trouble is shown, and that two never do the same."""

import asyncio
from dataclasses import replace

import pytest

from skep.kernel.errors import InvalidError, UnavailableError
from skep.kernel.paging import PageQuery
from skep.kernel.secret import Secret
from skep.product.agents import polls
from skep.product.agents.model import KEEP, AgentChange, Looked, NewAgent
from skep.product.agents.redeploy import Redeploy
from skep.product.agents.watch import POLLS_KEY, Watch
from skep.product.agents.webhooks import Proof, proves
from skep.product.images.failures import BuildFailedError
from skep.product.images.model import BuildStatus, Failure, FilesSource, GitSource
from skep.product.images.workshop import AttemptLostError
from skep.product.work.model import WorkLimits, WorkTiming
from skep.product.work.service import WorkService
from skep.testing.wait import until

GIT = GitSource(url="https://git.example/a.git", ref="main")
ONE, TWO = "1" * 40, "2" * 40


class Eyes:
    """Sees what a test says that the repository has."""

    def __init__(self) -> None:
        self.has = ONE
        self.trouble = None
        self.looks = 0
        self.shut = asyncio.Event()
        self.shut.set()

    async def look(self, project_id, source, owner):
        """See what is there now, and say it as soon as the eyes are open."""
        self.looks += 1
        seen, trouble = self.has, self.trouble
        await self.shut.wait()
        if trouble is not None:
            raise trouble
        return seen

    async def sweep(self):
        """Nothing is ever left."""


@pytest.fixture
def eyes():
    """What looks."""
    return Eyes()


@pytest.fixture
def watch(db, stores, hub, clock, ids, eyes, builds, access):
    """What watches, and a server that works for it."""
    handlers = {}
    work = WorkService(
        db, stores.work, hub, clock, ids, owner="life", node_id="nod", handlers=handlers,
        limits=WorkLimits(keys={POLLS_KEY: 2}), timing=WorkTiming(lease_s=3600, poll_s=0.05),
    )  # fmt: skip
    redeploy = Redeploy(agents=stores.agents, images=stores.images, builds=builds, access=access, clock=clock)
    made = Watch(
        db=db, agents=stores.agents, work=stores.work, queue=work, look=eyes, redeploy=redeploy, clock=clock
    )  # fmt: skip
    handlers["poll"] = made
    made.server = work
    return made


@pytest.fixture
async def working(watch):
    """The server works."""
    task = asyncio.create_task(watch.server.run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def look(watch, db, stores):
    """Puts on what is due, and waits until it is done."""

    async def go():
        put_on = await watch.put_on()

        async def done():
            counts = await db.read(stores.work.counts)
            return not counts.get("queued") and not counts.get("leased")

        await until(done, what="the look")
        return put_on

    return go


@pytest.fixture
def worked(db, stores, clock):
    """Waits until there is no work any more; as long as some waits, time passes."""

    async def wait():
        async def done():
            counts = await db.read(stores.work.counts)
            if counts.get("queued"):
                clock.advance(30)
            return not counts.get("queued") and not counts.get("leased")

        await until(done, what="the work")

    return wait


@pytest.fixture
def looking(eyes):
    """Waits until a look goes on."""

    async def wait():
        await until(lambda: eyes.looks == 1, what="the look")

    return wait


@pytest.fixture
def pushed_to(agents, admin, builds):
    """Makes an agent that was built once and is not polled."""

    async def make():
        await agents.create(admin, NewAgent(name="a", source=GIT))
        await builds.end(await agents.build(admin, "a"))

    return make


@pytest.fixture
def push(watch, db, stores, admin):
    """Tells of a push to the agent's repository that only a look can make sense of."""

    async def tell():
        await db.write(lambda tx: watch.told(tx, stores.agents.by_name(tx, admin.project_id, "a")))

    return tell


@pytest.fixture
def polled(agents, admin, builds):
    """Makes an agent that was built once and is looked at every minute."""

    async def make(**more):
        view = await agents.create(admin, NewAgent(name="a", source=GIT, poll_s=60, **more))
        await builds.end(await agents.build(admin, "a"))
        return view

    return make


async def state(agents, admin):
    """Return the agent as it stands, and how many builds it has had."""
    view = await agents.get(admin, "a")
    return view.agent, view.build


@pytest.mark.usefixtures("working")
async def test_something_new_is_built_once(polled, agents, admin, look, clock, eyes, builds):
    """The first look is at once, the next a minute later; what was begun once is not begun again, however it ended."""
    await polled()
    assert await look() == 1
    agent, build = await state(agents, admin)
    assert (agent.looked.commit, build.status) == (ONE, BuildStatus.QUEUED)
    assert await look() == 0
    await builds.end(build, BuildStatus.FAILED)
    clock.advance(61)
    assert await look() == 1
    assert (await state(agents, admin))[1].id == build.id
    eyes.has = TWO
    clock.advance(61)
    await look()
    agent, newer = await state(agents, admin)
    assert (agent.looked.commit, newer.id == build.id) == (TWO, False)
    assert eyes.looks == 3


@pytest.mark.usefixtures("working")
async def test_looks_never_pile_up_builds(polled, agents, admin, look, clock, eyes):
    """While a build waits none is added; what it will take is remembered only when it was begun for it."""
    await polled()
    await look()
    _, build = await state(agents, admin)
    eyes.has = TWO
    for _ in range(3):
        clock.advance(61)
        await look()
    agent, latest = await state(agents, admin)
    assert (latest.id, agent.looked.commit) == (build.id, ONE)


@pytest.mark.usefixtures("working")
async def test_trouble_is_shown_and_asked_for_ever_more_rarely(polled, agents, admin, look, clock, eyes, access):
    """The agent says why; the audit log once for each kind; when it is over, nothing of it stays."""
    await polled()
    eyes.trouble = BuildFailedError(Failure(code="repository_refused", message="No.", hint="Ask."))
    waits = []
    for _ in range(4):
        await look()
        agent, _ = await state(agents, admin)
        waits.append((agent.poll_due_ms - clock.now_ms()) // 1000)
        clock.advance(waits[-1] + 1)
    assert waits == [120, 240, 480, 960]
    assert (agent.looked.failures, agent.looked.failure.code) == (4, "repository_refused")
    for trouble in (AttemptLostError("gone"), UnavailableError("the keeper is away")):
        eyes.trouble = trouble
        await look()
        clock.advance(4000)
        assert (await state(agents, admin))[0].looked.failure.code == "look_lost"
    eyes.trouble = None
    await look()
    agent, _ = await state(agents, admin)
    assert (agent.looked.failures, agent.looked.failure) == (0, None)
    entries = (await access.audit_log(admin, PageQuery())).items
    assert [entry.details["code"] for entry in entries if entry.action == "agent.poll_failed"] == [
        "look_lost",
        "repository_refused",
    ]


async def test_a_look_outlives_its_server(polled, agents, admin, watch, db, stores, clock, eyes):
    """A server that dies while it looks leaves the work leased; the next one does it, and one build begins."""
    await polled()
    eyes.shut.clear()
    await watch.put_on()
    dying = asyncio.create_task(watch.server.run())

    async def looking():
        return eyes.looks == 1

    await until(looking, what="the first server to look")
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    assert (await state(agents, admin))[1].status is BuildStatus.SUCCEEDED
    await db.write(lambda tx: stores.work.release_owner(tx, ["life"]))
    eyes.shut.set()
    next_one = asyncio.create_task(watch.server.run())

    async def begun():
        return (await state(agents, admin))[1].status is BuildStatus.QUEUED

    await until(begun, what="the build")
    next_one.cancel()
    await asyncio.gather(next_one, return_exceptions=True)
    assert eyes.looks == 2


@pytest.mark.usefixtures("working")
async def test_a_push_while_a_look_goes_on_is_looked_for(pushed_to, agents, admin, worked, looking, eyes, push):
    """What was seen before the push is not what was pushed: the repository is looked at once more, and then no more."""
    await pushed_to()
    eyes.shut.clear()
    await push()
    await looking()
    eyes.has = TWO
    await push()
    eyes.shut.set()
    await worked()
    assert (eyes.looks, (await state(agents, admin))[0].looked.commit) == (2, ONE)
    _, build = await state(agents, admin)
    assert build.status is BuildStatus.QUEUED


@pytest.mark.usefixtures("working")
async def test_a_push_during_a_look_of_the_rhythm_is_looked_for(
    polled, agents, admin, worked, looking, eyes, watch, push, builds
):
    """Also where the look that goes on was nobody's wish."""
    await polled()
    builds.commit = ONE
    await builds.end(await agents.build(admin, "a"))
    eyes.shut.clear()
    await watch.put_on()
    await looking()
    eyes.has = TWO
    await push()
    eyes.shut.set()
    await worked()
    agent, build = await state(agents, admin)
    assert (eyes.looks, agent.looked.commit, build.status) == (2, TWO, BuildStatus.QUEUED)
    assert agent.asked_ms is None


@pytest.mark.usefixtures("working")
async def test_a_look_for_a_push_that_fails_is_made_again(pushed_to, agents, admin, worked, eyes, push):
    """The agent says why, the next look finds what was pushed, and nothing of the trouble stays."""
    await pushed_to()
    eyes.trouble = UnavailableError("the keeper is away")
    await push()

    async def failed():
        return (await state(agents, admin))[0].looked is not None

    await until(failed, what="the failure")
    assert (await state(agents, admin))[0].looked.failure.code == "look_lost"
    eyes.trouble = None
    await worked()
    agent, build = await state(agents, admin)
    assert (agent.looked.commit, agent.looked.failure, build.status) == (ONE, None, BuildStatus.QUEUED)
    assert agent.asked_ms is None


@pytest.mark.usefixtures("working")
async def test_a_look_for_a_push_is_given_up_at_last(pushed_to, agents, admin, worked, eyes, push, access):
    """Not for ever; the agent still says why, the audit log once; the next push begins anew."""
    await pushed_to()
    eyes.trouble = BuildFailedError(Failure(code="repository_unreachable", message="502"))
    await push()
    await worked()
    agent, build = await state(agents, admin)
    assert eyes.looks == agent.looked.failures >= polls.TRIES
    assert agent.asked_ms is None
    assert (agent.looked.failure.code, build.status) == ("repository_unreachable", BuildStatus.SUCCEEDED)
    entries = (await access.audit_log(admin, PageQuery())).items
    assert [entry.action for entry in entries].count("agent.poll_failed") == 1
    eyes.trouble = None
    await push()
    await worked()
    assert (await state(agents, admin))[1].status is BuildStatus.QUEUED


@pytest.mark.usefixtures("working")
async def test_another_source_is_looked_at_after_the_look_that_goes_on(
    polled, agents, admin, worked, looking, eyes, watch
):
    """What the old source had counts no more, and the look that the change brings is not lost with it."""
    await polled()
    eyes.shut.clear()
    await watch.put_on()
    await looking()
    await agents.change(admin, "a", AgentChange(source=replace(GIT, ref="dev")))
    await watch.put_on()
    eyes.has = TWO
    eyes.shut.set()
    await worked()
    agent, build = await state(agents, admin)
    assert (eyes.looks, agent.looked.commit, build.source.ref) == (2, TWO, "dev")


def test_when_a_look_for_a_push_is_made_again():
    """Ever later, for some minutes; a push that comes while others fail, or that a dead server kept, has them too."""
    now_ms, waits = 0, []
    while (again_ms := polls.again_ms(0, len(waits), now_ms)) is not None:
        waits.append(again_ms - now_ms)
        now_ms = again_ms
    assert waits == [2000, 4000, 8000, 16_000, 32_000, 64_000, 120_000, 120_000, 120_000]
    assert polls.again_ms(now_ms - 1000, 500, now_ms) == now_ms + 120_000
    assert polls.again_ms(0, 0, 3_600_000) == 3_602_000


@pytest.mark.usefixtures("working")
async def test_an_agent_that_was_never_built_is_left_to_its_owner(agents, admin, look):
    """Looking at it begins nothing; nor does a look at one that was removed."""
    await agents.create(admin, NewAgent(name="a", source=GIT, poll_s=60))
    await look()
    assert (await state(agents, admin))[1] is None


async def test_polling_is_changed_and_ended(polled, agents, admin, clock):
    """Another rhythm or another source is a look at once; a folder ends it; what cannot be polled is refused."""
    await polled()
    clock.advance(5)
    view = await agents.change(admin, "a", AgentChange(title="x"))
    assert view.agent.poll_due_ms < clock.now_ms()
    view = await agents.change(admin, "a", AgentChange(poll_s=90))
    assert (view.agent.poll_s, view.agent.poll_due_ms) == (90, clock.now_ms())
    view = await agents.change(admin, "a", AgentChange(source=FilesSource(files={"main.py": ""})))
    assert (view.agent.poll_s, view.agent.poll_due_ms) == (None, None)
    for source, poll_s in ((GIT, 29), (FilesSource(files={}), 60), (replace(GIT, ref=ONE), 60)):
        with pytest.raises(InvalidError) as caught:
            polls.checked(poll_s, source)
        assert caught.value.code == "poll_invalid"
    view = await agents.change(admin, "a", AgentChange(source=GIT, poll_s=60))
    assert view.agent.poll_s == 60
    assert polls.changed(view.agent, view.agent, KEEP) == view.agent
    view = await agents.change(admin, "a", AgentChange(poll_s=None))
    assert (view.agent.poll_s, view.agent.poll_due_ms) == (None, None)


async def test_what_a_push_is_worth(polled, agents, admin):
    """The decision, case by case."""
    await polled()
    agent, build = await state(agents, admin)
    known = replace(agent, looked=Looked(at_ms=1, commit=TWO))
    running = replace(build, status=BuildStatus.RUNNING, ended_ms=None)
    one, two = replace(build, commit=ONE), replace(build, commit=TWO)

    assert "never built" in polls.reason_against(agent, None, None, TWO)
    assert "waits" in polls.reason_against(agent, replace(build, status=BuildStatus.QUEUED), None, TWO)
    assert "latest build" in polls.reason_against(agent, replace(running, commit=TWO), None, TWO)
    assert "what runs" in polls.reason_against(agent, build, two, TWO)
    assert "begun before" in polls.reason_against(known, build, None, TWO)
    assert polls.reason_against(known, running, one, ONE) == ""
    assert polls.reason_against(agent, build, one, TWO) == ""


async def test_a_build_of_another_source_is_no_reason(polled, agents, admin):
    """A commit that was built from another folder, or that waits to be, is still to be built from this one."""
    await polled()
    agent, build = await state(agents, admin)
    moved = replace(agent, source=replace(GIT, path="other"))
    built = replace(build, commit=ONE)

    assert polls.reason_against(moved, built, built, ONE) == ""
    assert polls.reason_against(moved, replace(build, status=BuildStatus.QUEUED), built, ONE) == ""
    elsewhere = replace(built, source=moved.source, commit="")
    assert "what runs" in polls.reason_against(agent, elsewhere, built, ONE)
    assert polls.reason_against(agent, replace(elsewhere, status=BuildStatus.QUEUED, ended_ms=None), built, ONE) == ""


@pytest.mark.usefixtures("working")
async def test_another_folder_of_the_same_commit_is_built(polled, agents, admin, look, eyes, builds):
    """The look that a changed source brings begins a build, though the repository has nothing new."""
    builds.commit = eyes.has
    await polled()
    await look()
    _, before = await state(agents, admin)
    await agents.change(admin, "a", AgentChange(source=replace(GIT, path="other")))
    await look()
    _, build = await state(agents, admin)
    assert (build.id == before.id, build.source.path, build.status) == (False, "other", BuildStatus.QUEUED)


@pytest.mark.usefixtures("working")
async def test_a_build_from_elsewhere_forgets_what_was_looked_at(polled, agents, admin, look, clock, eyes, builds):
    """What the old branch had once may come to the new one; a build from files ends the looking."""
    await polled()
    await look()
    await builds.end(await agents.build(admin, "a", source=replace(GIT, ref="dev")))
    clock.advance(61)
    await look()
    agent, build = await state(agents, admin)
    assert (agent.poll_s, agent.looked.commit, build.status) == (60, eyes.has, BuildStatus.QUEUED)
    await agents.build(admin, "a", source=FilesSource(files={"main.py": ""}))
    agent, _ = await state(agents, admin)
    assert (agent.poll_s, agent.poll_due_ms, agent.looked) == (None, None, None)


def test_a_proof_is_the_secret_or_made_with_it():
    """An empty one, one of another body and one of another secret prove nothing."""
    secret = Secret("s")
    good = "e0e7e3c8" * 8
    assert not proves(secret, Proof(), b"x")
    assert not proves(secret, Proof(signature=good), b"x")
    assert not proves(secret, Proof(token="t"), b"x")
    assert not proves(secret, Proof(signature="\u00e9", token="\u00e9"), b"x")
    assert proves(secret, Proof(token="s"), b"x")
