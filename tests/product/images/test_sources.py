"""What sources are accepted, and the commands that fetch them."""

import pytest

from skep.kernel.errors import InvalidError, TooLargeError
from skep.product.images.fetch import addresses as sources
from skep.product.images.fetch.addresses import Leave, check, leave, remote
from skep.product.images.model import FilesSource, GitSource, ImageSource, UploadId, UploadSource

NONE = Leave()
ORIGIN = remote("https://git.example/me/agent.git", NONE)


def test_an_address_is_rebuilt_from_its_parts() -> None:
    """What git reads is what was checked."""
    assert (
        sources.Remote(url="https://git.example/me/agent.git", scheme="https", host="git.example", port=443) == ORIGIN
    )
    assert remote("https://GIT.example.:8443/me/a", NONE).url == "https://git.example:8443/me/a"
    assert remote("https://[2001:DB8::1]/a", NONE).url == "https://[2001:db8::1]/a"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "-x",
        "git.example/a",
        "ext::sh -c id",
        "file:///etc",
        "/etc",
        "git://h/a",
        "ftp://h/a",
        "HTTPS://h/a",
        "--upload-pack=id",
        "https://",
        "https:///a",
        "https://h",
        "https://h/",
        "https://u@h/a",
        "https://u:p@h/a",
        "https://@h/a",
        "https://h/a?x",
        "https://h/a#x",
        "https://h/a b",
        "https://h/a\n",
        "https://h/a\0",
        "https://h\\@evil/a",
        "https://h/ä",
        "https://127.1/a",
        "https://0x7f.0.0.1/a",
        "https://2130706433/a",
        "https://h:0/a",
        "https://h:99999/a",
        "https://-h/a",
        "https://h/a'b\"",
        "https://h/a`id`",
        "https://h/" + "a" * 3000,
    ],
)
def test_odd_addresses_are_refused(url: str) -> None:
    """Other transports, options, user-info, odd hosts and characters."""
    with pytest.raises(InvalidError) as caught:
        remote(url, NONE)
    assert caught.value.code in ("git_url_invalid", "host_invalid")
    assert "source.git.url" in caught.value.fields


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://h/a#v1", "source's ref"),
        ("https://h/a?x=1", "query"),
        ("https://h/", "no repository"),
        ("https://h/%é", "odd"),
    ],
)
def test_what_is_wrong_with_an_address_is_said(url: str, why: str) -> None:
    """What stands behind the host is looked at part by part."""
    with pytest.raises(InvalidError) as caught:
        remote(url, NONE)
    assert why in caught.value.fields["source.git.url"]


def test_the_member_is_named_that_is_wrong() -> None:
    """Each kind of source has its own paths."""
    for source, member in (
        (GitSource(url=ORIGIN.url, path="../x"), "source.git.path"),
        (UploadSource(upload_id=UploadId("u"), path="../x"), "source.path"),
        (FilesSource(files={"../x": ""}), "source.files"),
    ):
        with pytest.raises(InvalidError) as caught:
            check(source, NONE)
        assert list(caught.value.fields) == [member]


def test_http_and_ssh_need_the_operators_leave() -> None:
    """The hint names the setting and what it would hold."""
    allowed = leave(["git.lan:3000"], ["git.lan"])
    assert remote("http://git.lan:3000/a", allowed).port == 3000
    assert remote("ssh://git@git.lan/a", allowed).url == "ssh://git@git.lan/a"
    for url, name in (("http://git.lan/a", "SKEP_GIT_HTTP_HOSTS=git.lan:80"), ("ssh://h/a", "SKEP_GIT_SSH_HOSTS=h:22")):
        with pytest.raises(InvalidError) as caught:
            remote(url, allowed)
        assert caught.value.code == "git_transport_refused"
        assert name in (caught.value.hint or "")


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "-x",
        "--upload-pack=x",
        "a..b",
        "a b",
        "a:b",
        "+a",
        "a^",
        "a~1",
        "a?",
        "a*",
        "a[",
        "a\\b",
        "a@{1}",
        "a//b",
        "a/",
        "a.",
        "a.lock",
        "/a",
        ".a",
        "a\0",
        "a\n",
        "ä",
        "a" * 300,
    ],
)
def test_odd_refs_are_refused(ref: str) -> None:
    """Options, refspecs and revision syntax are no refs."""
    with pytest.raises(InvalidError) as caught:
        check(GitSource(url=ORIGIN.url, ref=ref), NONE)
    assert "source.git.ref" in caught.value.fields


@pytest.mark.parametrize("ref", ["main", "v1.2.3", "feature/x", "a" * 40, "release-1_2", "_x", "user@host", "c++"])
def test_refs(ref: str) -> None:
    """Branches, tags and commits."""
    check(GitSource(url=ORIGIN.url, ref=ref), NONE)


@pytest.mark.parametrize(
    "path",
    ["/a", "a/", "..", "a/../b", "a//b", ".", "./a", "-a", ".git", "a/.GIT/b", "a\\b", "a\0b", "a\nb", "x" * 300],
)
def test_odd_paths_are_refused(path: str) -> None:
    """A path stays inside the source."""
    for source in (GitSource(url=ORIGIN.url, path=path), UploadSource(upload_id=UploadId("u"), path=path)):
        with pytest.raises(InvalidError):
            check(source, NONE)


def test_inline_files_are_bounded() -> None:
    """Names are relative, none is another's folder, and together they are small."""
    check(FilesSource(files={"main.py": "", "a/b.txt": ""}), NONE)
    for files in ({}, {"../x": ""}, {"/x": ""}, {"a/": ""}, {"": ""}, {"a": "", "a/b": ""}):
        with pytest.raises(InvalidError):
            check(FilesSource(files=files), NONE)
    with pytest.raises(TooLargeError):
        check(FilesSource(files={"a": "x" * 5_000_000}), NONE)


def test_container_images_need_another_driver() -> None:
    """It is said at once, not when the build begins."""
    with pytest.raises(InvalidError) as caught:
        check(ImageSource(name="python:3.12"), NONE)
    assert caught.value.code == "images_need_docker"


def test_addresses_as_ssh_writes_them() -> None:
    """user@host:path is the ssh:// address that it stands for; anything else stays as it is."""
    allowed = leave((), ("git.lan",))
    assert remote("git@git.lan:org/repo.git", allowed).url == "ssh://git@git.lan/org/repo.git"
    assert remote("git@git.lan:/srv/repo.git", allowed).url == "ssh://git@git.lan/srv/repo.git"
    for url in ("git.lan:org/repo.git", "git@git.lan", "-o@git.lan:a", "git@-h:a", "git@git.lan:a b", "a:b@git.lan:c"):
        with pytest.raises(InvalidError):
            remote(url, allowed)


def test_a_secret_is_named_as_secrets_are() -> None:
    """What is no name of a secret can be none of the project's."""
    check(GitSource(url="https://git.example/a.git", secret="TOKEN_1"), NONE)
    with pytest.raises(InvalidError) as caught:
        check(GitSource(url="https://git.example/a.git", secret="../x"), NONE)
    assert "source.git.secret" in caught.value.fields
