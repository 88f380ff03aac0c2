"""Agents that are put there for an owner: the same again is the same agent, and nothing is built twice."""

import pytest

from skep.kernel.errors import ConflictError, ForbiddenError, InvalidError
from skep.kernel.paging import PageQuery
from skep.product.agents import owned
from skep.product.agents.model import AgentChange, AgentConfig, AgentStatus, NewAgent
from skep.product.images.model import BuildStatus, GitSource

ALL = PageQuery()
HERE, THERE = GitSource(url="https://example.org/me/bees"), GitSource(url="https://example.org/me/wasps")


def crew(source=HERE, owner="ann", title="My crew", **env):
    """Return what is to be put there."""
    return NewAgent(source=source, title=title, owner=owner, config=AgentConfig(env=env))


async def begun(agents, admin, agent):
    """Count the builds that an agent had."""
    return len((await agents.builds(admin, agent.id, ALL)).items)


async def test_the_same_again_changes_nothing(agents, builds, admin):
    """While it is built and once it is, the same agent answers, and no other build begins."""
    made = await owned.put(agents, admin, crew())
    assert (made.agent.owner, made.agent.title, made.agent.name) == ("ann", "My crew", "bees")
    assert made.status is AgentStatus.BUILDING

    assert await owned.put(agents, admin, crew()) == made
    await builds.end(made.build)
    again = await owned.put(agents, admin, crew())
    assert (again.agent.id, again.status) == (made.agent.id, AgentStatus.READY)
    assert await begun(agents, admin, made.agent) == 1


@pytest.mark.parametrize("end", [BuildStatus.FAILED, BuildStatus.CANCELLED])
async def test_what_came_to_nothing_is_built_again(agents, builds, admin, end):
    """Asking again is how one tries again."""
    made = await owned.put(agents, admin, crew())
    await builds.end(made.build, end)

    again = await owned.put(agents, admin, crew())
    assert (again.agent.id, again.build.status) == (made.agent.id, BuildStatus.QUEUED)


async def test_another_source_is_built_and_another_environment_is_not(agents, builds, admin):
    """A variable makes a version of the image that is there; a repository needs a build."""
    made = await owned.put(agents, admin, crew())
    await builds.end(made.build)

    changed = await owned.put(agents, admin, crew(A="1"))
    assert (changed.version.number, changed.version.config.env) == (2, {"A": "1"})
    assert await begun(agents, admin, made.agent) == 1
    moved = await owned.put(agents, admin, crew(THERE, A="1"))
    assert (moved.agent.source, moved.build.source) == (THERE, THERE)
    assert await begun(agents, admin, made.agent) == 2


async def test_a_change_that_was_not_built_any_more_is_built_when_it_is_put_again(agents, builds, admin):
    """The server died between the two commits: the source is the new one, the build is the old one's."""
    made = await owned.put(agents, admin, crew())
    await builds.end(made.build)
    await agents.change(admin, made.agent.id, AgentChange(source=THERE))

    assert (await owned.put(agents, admin, crew(THERE))).build.source == THERE


async def test_owners_have_their_own_titles(agents, admin, stranger):
    """The same title of another owner, or in another project, is another agent; lists are the owner's."""
    anns, bobs = await owned.put(agents, admin, crew()), await owned.put(agents, admin, crew(owner="bob"))
    others = await owned.put(agents, stranger, crew())
    await agents.create(admin, NewAgent(source=HERE, title="My crew"))

    assert len({anns.agent.id, bobs.agent.id, others.agent.id}) == 3
    assert [view.agent.id for view in (await agents.all(admin, ALL, owner="ann")).items] == [anns.agent.id]
    assert [view.agent.id for view in (await agents.all(stranger, ALL, owner="bob")).items] == []
    await agents.remove(admin, anns.agent.id)
    assert (await owned.put(agents, admin, crew())).agent.id != anns.agent.id


async def test_a_title_is_taken_once_among_an_owners_agents(agents, admin):
    """Making and renaming say so; who has no owner may have any title."""
    await owned.put(agents, admin, crew())
    other = await owned.put(agents, admin, crew(title="Other"))
    for act in (agents.create(admin, crew()), agents.change(admin, other.agent.id, AgentChange(title="My crew"))):
        with pytest.raises(ConflictError) as taken:
            await act
        assert taken.value.code == "title_taken"


async def test_nobodys_agent_cannot_be_put_there(agents, admin, reader):
    """It needs an owner and a title to be found again, and leave to make one."""
    for wrong, field in ((crew(owner=""), "owner"), (crew(title=""), "title")):
        with pytest.raises(InvalidError) as refused:
            await owned.put(agents, admin, wrong)
        assert field in refused.value.fields
    with pytest.raises(ForbiddenError):
        await owned.put(agents, reader, crew())
