"""Secrets become credentials, or the owner is told what is wrong before any sandbox is made."""

import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

from skep.kernel.secret import Secret
from skep.product.images.failures import BuildFailedError
from skep.product.images.fetch import git_credential
from skep.product.images.fetch.addresses import leave, remote
from skep.product.images.fetch.credentials import CredentialKind, read

ALLOWED = leave((), ("git.lan", "bitbucket.org"))
HTTPS = remote("https://git.example:8443/a.git", ALLOWED)
SSH = remote("ssh://git@git.lan/a.git", ALLOWED)
PEM, NONE = serialization.Encoding.PEM, serialization.NoEncryption()
FORMS = serialization.PrivateFormat


def written(key, form=FORMS.OpenSSH, passphrase=None) -> str:
    """Return a key as its owner has it."""
    encryption = NONE if passphrase is None else serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(PEM, form, encryption).decode()


@pytest.mark.parametrize(
    ("url", "value", "text"),
    [
        ("https://github.com/a/b", "ghp_1234", "x-access-token\nghp_1234\n"),
        ("https://git.example/a/b", " glpat-1234\n", "x-access-token\nglpat-1234\n"),
        ("https://bitbucket.org/a/b", "ATCTT1234", "x-token-auth\nATCTT1234\n"),
        ("https://git.example/a/b", "gitlab+deploy-token-1:gldt-1234", "gitlab+deploy-token-1\ngldt-1234\n"),
    ],
)
def test_a_token_gets_the_name_that_its_host_wants(url, value, text) -> None:
    """GitHub, GitLab and Gitea take any name, Bitbucket one of its own; user:password says the name itself."""
    made = read(remote(url, ALLOWED), "TOKEN", Secret(value))
    assert (made.kind, made.text.reveal()) == (CredentialKind.TOKEN, text)
    user, password = text.split()
    assert {password, f"{user}:{password}"} <= set(made.hidden)


@pytest.mark.parametrize("value", ["a\nb", "with space", "t\u00f6ken", ":x", "x" * 5000])
def test_what_is_no_token_is_refused(value) -> None:
    """A line end in it would be another line of what git is told."""
    with pytest.raises(BuildFailedError) as caught:
        read(HTTPS, "TOKEN", Secret(value))
    assert caught.value.failure.code == "git_token_invalid"
    assert value not in caught.value.failure.message


@pytest.mark.parametrize(
    ("key", "form"),
    [
        (ed25519.Ed25519PrivateKey.generate(), FORMS.OpenSSH),
        (ed25519.Ed25519PrivateKey.generate(), FORMS.PKCS8),
        (rsa.generate_private_key(65537, 2048), FORMS.TraditionalOpenSSL),
        (ec.generate_private_key(ec.SECP256R1()), FORMS.PKCS8),
    ],
    ids=["openssh", "pkcs8", "rsa", "ecdsa"],
)
def test_a_deploy_key_becomes_one_that_ssh_reads(key, form, tmp_path) -> None:
    """Whatever form it has, and whatever the way here has done to its line ends."""
    made = read(SSH, "KEY", Secret("  " + written(key, form).replace("\n", "\r\n").rstrip()))
    assert made.kind is CredentialKind.KEY
    file = tmp_path / "key"
    file.write_text(made.text.reveal())
    file.chmod(0o600)
    public = subprocess.run(("ssh-keygen", "-y", "-f", file), check=True, capture_output=True, text=True).stdout
    own = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    assert public.split()[:2] == own.split()
    assert all(line in made.hidden for line in made.text.reveal().splitlines()[1:-2])


@pytest.mark.parametrize("form", [FORMS.OpenSSH, FORMS.PKCS8])
def test_a_passphrase_is_told_from_a_broken_key(form, tmp_path) -> None:
    """Nobody is there to type it: the hint says how to make a key without."""
    if form is FORMS.OpenSSH:
        subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", tmp_path / "key"), check=True)
        text = (tmp_path / "key").read_text()
    else:
        text = written(ed25519.Ed25519PrivateKey.generate(), form, b"secret")
    with pytest.raises(BuildFailedError) as caught:
        read(SSH, "KEY", Secret(text))
    assert caught.value.failure.code == "deploy_key_passphrase"
    assert "-N ''" in caught.value.failure.hint


def test_what_is_no_key_for_ssh_is_refused() -> None:
    """A token, half a key, a kind that nobody takes any more, a key where a token is wanted."""
    whole = written(ed25519.Ed25519PrivateKey.generate())
    old = written(dsa.generate_private_key(1024), FORMS.PKCS8)
    for value in ("ghp_1234", whole[: len(whole) // 2], whole.replace("b3Bl", "!!!!"), old):
        with pytest.raises(BuildFailedError) as caught:
            read(SSH, "KEY", Secret(value))
        assert caught.value.failure.code == "deploy_key_invalid"
    with pytest.raises(BuildFailedError) as caught:
        read(HTTPS, "KEY", Secret(whole))
    assert caught.value.failure.code == "git_token_invalid"
    assert "private key" in caught.value.failure.message


@pytest.mark.parametrize(
    ("asked", "action", "answer"),
    [
        ("protocol=https\nhost=git.example:8443\n", "get", "username=u\npassword=p\n"),
        ("protocol=https\nhost=git.example\n", "get", ""),
        ("protocol=https\nhost=evil.example:8443\n", "get", ""),
        ("protocol=http\nhost=git.example:8443\n", "get", ""),
        ("protocol=https\nhost=git.example:8443\nusername=u\npassword=p\n", "store", ""),
        ("", "get", ""),
    ],
)
def test_the_helper_answers_for_its_place_only(tmp_path, asked, action, answer) -> None:
    """Another host, another port, another scheme, or a wish to keep something: it says nothing."""
    (tmp_path / "secret").write_text("u\np\n")
    argv = (sys.executable, "-I", "-S", git_credential.__file__, tmp_path / "secret", "https", "git.example:8443")
    ran = subprocess.run((*argv, action), input=asked, check=True, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == (answer, "")
