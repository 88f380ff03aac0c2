"""Agents: made, found, changed, built, removed."""

import pytest

from skep.kernel.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from skep.kernel.paging import PageQuery
from skep.product.agents.model import AgentChange, AgentConfig, AgentStatus, NewAgent, Resources
from skep.product.images.model import BuildStatus, FilesSource, GitSource, UploadId, UploadSource
from skep.product.sandboxes.model import Isolation

FILES = FilesSource(files={"main.py": "print('hello')"})
ALL = PageQuery()


async def test_an_agent_is_found_by_id_and_name_in_its_project_only(agents, admin, stranger):
    """Id and name lead to the agent; from another project there is none, by no way."""
    view = await agents.create(admin, NewAgent(name="bees", source=FILES))
    assert (view.status, view.version, view.build, view.agent.title) == (AgentStatus.NEW, None, None, "bees")
    for known in ("bees", view.agent.id):
        assert await agents.get(admin, known) == view
        for act in (agents.get, agents.build, agents.remove):
            with pytest.raises(NotFoundError):
                await act(stranger, known)
        with pytest.raises(NotFoundError):
            await agents.change(stranger, known, AgentChange(title="mine"))
        for listed in (agents.builds, agents.versions):
            with pytest.raises(NotFoundError):
                await listed(stranger, known, ALL)
    assert (await agents.all(stranger, ALL)).items == []
    assert (await agents.create(stranger, NewAgent(name="bees", source=FILES))).agent.name == "bees"


async def test_scopes(agents, admin, reader):
    """Who may only look can change nothing."""
    await agents.create(admin, NewAgent(name="bees", source=FILES))
    assert (await agents.get(reader, "bees")).agent.name == "bees"
    for attempt in (
        agents.create(reader, NewAgent(name="x", source=FILES)),
        agents.change(reader, "bees", AgentChange(title="x")),
        agents.build(reader, "bees"),
        agents.remove(reader, "bees"),
    ):
        with pytest.raises(ForbiddenError):
            await attempt


async def test_names(agents, admin):
    """A name is taken once among the living; one that is not given is made from the source and numbered."""
    await agents.create(admin, NewAgent(name="bees", source=FILES))
    with pytest.raises(ConflictError) as taken:
        await agents.create(admin, NewAgent(name="bees", source=FILES))
    assert taken.value.code == "name_taken"
    source = GitSource(url="https://example.org/me/Bees.git")
    assert (await agents.create(admin, NewAgent(source=source))).agent.name == "bees-2"
    assert (await agents.create(admin, NewAgent(source=source))).agent.name == "bees-3"
    with pytest.raises(ConflictError):
        await agents.change(admin, "bees-2", AgentChange(name="bees"))
    await agents.remove(admin, "bees")
    assert (await agents.change(admin, "bees-2", AgentChange(name="bees"))).agent.name == "bees"
    for bad in ("Bees", "-a", "a_b", "a" * 64, "../x", "a\n"):
        with pytest.raises(InvalidError):
            await agents.create(admin, NewAgent(name=bad, source=FILES))


async def test_versions_follow_builds_and_configurations(agents, admin, builds, told):
    """A build makes the next version, another configuration too once there is an image; versions never change."""
    await agents.create(admin, NewAgent(name="bees", source=FILES, config=AgentConfig(env={"A": "1"})))
    changed = await agents.change(admin, "bees", AgentChange(env={"A": "2"}))
    assert (changed.version, told.said) == (None, [])
    build = await agents.build(admin, "bees")
    assert (await agents.get(admin, "bees")).status is AgentStatus.BUILDING
    await builds.end(build)
    view = await agents.get(admin, "bees")
    assert (view.status, view.version.number, view.version.config.env) == (AgentStatus.READY, 1, {"A": "2"})
    view = await agents.change(admin, "bees", AgentChange(env={"A": "3"}, secrets=("KEY",)))
    assert (view.version.number, view.version.config.env, view.version.config.secrets) == (2, {"A": "3"}, ("KEY",))
    same = await agents.change(admin, "bees", AgentChange(title="The bees", env={"A": "3"}))
    assert (same.version, same.agent.title) == (view.version, "The bees")
    listed = (await agents.versions(admin, "bees", ALL)).items
    assert [(version.number, version.config.env["A"]) for version in listed] == [(2, "3"), (1, "2")]
    assert listed[0].image_id == listed[1].image_id
    assert told.said == [("ready", "bees", 1), ("ready", "bees", 2)]


