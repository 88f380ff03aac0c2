"""git's commands, as values: they run inside a sandbox, as the agent's user, behind a door to one host only. Pure."""

import re
import shlex
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from skep.product.images.fetch.addresses import APP, Remote
from skep.product.images.fetch.credentials import CredentialKind

GIT = "/usr/bin/git"
GIT_DIR = "/tmp/skep-git"  # noqa: S108  a path inside a sandbox of our own
#: ssh's way through the door; `through_door.py` is put there for repositories over ssh.
SSH_PROXY = "/tmp/skep-through-door.py"  # noqa: S108

#: What ssh may believe of a server; written by Skep.
KNOWN_HOSTS = "/tmp/skep-known-hosts"  # noqa: S108
#: Where ssh writes the key of a server that nobody knows yet.
FIRST_SEEN = "/tmp/skep-first-seen"  # noqa: S108
#: git's credential helper; `git_credential.py` is put there where there is a token.
CREDENTIAL_HELPER = "/tmp/skep-git-credential.py"  # noqa: S108
#: In memory; there only while git fetches.
CREDENTIAL = "/run/secrets/skep-git"

_FULL_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
#: What a server calls the commit that its default branch has.
HEAD = "HEAD"
_RULES = ("refs/{}", "refs/tags/{}", "refs/heads/{}", "refs/remotes/{}", "refs/remotes/{}/HEAD")
_SSH = "/usr/bin/ssh"
#: Nothing of the machine's configuration, no questions, no key but the one that is named.
_SSH_OPTIONS = (
    "BatchMode=yes",
    "GlobalKnownHostsFile=none",
    "UpdateHostKeys=no",
    "HashKnownHosts=no",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "PasswordAuthentication=no",
    "KbdInteractiveAuthentication=no",
    f"ProxyCommand=/usr/bin/python3 -I -S {SSH_PROXY} %h %p",
)


def is_commit(ref: str) -> bool:
    """Tell whether *ref* may be (the start of) a commit's hash."""
    return _COMMIT.fullmatch(ref) is not None


def look_at_key(origin: Remote) -> tuple[str, ...]:
    """Return the command that learns the key of an ssh server, and shows it no credential: it is not let in."""
    user = urlsplit(origin.url).username or "git"
    options = _ssh_options("StrictHostKeyChecking=accept-new", f"UserKnownHostsFile={FIRST_SEEN}")
    nothing = _ssh_options("PubkeyAuthentication=no", "PreferredAuthentications=none", "LogLevel=QUIET")
    place = ("-T", "-p", str(origin.port), "-l", user, "--", origin.host, "true")
    return (_SSH, "-F", "none", *options, *nothing, *place)


def list_remote(origin: Remote, ref: str | None) -> tuple[str, ...]:
    """Return the command that prints what *ref* stands for at the server, without fetching anything."""
    return _git(origin, "ls-remote", "--quiet", "origin", *_listed_as(ref))


def listed(answer: str, ref: str | None) -> str:
    """Return the commit in what `list_remote` printed; "" if none."""
    found: dict[str, str] = {}
    for line in answer.splitlines():
        commit, _, name = line.partition("\t")
        if _FULL_HASH.fullmatch(commit):
            found[name] = commit
    return next((found[name] for name in _listed_as(ref) if name in found), "")


def meanings(ref: str | None) -> tuple[str, ...]:
    """Return the names at the server that *ref* may stand for, the first that is there: as a fetch has it.

    These are the rules of gitrevisions(7), by which a tag goes before a branch.
    """
    if ref is None or ref == HEAD:
        return (HEAD,)
    whole = (ref,) if ref.startswith("refs/") else ()
    return (*whole, *(rule.format(ref) for rule in _RULES))


def _listed_as(ref: str | None) -> tuple[str, ...]:
    """Return how a server lists what *ref* may stand for; a tag of git's own making leads to a commit by ^{}."""
    return tuple(listed for name in meanings(ref) for listed in (f"{name}^{{}}", name))


def prepare(origin: Remote) -> tuple[tuple[str, ...], ...]:
    """Return the commands that make an empty repository that knows where it comes from."""
    return (
        _git(origin, "init", "--quiet", "--template=", "--initial-branch=skep"),
        _git(origin, "remote", "add", "origin", origin.url),
    )


def fetch_shallow(origin: Remote, ref: str | None) -> tuple[str, ...]:
    """Return the command that fetches one state and no history; the answer is FETCH_HEAD."""
    options = ("--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-commit-graph", "--no-auto-gc")
    return _git(origin, "fetch", *options, "origin", ref or HEAD)


