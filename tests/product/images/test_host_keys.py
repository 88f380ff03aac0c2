"""Servers' keys: what is built in is what their owners publish; files are read as ssh reads them."""

import base64
import hashlib
import hmac

import pytest

from skep.kernel.errors import InvalidError
from skep.product.images.fetch.host_keys import KnownHosts, first_seen, parse_key, parse_known_hosts, render

#: As docs.github.com, docs.gitlab.com and support.atlassian.com publish them.
PUBLISHED = {
    "github.com": {
        "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU",
        "SHA256:p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM",
        "SHA256:uNiVztksCsDhcc0u9e8BujQXVUpKZIDTMczCvj3tD2s",
    },
    "gitlab.com": {
        "SHA256:eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8",
        "SHA256:HbW3g8zUjNSksFbqTiUWPWg2Bq1x8xdGUrliXFzSnUw",
        "SHA256:ROQFvPThGrW4RuWLoL9tq9I9zJ42fK4XywyRtbOz/EQ",
    },
    "bitbucket.org": {
        "SHA256:ybgmFkzwOSotHTHLJgHO0QN8L0xErw6vd0VhFA9m3SM",
        "SHA256:FC73VB6C4OQLSCrjEayhMp9UMxS97caD/Yyi2bhW/J0",
        "SHA256:46OSHA1Rmj8E8ERTC6xkNcmGOw9oFxYr0WF6zWW8l1E",
    },
}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf"


@pytest.mark.parametrize("host", PUBLISHED)
def test_the_keys_built_in_are_those_published(host) -> None:
    """At the port of ssh, and nowhere else: another port may be anybody's."""
    assert {key.fingerprint for key in KnownHosts().find(host, 22)} == PUBLISHED[host]
    assert KnownHosts().find(host, 2222) == ()
    assert KnownHosts().find("git.lan", 22) == ()


def test_the_operators_file_goes_over_what_is_built_in() -> None:
    """Whoever keeps a key of github.com himself means that one."""
    known = parse_known_hosts(f"github.com {OTHER} a comment\n")
    assert [key.text for key in known.find("github.com", 22)] == [OTHER]


def test_a_revoked_key_is_added_to_what_is_known() -> None:
    """A file that only revokes takes nothing away from the keys built in."""
    found = parse_known_hosts(f"@revoked github.com {OTHER}\n").find("github.com", 22)
    assert len(found) == 4
    assert f"@revoked github.com {OTHER}\n" in render("github.com", 22, found)
    assert parse_known_hosts(f"@revoked git.lan {OTHER}\n").find("git.lan", 22)[0].marker == "@revoked"


def test_names_are_matched_as_ssh_does() -> None:
    """Patterns, what they leave out, ports in brackets, hashed names, comments."""
    salt = b"0123456789abcdefghij"
    digest = hmac.new(salt, b"[hidden.lan]:2222", hashlib.sha1).digest()
    hashed = f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
    text = f"# keys\n\n*.lan,!bad.lan,[git.org]:2222 {KEY}\n{hashed} {OTHER}\n@cert-authority ca.example {KEY}\n"
    known = parse_known_hosts(text)
    assert [key.text for key in known.find("git.lan", 22)] == [KEY]
    assert known.find("bad.lan", 22) == ()
    assert known.find("git.org", 22) == ()
    assert [key.text for key in known.find("git.org", 2222)] == [KEY]
    assert OTHER in {key.text for key in known.find("hidden.lan", 2222)}
    assert render("ca.example", 22, known.find("ca.example", 22)) == f"@cert-authority ca.example {KEY}\n"


@pytest.mark.parametrize(
    "line", ["git.lan", f"@other git.lan {KEY}", "git.lan ssh-ed25519 AAAA", "git.lan ssh-rsa " + KEY.split()[1]]
)
def test_a_line_that_is_none_is_named(line) -> None:
    """The operator is told which line cannot be read, when the server starts."""
    with pytest.raises(InvalidError, match="Line 2") as caught:
        parse_known_hosts(f"ok.lan {KEY}\n{line}\n")
    assert caught.value.code == "known_hosts_invalid"


def test_what_ssh_wrote_is_read_with_suspicion() -> None:
    """The first key counts; what is none is nothing."""
    assert first_seen(f"[127.0.0.1]:2222 {KEY}\n") == parse_key(KEY)
    for text in ("", "x", "# a b c", "h ssh-ed25519 !!!", "@revoked h " + KEY):
        assert first_seen(text) is None