async def test_a_version_runs_with_the_owners_word_over_the_sources(agents, admin, builds):
    """At its build and at each change after it; secrets that only the source asks for are not given to it."""
    builds.says = {"env": {"A": "source", "B": "source"}, "secrets": ("KEY",), "resources": Resources(pids=20)}
    await agents.create(admin, NewAgent(name="bees", source=FILES, config=AgentConfig(env={"A": "owner"})))
    await builds.end(await agents.build(admin, "bees"))
    made = (await agents.get(admin, "bees")).version.config
    assert (made.command, made.env) == (("python3", "main.py"), {"A": "owner", "B": "source"})
    assert (made.secrets, made.resources) == ((), Resources(pids=20))
    view = await agents.change(admin, "bees", AgentChange(env={}, resources=Resources(pids=40), secrets=("KEY",)))
    assert (view.agent.config.env, view.version.config.env) == ({}, {"A": "source", "B": "source"})
    assert (view.version.number, view.version.config.resources) == (2, Resources(pids=40))
    assert view.version.config.secrets == ("KEY",)


async def test_a_schema_can_be_set_and_taken_back(agents, admin):
    """An explicit None goes back to what the source tells; leaving it out keeps it."""
    await agents.create(
        admin, NewAgent(name="bees", source=FILES, config=AgentConfig(inputs_schema={"type": "object"}))
    )
    assert (await agents.change(admin, "bees", AgentChange(title="x"))).agent.config.inputs_schema is not None
    assert (await agents.change(admin, "bees", AgentChange(inputs_schema=None))).agent.config.inputs_schema is None


async def test_failed_builds(agents, admin, builds, told):
    """Without a version a failed build breaks the agent and those who wait are told; with one it still runs."""
    await agents.create(admin, NewAgent(name="bees", source=FILES))
    await builds.end(await agents.build(admin, "bees"), BuildStatus.FAILED)
    assert (await agents.get(admin, "bees")).status is AgentStatus.BROKEN
    await builds.end(await agents.build(admin, "bees"), BuildStatus.CANCELLED)
    assert (await agents.get(admin, "bees")).status is AgentStatus.NEW
    await builds.end(await agents.build(admin, "bees"))
    await builds.end(await agents.build(admin, "bees"), BuildStatus.FAILED)
    assert (await agents.get(admin, "bees")).status is AgentStatus.READY
    assert told.said == [
        ("failed", "bees", "nothing_recognised"),
        ("failed", "bees", "build_cancelled"),
        ("ready", "bees", 1),
    ]


async def test_builds_that_overtake_each_other(agents, admin, builds, told, clock):
    """An older build that ends last does not replace what the newer one made; nor does it end a wait too early."""
    await agents.create(admin, NewAgent(name="bees", source=FILES))
    older = await agents.build(admin, "bees")
    clock.advance(1)
    newer = await agents.build(admin, "bees")
    await builds.end(older, BuildStatus.FAILED)
    assert told.said == []
    another = await agents.build(admin, "bees")
    await builds.end(another)
    image = (await agents.get(admin, "bees")).version.image_id
    await builds.end(newer)
    assert (await agents.get(admin, "bees")).version.image_id == image


@pytest.mark.parametrize("end", [None, BuildStatus.FAILED, BuildStatus.CANCELLED])
async def test_an_older_build_replaces_nothing_while_a_third_goes_on(agents, admin, builds, end):
    """What counts is what runs, however the latest build stands; building again by hand goes over both."""
    await agents.create(admin, NewAgent(name="bees", source=FILES))
    slow, quick, third = [await agents.build(admin, "bees") for _ in range(3)]
    image = (await builds.end(quick)).image_id
    if end is not None:
        await builds.end(third, end)
    await builds.end(slow)
    assert (await agents.get(admin, "bees")).version.image_id == image
    again = await builds.end(await agents.build(admin, "bees"))
    assert (await agents.get(admin, "bees")).version.image_id == again.image_id


async def test_a_build_that_others_overtook_in_vain_still_counts(agents, admin, builds):
    """Later ones that failed or were cancelled made nothing that it could be older than."""
    await agents.create(admin, NewAgent(name="bees", source=FILES))
    slow, *others = [await agents.build(admin, "bees") for _ in range(3)]
    for build, end in zip(others, (BuildStatus.FAILED, BuildStatus.CANCELLED), strict=True):
        await builds.end(build, end)
    made = await builds.end(slow)
    assert (await agents.get(admin, "bees")).version.image_id == made.image_id


async def test_build_takes_another_source(agents, admin):
    """A source given to a build is the agent's from then on."""
    await agents.create(admin, NewAgent(name="bees", source=FILES, config=AgentConfig(command=("python3", "x.py"))))
    other = FilesSource(files={"main.py": "print('bye')"})
    build = await agents.build(admin, "bees", source=other, upgrade=True)
    assert (build.source, build.command, build.upgrade) == (other, ("python3", "x.py"), True)
    view = await agents.get(admin, "bees")
    assert (view.agent.source, view.build) == (other, build)
    assert (await agents.builds(admin, "bees", ALL)).items == [build]


