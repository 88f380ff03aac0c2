"""Who builds is told which host was refused, where a build may go, and who can change that."""

from skep.product.gateway.model import ConnectionRecord, Policy, Refusal
from skep.product.gateway.policy import decide, decide_address, parse_rule
from skep.product.images import refusals

INDEX = (parse_rule("pypi.org", 443), parse_rule("mirror.lan:3141"))


def refused(
    host: str, port: int = 443, refusal: Refusal | None = Refusal.UNLISTED, reason: str = ""
) -> ConnectionRecord:
    """A connection that was not made."""
    said = reason or decide(Policy(), host, port).reason
    return ConnectionRecord(host=host, port=port, allowed=False, reason=said, refusal=refusal)


def test_where_an_installing_build_may_go() -> None:
    """The hosts that it may reach are named with their ports, and the setting that names more."""
    assert refusals.while_installing(INDEX) == (
        "While it installs, a build reaches the package index only: pypi.org:443, mirror.lan:3141. "
        "The operator can add host:port to SKEP_INDEX_HOSTS."
    )
    assert "no host at all" in refusals.while_installing(())


def test_where_a_fetching_build_may_go() -> None:
    """The one host is named, and that a folder can be deployed instead; no setting opens more."""
    told = refusals.while_fetching(parse_rule("git.example:443"))
    assert "only: git.example:443." in told
    assert "folder" in told
    assert "SKEP_" not in told


def test_what_the_log_says() -> None:
    """A refusal is told from a host that could not be reached; what was reached or broke off early is not told."""
    assert refusals.line(refused("a.example", 22)) == (
        "Refused: a.example:22 is not on the list of hosts that may be reached."
    )
    unknown = refused("a.example", refusal=None, reason="the name a.example is not known")
    assert refusals.line(unknown) == "Not reached: the name a.example is not known."
    assert refusals.line(refused("", 0, None, "broken off: 0 bytes")) is None
    assert refusals.line(ConnectionRecord(host="a", port=1, allowed=True, reason="broken off: it ended")) is None


def test_what_to_do_about_it() -> None:
    """Hosts on no list come with the advice; a forbidden address with the operator's setting for exactly it."""
    assert refusals.hint([], "Ask.") == ""
    unknown = refused("a", refusal=None, reason="the name a is not known")
    assert refusals.hint([unknown], "Ask.") == "Not reached: the name a is not known."
    twice = [refused("a.example"), refused("a.example"), refused("b.example", 80)]
    assert refusals.hint(twice, "Ask.") == "It was not let through to a.example:443, b.example:80. Ask."
    many = [refused(f"{number}.example") for number in range(7)]
    assert "4.example:443 and 2 more. Ask." in refusals.hint(many, "Ask.")
    private = decide_address(Policy(), "git.lan", 443, "10.0.0.1").reason
    told = refusals.hint([refused("git.lan", refusal=Refusal.ADDRESS, reason=private)], "Ask.")
    assert told.startswith("git.lan:443 has the private address 10.0.0.1")
    assert "SKEP_EGRESS_ALLOW_PRIVATE=git.lan:443" in told
