"""What went wrong, in the user's terms. Pure; a program's own words are untrusted and only quoted."""

import re
from collections.abc import Sequence

from skep.kernel.settings import MIB
from skep.product.images import installers
from skep.product.images.fetch.addresses import Remote
from skep.product.images.fetch.inside import MAX_FILES
from skep.product.images.model import Failure, GitSource
from skep.product.sandboxes.machine import Shortage, shortage
from skep.product.sandboxes.model import Exit, ExitReason, Inspection, Limits

_MAX_QUOTE = 4000
_SIZE_HINT = "Deploy a smaller repository or folder, or have the operator raise SKEP_SOURCE_LIMIT_MB."
#: Escape sequences and other control characters, but for the line's end and the tab.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_NO_SPACE = "no space left on device"
_UNRESOLVABLE = "No solution found"
_COPY = re.compile(r"Failed to install (cpython-[A-Za-z0-9._+-]{1,80})")
_NOT_PUBLIC = (
    "could not read username",
    "authentication failed",
    "terminal prompts disabled",
    "permission denied (publickey",
)
_OTHER_COPIES = (
    "Have the operator set SKEP_PYTHON_MIRROR or SKEP_PYTHON_DOWNLOADS; or ask for a Python of `skep runtimes`."
)
_LONGEST_COMMAND = 200
_MISSING_REF = ("couldn't find remote ref", "not our ref", "unadvertised object")


class BuildFailedError(Exception):
    """The build cannot succeed; carries what its owner is told."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def quote(words: str) -> str:
    """Return a program's last *words*, printable and bounded."""
    text = _printable(words)
    return text if len(text) <= _MAX_QUOTE else "..." + text[-_MAX_QUOTE:]


