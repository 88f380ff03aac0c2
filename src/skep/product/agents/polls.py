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
    wanted = before.poll_s if isinstance(poll_s, Keep) else checked(poll_s, after.source)
    if isinstance(poll_s, Keep) and (not isinstance(after.source, GitSource) or is_whole_commit(after.source.ref)):
        wanted = None
    moved = after.source != before.source
    looked = None if moved else before.looked
    if wanted is None:
        return replace(after, poll_s=None, poll_due_ms=None, looked=looked)
    if wanted == before.poll_s and not moved:
        return after
    return replace(after, poll_s=wanted, poll_due_ms=after.updated_ms, looked=looked)


def next_look_ms(poll_s: float, failures: int, now_ms: int) -> int:
    """Return when to look again: after failures ever later, up to an hour, or to the agent's own rhythm."""
    wait_s = min(poll_s * 2.0 ** min(failures, 16), max(poll_s, _RAREST_S))
    return now_ms + round(wait_s * 1000)


def reason_against(agent: Agent, latest: Build | None, built: str, commit: str) -> str:
    """Say why no build of *commit* is needed; "" if one is.

    Args:
        agent: whose repository has the commit.
        latest: its latest build.
        built: the commit of what runs now.
        commit: what the repository has.
    """
    if latest is None:
        return "the agent was never built; build it once by hand"
    if latest.status is BuildStatus.QUEUED:
        return "a build waits already, and takes what is newest when it begins"
    if latest.commit == commit:
        return "the latest build has this commit"
    if latest.status is not BuildStatus.RUNNING and built == commit:
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
