"""When an agent's repository is looked at, and whether what is found there is worth a build. Pure."""

from dataclasses import replace

from skep.kernel.errors import InvalidError
from skep.product.agents.model import Agent, Keep, Looked
from skep.product.images.fetch.git import is_whole_commit
from skep.product.images.model import Build, BuildStatus, Failure, GitSource, Source

SHORTEST_S = 30.0
_LONGEST_S = 2_592_000.0
#: Whoever fails is asked again ever more rarely, but at least so often.
_RAREST_S = 3_600.0
#: A look that a push asked for is made at least so often, and until so long after the push, before it is given up.
TRIES = 10
_PATIENCE_MS = 480_000
_FIRST_AGAIN_S = 2.0
_LATEST_AGAIN_S = 120.0


def checked(poll_s: float | None, source: Source) -> float | None:
    """Return *poll_s* if *source* can be looked at so often.

    Raises:
        InvalidError: `poll_invalid`.
    """
    if poll_s is None:
        return None
    wrong = ""
    if not SHORTEST_S <= poll_s <= _LONGEST_S:
        wrong = f"{SHORTEST_S:g} to {_LONGEST_S:g} seconds"
    elif not isinstance(source, GitSource):
        wrong = "only a repository can be looked at"
    elif is_whole_commit(source.ref):
        wrong = "a commit never becomes another: name a branch or a tag"
    if wrong:
        raise InvalidError(
            f"The repository cannot be polled like this: {wrong}.", code="poll_invalid", fields={"poll_s": wrong}
        )
    return poll_s


def changed(after: Agent, before: Agent, poll_s: float | Keep | None) -> Agent:
    """Put *poll_s* into a changed agent; the next look is at once. A source that is no repository ends the polling.

    Raises:
        InvalidError: `poll_invalid`.
    """
    there = moved(replace(after, source=before.source), after.source)
    wanted = there.poll_s if isinstance(poll_s, Keep) else checked(poll_s, after.source)
    if wanted is None:
        return replace(there, poll_s=None, poll_due_ms=None)
    if wanted == before.poll_s and after.source == before.source:
        return there
    return replace(there, poll_s=wanted, poll_due_ms=after.updated_ms)


def moved(agent: Agent, source: Source) -> Agent:
    """Give *agent* another source: what is known of the one before counts no more; without news no polling goes on."""
    if source == agent.source:
        return agent
    there = replace(agent, source=source, looked=None, asked_ms=None)
    if isinstance(source, GitSource) and not is_whole_commit(source.ref):
        return there
    return replace(there, poll_s=None, poll_due_ms=None)


def next_look_ms(poll_s: float, failures: int, now_ms: int) -> int:
    """Return when to look again: after failures ever later, up to an hour, or to the agent's own rhythm."""
    wait_s = min(poll_s * 2.0 ** min(failures, 16), max(poll_s, _RAREST_S))
    return now_ms + round(wait_s * 1000)


def again_ms(asked_ms: int, errors: int, now_ms: int) -> int | None:
    """Return when to look again for a push of *asked_ms*, after a failure and *errors* before it; None: never."""
    if errors + 1 >= TRIES and now_ms - asked_ms >= _PATIENCE_MS:
        return None
    return now_ms + round(min(_FIRST_AGAIN_S * 2.0 ** min(errors, 16), _LATEST_AGAIN_S) * 1000)


def asked(agent: Agent, now_ms: int) -> Agent:
    """Note that a push asks for a look; no two of those that are owed ask at the same time, whatever the clocks say."""
    return replace(agent, asked_ms=max(now_ms, (agent.asked_ms or 0) + 1))


def answered(agent: Agent, before: Agent) -> Agent:
    """Note that a look which began when the agent was as *before* is over: later pushes go on asking."""
    return replace(agent, asked_ms=None) if agent.asked_ms == before.asked_ms else agent


def is_owed(agent: Agent, before: Agent) -> bool:
    """Tell whether a look that began when the agent was as *before* is to be followed by another at once."""
    if agent.removed_ms is not None or not isinstance(agent.source, GitSource):
        return False
    if agent.asked_ms not in (None, before.asked_ms):
        return True
    return agent.source != before.source and agent.poll_s is not None


def reason_against(agent: Agent, latest: Build | None, built: Build | None, commit: str) -> str:
    """Say why no build of *commit* is needed; "" if one is. Builds of another source than the agent's are no reason.

    Args:
        agent: whose repository has the commit.
        latest: its latest build.
        built: the build that made what runs now.
        commit: what the repository has.
    """
    if latest is None:
        return "the agent was never built; build it once by hand"
    same = latest.source == agent.source
    if same and latest.status is BuildStatus.QUEUED:
        return "a build waits already, and takes what is newest when it begins"
    if same and latest.commit == commit:
        return "the latest build has this commit"
    runs = built is not None and built.source == agent.source and built.commit == commit
    if runs and latest.ended_ms is not None:
        return "what runs has this commit"
    if agent.looked is not None and agent.looked.commit == commit:
        return "a build of this commit was begun before"
    return ""


def found(agent: Agent, commit: str, now_ms: int) -> Agent:
    """Remember that the repository has *commit*."""
    return replace(agent, looked=Looked(at_ms=now_ms, commit=commit))


def failed(agent: Agent, failure: Failure, now_ms: int) -> Agent:
    """Remember that it could not be looked at."""
    before = agent.looked or Looked(at_ms=now_ms)
    return replace(agent, looked=replace(before, at_ms=now_ms, failures=before.failures + 1, failure=failure))
