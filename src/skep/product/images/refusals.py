"""What a build is told of hosts that its door did not lead it to, and what can be done about that. Pure."""

from collections.abc import Sequence

from skep.product.gateway.model import ConnectionRecord, Refusal, Rule

#: Hosts that are named in one sentence; the log has them all.
_NAMED = 5


def while_installing(index: Sequence[Rule]) -> str:
    """Say where an installing build may go, and who can open more."""
    hosts = ", ".join(dict.fromkeys(map(str, index))) or "no host at all"
    return (
        f"While it installs, a build reaches the package index only: {hosts}. "
        "The operator can add host:port to SKEP_INDEX_HOSTS."
    )


def while_fetching(repository: Rule) -> str:
    """Say where a fetching build may go; nobody can open more."""
    return (
        f"While it fetches, a build reaches the repository's own host only: {repository}. "
        "What lies elsewhere has to be in the repository, or be deployed with it as a folder."
    )


def line(record: ConnectionRecord) -> str | None:
    """Return what the log says of a connection that was not made; None for one that was, or that asked for nothing."""
    if record.allowed or not record.reason:
        return None
    if record.refusal is not None:
        return f"Refused: {record.reason}."
    return f"Not reached: {record.reason}." if record.host else None


def hint(records: Sequence[ConnectionRecord], advice: str) -> str:
    """Return what to do about what was refused, or why a host was not reached; "" if neither happened."""
    unlisted = [
        f"{record.host}:{record.port}" for record in records if record.refusal is Refusal.UNLISTED and record.host
    ]
    if names := list(dict.fromkeys(unlisted)):
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return f"It was not let through to {', '.join(names[:_NAMED])}{more}. {advice}"
    if reason := next((record.reason for record in records if record.refusal is Refusal.ADDRESS), ""):
        return f"{reason}."
    return next((said for record in reversed(records) if (said := line(record))), "")