async def test_removal(agents, admin, builds, told):
    """A removed agent is gone for everybody, its build is cancelled, and a build that ends later makes nothing."""
    view = await agents.create(admin, NewAgent(name="bees", source=FILES))
    build = await agents.build(admin, "bees")
    await agents.remove(admin, "bees")
    assert told.said == [("removed", "bees")]
    for known in ("bees", view.agent.id):
        with pytest.raises(NotFoundError):
            await agents.get(admin, known)
    assert (await agents.all(admin, ALL)).items == []
    await builds.end(build)
    assert told.said == [("removed", "bees")]


async def test_listing_by_status(agents, admin, builds):
    """The derived status filters a listing, page by page, and no agent is passed over or told twice."""
    for number in range(9):
        await agents.create(admin, NewAgent(name=f"a{number}", source=FILES))
        if number % 2:
            await builds.end(await agents.build(admin, f"a{number}"))
    seen, cursor = [], None
    while True:
        page = await agents.all(admin, PageQuery(limit=2, status=("ready",), cursor=cursor))
        seen += [view.agent.name for view in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert seen == ["a7", "a5", "a3", "a1"]


@pytest.mark.parametrize(
    ("config", "field"),
    [
        (AgentConfig(env={"1A": ""}), "env.1A"),
        (AgentConfig(env={"SKEP_RUN_ID": "x"}), "env.SKEP_RUN_ID"),
        (AgentConfig(env={"A": "\0"}), "env.A"),
        (AgentConfig(env={"A": "x" * 200_000}), "env"),
        (AgentConfig(secrets=("../x",)), "secrets"),
        (AgentConfig(env_from_secret={"A": "b c"}), "secrets"),
        (AgentConfig(env={"A": ""}, env_from_secret={"A": "B"}), "env_from_secret.A"),
        (AgentConfig(env_from_secret={"SKEP_X": "B"}), "env_from_secret.SKEP_X"),
        (AgentConfig(resources=Resources(memory_mb=4096)), "resources.memory_mb"),
        (AgentConfig(resources=Resources(cpus=0.0)), "resources.cpus"),
        (AgentConfig(resources=Resources(timeout_s=float("nan"))), "resources.timeout_s"),
        (AgentConfig(isolation=Isolation.GVISOR), "isolation"),
        (AgentConfig(egress=("http://x",)), "egress"),
        (AgentConfig(max_attempts=0), "max_attempts"),
        (AgentConfig(command=("",)), "command"),
        (AgentConfig(inputs_schema={"type": "x"}), "inputs_schema"),
    ],
)
async def test_bad_configurations_name_the_field(agents, admin, config, field):
    """What cannot be is refused when it is said, with the field named, and nothing is made."""
    with pytest.raises(InvalidError) as caught:
        await agents.create(admin, NewAgent(name="bees", source=FILES, config=config))
    assert field in caught.value.fields
    assert (await agents.all(admin, ALL)).items == []


async def test_uploads_of_others_are_not_there(agents, admin):
    """An upload that the project does not have is no source."""
    source = UploadSource(upload_id=UploadId("upl_" + "0" * 26))
    with pytest.raises(NotFoundError) as caught:
        await agents.create(admin, NewAgent(name="bees", source=source))
    assert caught.value.code == "upload_not_found"


async def test_every_action_is_in_the_audit_log(agents, admin, access):
    """Who did what to which agent is written down with the act; values of the environment are not."""
    config = AgentConfig(env={"A": "hush-hush"}, env_from_secret={"TOKEN": "KEY"})
    view = await agents.create(admin, NewAgent(name="bees", source=FILES, config=config))
    await agents.change(admin, "bees", AgentChange(env={"A": "still-hush"}))
    await agents.build(admin, "bees")
    await agents.remove(admin, "bees")
    entries = [entry for entry in (await access.audit_log(admin, ALL)).items if entry.resource == view.agent.id]
    assert {entry.action for entry in entries} == {
        "agent.create",
        "agent.env_from_secret",
        "agent.change",
        "agent.build",
        "agent.remove",
    }
    assert "hush" not in str(entries)


async def test_also_is_part_of_the_transaction(agents, admin):
    """What is to happen with the creation happens with it, or neither does."""

    def fail(tx, view):
        raise ConflictError(f"not {view.agent.name}")

    with pytest.raises(ConflictError):
        await agents.create(admin, NewAgent(name="bees", source=FILES), fail)
    assert (await agents.all(admin, ALL)).items == []
