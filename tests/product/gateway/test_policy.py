"""One parser for policy and for connecting (rule 12), and one guard on every way out (rule 5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.kernel.errors import InvalidError
from skep.product.gateway.addresses import judge
from skep.product.gateway.model import AddressKind, Policy
from skep.product.gateway.policy import decide, decide_address, matches, normalise_host, parse_rule, split_target


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Example.ORG", "example.org"),
        ("example.org.", "example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("a_b.example.org", "a_b.example.org"),
        ("localhost", "localhost"),
        ("10.0.0.1", "10.0.0.1"),
        ("[::1]", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("[::FFFF:10.0.0.1]", "10.0.0.1"),
        ("[2001:DB8::1]", "2001:db8::1"),
    ],
)
def test_a_host_has_one_spelling(text: str, host: str) -> None:
    """Case, trailing dot, IDNA, brackets and mapped addresses all lead to one text."""
    assert normalise_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a..b",
        ".a",
        "a.b..",
        "-a.example",
        "a-.example",
        "a b",
        " a",
        "a\n",
        "a\0.example",
        "evil.org\0.pypi.org",
        "user@host",
        "user:pass@host",
        "host/path",
        "host?x",
        "host#x",
        "host\\x",
        "%31",
        "a%2eb",
        "http://a",
        "a,b",
        "*",
        "*.org",
        "0x7f.0.0.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "127.0.0.01",
        "1.2.3.4.5",
        "256.0.0.1",
        "127.0.0.1.",
        "1.2.3.0x4",
        "foo.0x1f",
        "foo.1",
        "[::1",
        "::1]",
        "[::1]x",
        "[127.0.0.1]",
        "[fe80::1%eth0]",
        "fe80::1%1",
        "[]",
        "[:]",
        "a" * 64 + ".org",
        ".".join(["a" * 60] * 5),
        "x" * 5000,
        "pypi.org:443",
    ],
)
def test_odd_hosts_are_refused(text: str) -> None:
    """What some resolver might read as another host, or that no host name has, is no host."""
    if text == "127.0.0.1.":
        assert normalise_host(text) == "127.0.0.1"
        return
    with pytest.raises(InvalidError):
        normalise_host(text)


def test_other_scripts_digits_and_dots_do_not_hide_an_address() -> None:
    """Full-width digits and ideographic dots are folded before the check for addresses."""
    assert normalise_host("127。0。0。1") == "127.0.0.1"
    assert normalise_host("\uff11\uff12\uff17.0.0.1") == "127.0.0.1"
    with pytest.raises(InvalidError):
        normalise_host("127。1")


@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing(text: str) -> None:
    """The one spelling is a fixed point, and anything else is refused by `InvalidError` alone."""
    try:
        once = normalise_host(text)
    except InvalidError:
        return
    assert normalise_host(once) == once
    assert once == once.lower()
    assert not set(once) & set("\0 /@\\%#?\n\r\t[]")


@given(st.ip_addresses())
def test_every_address_is_judged_and_spelled_once(address) -> None:
    """Any address goes through the parser, and only globally routed ones are public."""
    host = normalise_host(str(address))
    assert normalise_host(host) == host
    if judge(str(address)) is AddressKind.PUBLIC:
        assert address.is_global
        assert not address.is_private


@pytest.mark.parametrize(
    "text", ["h:0", "h:65536", "h:-1", "h:+1", "h: 80", "h:\uff18\uff10", "h:8_0", "h:", "h", "[::1]80", "::1", "h:1:2"]
)
def test_a_target_needs_a_plain_port(text: str) -> None:
    """A port is decimal digits from 1 to 65535."""
    with pytest.raises(InvalidError):
        split_target(text)


def test_targets_split() -> None:
    """Host and port come apart, with brackets for IPv6."""
    assert split_target("A.example:443") == ("a.example", 443)
    assert split_target("[::1]:80") == ("::1", 80)
    assert split_target("a.example", 80) == ("a.example", 80)
    assert split_target("::1", 80) == ("::1", 80)


def test_rules() -> None:
    """A rule is exact, or everything below a suffix, with or without a port."""
    assert str(parse_rule("PyPI.org")) == "pypi.org"
    assert str(parse_rule("*.example.org:443")) == "*.example.org:443"
    assert str(parse_rule("[::1]:80")) == "[::1]:80"
    exact, below = parse_rule("example.org"), parse_rule("*.example.org:443")
    assert matches(exact, "example.org", 1)
    assert not matches(exact, "a.example.org", 443)
    assert matches(below, "a.b.example.org", 443)
    assert not matches(below, "a.example.org", 80)
    assert not matches(below, "example.org", 443)
    assert not matches(below, "evilexample.org", 443)
    for text in (
        "*",
        "*.",
        "*.org",
        "*.*.example.org",
        "a.*.org",
        "*.127.0.0.1",
        "http://example.org",
        "example.org/x",
    ):
        with pytest.raises(InvalidError):
            parse_rule(text)


def test_an_empty_list_lets_nothing_through() -> None:
    """No rule means no host."""
    assert not decide(Policy(), "example.org", 443).allowed


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1.1.1.1", AddressKind.PUBLIC),
        ("2606:4700::1111", AddressKind.PUBLIC),
        ("127.8.8.8", AddressKind.LOOPBACK),
        ("0.0.0.0", AddressKind.LOOPBACK),
        ("0.1.2.3", AddressKind.LOOPBACK),
        ("::", AddressKind.LOOPBACK),
        ("::1", AddressKind.LOOPBACK),
        ("::ffff:127.0.0.1", AddressKind.LOOPBACK),
        ("169.254.169.254", AddressKind.LINK_LOCAL),
        ("::ffff:169.254.169.254", AddressKind.LINK_LOCAL),
        ("fe80::1", AddressKind.LINK_LOCAL),
        ("10.1.2.3", AddressKind.PRIVATE),
        ("172.16.0.1", AddressKind.PRIVATE),
        ("192.168.1.1", AddressKind.PRIVATE),
        ("100.64.0.1", AddressKind.PRIVATE),
        ("192.0.0.1", AddressKind.PRIVATE),
        ("198.18.0.1", AddressKind.PRIVATE),
        ("203.0.113.80", AddressKind.PRIVATE),
        ("240.0.0.1", AddressKind.PRIVATE),
        ("fd00:ec2::254", AddressKind.PRIVATE),
        ("fec0::1", AddressKind.PRIVATE),
        ("2001:db8::1", AddressKind.PRIVATE),
        ("100::1", AddressKind.PRIVATE),
        ("224.0.0.1", AddressKind.MULTICAST),
        ("255.255.255.255", AddressKind.MULTICAST),
        ("ff02::1", AddressKind.MULTICAST),
        ("64:ff9b::7f00:1", AddressKind.UNUSABLE),
        ("64:ff9b:1::a00:1", AddressKind.UNUSABLE),
        ("2002:7f00:1::", AddressKind.UNUSABLE),
        ("2001:0:1:2:3:4:5:6", AddressKind.UNUSABLE),
        ("::7f00:1", AddressKind.UNUSABLE),
        ("::ffff:0:7f00:1", AddressKind.UNUSABLE),
        ("127.1", AddressKind.UNUSABLE),
        ("nonsense", AddressKind.UNUSABLE),
    ],
)
def test_addresses_are_judged(text: str, kind: AddressKind) -> None:
    """Each kind of address that is not the internet is known as what it is."""
    assert judge(text) is kind


def test_only_the_operator_opens_a_private_address() -> None:
    """A private address needs host:port by name; an index host may be private but not loopback or link-local."""
    policy = Policy(
        allow=(parse_rule("*.lan.example"), parse_rule("pypi.org")),
        private=(parse_rule("git.lan.example:3000"),),
        internal=(parse_rule("pypi.org"),),
    )
    assert decide_address(policy, "x.lan.example", 3000, "1.1.1.1").allowed
    assert not decide_address(policy, "x.lan.example", 3000, "10.0.0.1").allowed
    assert decide_address(policy, "git.lan.example", 3000, "127.0.0.1").allowed
    refused = decide_address(policy, "git.lan.example", 80, "10.0.0.1")
    assert not refused.allowed
    assert "SKEP_EGRESS_ALLOW_PRIVATE=git.lan.example:80" in refused.reason
    assert decide_address(policy, "pypi.org", 443, "203.0.113.80").allowed
    assert not decide_address(policy, "pypi.org", 443, "127.0.0.1").allowed
    assert not decide_address(policy, "pypi.org", 443, "169.254.169.254").allowed


def test_a_private_rule_without_a_port_or_with_a_suffix_opens_nothing() -> None:
    """The operator's exception is exact."""
    for text in ("git.example.org", "*.example.org:80"):
        assert not decide_address(Policy(private=(parse_rule(text),)), "git.example.org", 80, "10.0.0.1").allowed