def of_exit(exit_: Exit, words: str, *, seen: Inspection, limits: Limits, limit_s: float) -> Failure | None:
    """Say which limit stopped a command that failed, in this order: time, memory, disk, processes; None if none did.

    Its own *words* tell of a disk that was full and was cleared up before the host has *seen* the sandbox.
    """
    if exit_.reason is ExitReason.TIMED_OUT:
        return timed_out(limit_s)
    if exit_.reason is ExitReason.OUT_OF_MEMORY or seen.oom_kills:
        return out_of_memory(limits.memory_bytes // MIB)
    lack = shortage(seen)
    if lack is Shortage.DISK or _NO_SPACE in words.lower():
        return Failure(
            code="out_of_disk",
            message=f"The build used up its {limits.disk_bytes // MIB} MiB of disk.",
            hint="Depend on less, or have the operator raise SKEP_BUILD_DISK_MB.",
        )
    if lack is Shortage.PROCESSES and _UNRESOLVABLE not in words:
        return Failure(
            code="out_of_processes",
            message=f"The build had reached its limit of processes and threads ({limits.pids}): {quote(words)}",
            hint="What it builds has to start fewer of them at once.",
        )
    return None


def out_of_memory(memory_mb: int) -> Failure:
    """Say that the memory was used up."""
    return Failure(
        code="out_of_memory",
        message=f"The build used up its {memory_mb} MiB of memory.",
        hint="Prefer wheels to building from source, or have the operator raise SKEP_BUILD_MEMORY_MB.",
    )


def interrupted(attempts: int, why: str = "") -> Failure:
    """Say that the build was lost again and again, and *why* the last time."""
    return Failure(
        code="build_lost",
        message=f"The build was interrupted {attempts} times{f', the last time because: {why}' if why else ''}.",
        hint="Build again; if it happens again, look at the server's log.",
    )


def timed_out(limit_s: float, what: str = "The build") -> Failure:
    """Say that the time was up."""
    name = "SKEP_BUILD_TIMEOUT_S" if what == "The build" else "SKEP_GIT_TIMEOUT_S"
    return Failure(
        code="build_timed_out",
        message=f"{what} took longer than {limit_s:g} seconds.",
        hint=f"Have the operator raise {name}, or make it smaller.",
    )


def too_large(limit_mb: int, code: str = "source_too_large") -> Failure:
    """Say that the source is over the limit."""
    if code == "repository_too_large":
        return Failure(code=code, message=f"The repository is larger than {limit_mb} MiB.", hint=_SIZE_HINT)
    message = f"The source is larger than {limit_mb} MiB, or has more than {MAX_FILES} files."
    return Failure(code=code, message=message, hint=_SIZE_HINT)


def of_fetch(words: str, source: GitSource, refusal: str = "") -> Failure:
    """Say what git's last *words* mean; *refusal* is what the door had to say to it."""
    text = words.lower()
    if any(sign in text for sign in _MISSING_REF):
        return no_ref(source)
    if any(sign in text for sign in _NOT_PUBLIC):
        return not_let_in(source)
    return Failure(
        code="repository_unreachable",
        message=f"The repository {source.url} could not be fetched: {_last_line(words)}",
        hint=refusal or "Check the address, and that the host may be reached from this machine.",
    )


def not_let_in(source: GitSource) -> Failure:
    """Say that the server wants to know who is there, or does not like the answer."""
    if not source.secret:
        return Failure(
            code="repository_unreachable",
            message=f"The repository {source.url} is not there, or not public.",
            hint="Check the address; for a private repository put a token or a deploy key as a secret, and name it: "
            "skep deploy URL --git-secret NAME",
        )
    return Failure(
        code="repository_refused",
        message=f"{source.url} did not let the secret {source.secret} in, or the repository is not there.",
        hint="Check that the token may read this repository, or that the deploy key is one of its own, and is not "
        f"revoked; put another: skep secret set {source.secret}",
    )


def is_host_key(words: str) -> bool:
    """Tell whether ssh's last *words* mean that it does not know the server's key."""
    return "host key verification failed" in words.lower()


def host_key_changed(origin: Remote, shown: str, known: Sequence[str], *, seen: bool) -> Failure:
    """Say that a server shows another key than the *known* ones; *seen* if the project has kept them itself."""
    place = f"{origin.host}:{origin.port}"
    accept = f"skep hosts forget {place}" if seen else "correct the file of SKEP_GIT_KNOWN_HOSTS, and start Skep again"
    return Failure(
        code="host_key_changed",
        message=f"{place} shows the key {shown}; known is {' or '.join(known)}. Somebody may be in between.",
        hint=f"Ask who runs the server. If the key was changed on purpose: {accept}",
    )


def no_ref(source: GitSource) -> Failure:
    """Say that the repository does not have what was asked for."""
    if source.ref is None:
        return Failure(code="ref_not_found", message="The repository is empty.", hint="Push a commit, or name a ref.")
    return Failure(
        code="ref_not_found",
        message=f"The repository has no branch, tag or commit {source.ref!r}.",
        hint="Check the ref. A commit must be reachable from a branch or tag: one that a forced push replaced is gone.",
    )


def no_name(ref: str) -> Failure:
    """Say that nothing is called *ref*, which may be the start of a commit: a look sees names only."""
    return Failure(
        code="ref_not_found",
        message=f"The repository has no branch or tag {ref!r}.",
        hint="If it is a commit, it never becomes another: poll a branch or a tag, or end the polling.",
    )


def no_path(path: str) -> Failure:
    """Say that the folder asked for is not in the source; "" is its root, which is missing when it holds nothing."""
    if not path:
        return Failure(
            code="path_not_found",
            message="The source is empty: it holds no file.",
            hint="Deploy a folder or a repository that holds the agent's files.",
        )
    return Failure(
        code="path_not_found",
        message=f"The source has no folder {path!r}.",
        hint="Check `path`: it is relative to the root of the source.",
    )


def of_install(words: str, refusal: str = "") -> Failure:
    """Say what uv's or npm's last *words* mean; *refusal* is what the door had to say to it."""
    said = quote(words)
    if told := installers.of_npm(_printable(words)):
        return told
    if _UNRESOLVABLE in said:
        start = said.index(_UNRESOLVABLE)
        return Failure(
            code="dependencies_unresolvable",
            message=f"The dependencies cannot be resolved: {said[start:]}",
            hint="Check the names, and the versions that the project asks for.",
        )
    if "incompatible with the project's Python requirement" in said or "No interpreter found" in said:
        return Failure(
            code="python_unavailable", message=said.splitlines()[-1], hint="Use a machine whose Python fits."
        )
    if copy := _COPY.search(said):
        return Failure(
            code="python_unavailable",
            message=f"The copy {copy[1]} of Python could not be fetched: {_last_line(words)}",
            hint=" ".join(filter(None, (refusal, _OTHER_COPIES))),
        )
    if not refusal and (told := installers.of_source_build(_printable(words))):
        return told
    hint = refusal or installers.LOG_HAS_ALL
    plain = installers.without_noise(said)
    return Failure(code="install_failed", message=f"Installing the dependencies failed: {plain}", hint=hint)


def of_own(command: Sequence[str], words: str, refusal: str = "") -> Failure:
    """Say that a *command* of the project's own failed, by its last *words*; *refusal* is what the door had to say."""
    plain = installers.without_npm(quote(words)) or "it printed nothing"
    shown = " ".join(command)[:_LONGEST_COMMAND]
    return Failure(code="install_failed", message=f"`{shown}` failed: {plain}", hint=refusal or installers.LOG_HAS_ALL)


def last_words(complaints: str, printed: str) -> str:
    """Return what a command said last: its *complaints*, behind what it *printed* if they are npm's framing only."""
    return complaints if installers.without_npm(_printable(complaints)) else f"{printed}\n{complaints}"


def wants_everything(words: str, *, may_be_commit: bool) -> bool:
    """Tell whether a failed shallow fetch may succeed as a whole one: git's *words* say why it failed."""
    text = words.lower()
    if "shallow" in text and "support" in text:
        return True
    return may_be_commit and any(sign in text for sign in _MISSING_REF)


def _printable(words: str) -> str:
    return _CONTROL.sub("", words.replace("\r\n", "\n").replace("\r", "\n")).strip()


def _last_line(words: str) -> str:
    lines = [line.strip() for line in quote(words).splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:", "remote:"))]
    return (fatal or lines or ["no reason was given"])[-1][:500]