def fetch_all(origin: Remote) -> tuple[str, ...]:
    """Return the command that fetches every branch and tag, for servers that cannot give one commit."""
    options = ("--no-recurse-submodules", "--no-write-commit-graph", "--no-auto-gc", "--tags")
    refspecs = ("+refs/heads/*:refs/remotes/origin/*", "+HEAD:refs/remotes/origin/HEAD")
    return _git(origin, "fetch", *options, "origin", *refspecs)


def resolve(origin: Remote, revision: str) -> tuple[str, ...]:
    """Return the command that prints the full hash of the commit that *revision* names."""
    return _git(origin, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")


def revisions(ref: str | None) -> tuple[str, ...]:
    """Return what *ref* may be called after `fetch_all`, in the order in which it is looked for."""
    names = tuple(kept for name in meanings(ref) if (kept := _kept_as(name)))
    return (*names, ref) if ref is not None and is_commit(ref) else names


def _kept_as(name: str) -> str:
    """Return what a name at the server is called after `fetch_all`; "" if that does not fetch it."""
    if name == HEAD or name.startswith("refs/heads/"):
        return f"refs/remotes/origin/{name.removeprefix('refs/heads/')}"
    return name if name.startswith("refs/tags/") else ""


def check_out(origin: Remote, commit: str, path: str) -> tuple[tuple[str, ...], ...]:
    """Return the commands that put the tree of *commit*, or its folder *path*, into /app, without history."""
    tree = f"{commit}:{path}" if path else commit
    return (
        _git(origin, "read-tree", tree),
        _git(origin, f"--work-tree={APP}", "checkout-index", "--all", "--force", "--quiet"),
    )


def forget() -> tuple[str, ...]:
    """Return the command that takes the credential away."""
    return ("/usr/bin/rm", "-f", "--", CREDENTIAL)


def is_whole_commit(ref: str | None) -> bool:
    """Tell whether *ref* is a commit's full hash: that never means anything else later."""
    return ref is not None and _FULL_HASH.fullmatch(ref) is not None


def environment(base: Mapping[str, str], origin: Remote, opened_by: CredentialKind | None) -> Mapping[str, str]:
    """Return the environment of git: nothing of a system's or a user's configuration, and no questions.

    Args:
        base: what every command of a build gets.
        origin: the repository.
        opened_by: what lies at `CREDENTIAL`.
    """
    known = _ssh_options("StrictHostKeyChecking=yes", f"UserKnownHostsFile={KNOWN_HOSTS}")
    ssh = (_SSH, "-F", "none", *known, "-i", CREDENTIAL if opened_by is CredentialKind.KEY else "none")
    helpers = (_helper(origin),) if opened_by is CredentialKind.TOKEN else ()
    return {
        **base,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_SSH_COMMAND": shlex.join(ssh),
        "GIT_SSH_VARIANT": "ssh",
        "GIT_SSL_CAINFO": base.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"),
        # The empty one clears the list of helpers.
        **_config([("credential.helper", helper) for helper in ("", *helpers)]),
    }


def _helper(origin: Remote) -> str:
    """Return git's credential helper: it answers for this one place only."""
    place = urlsplit(origin.url).netloc
    return shlex.join(("/usr/bin/python3", "-I", "-S", CREDENTIAL_HELPER, CREDENTIAL, origin.scheme, place))


def _config(settings: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    pairs = {
        f"GIT_CONFIG_{what}_{at}": text
        for at, (name, value) in enumerate(settings)
        for what, text in (("KEY", name), ("VALUE", value))
    }
    return {"GIT_CONFIG_COUNT": str(len(settings)), **pairs}


def _ssh_options(*more: str) -> tuple[str, ...]:
    return tuple(word for option in (*_SSH_OPTIONS, *more) for word in ("-o", option))


def _git(origin: Remote, *arguments: str) -> tuple[str, ...]:
    settings = (
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "core.autocrlf=false",
        "protocol.allow=never",
        f"protocol.{origin.scheme}.allow=always",
        "http.followRedirects=initial",
        "submodule.recurse=false",
        "transfer.bundleURI=false",
        "filter.lfs.smudge=",
        "filter.lfs.process=",
        "filter.lfs.required=false",
        "advice.detachedHead=false",
    )
    options = tuple(word for setting in settings for word in ("-c", setting))
    return (GIT, f"--git-dir={GIT_DIR}", *options, *arguments)
