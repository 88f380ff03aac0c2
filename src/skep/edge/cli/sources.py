"""What `skep deploy` was given: a folder, a local repository, or the URL of a remote one."""

import re
import subprocess
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

from pydantic import TypeAdapter, ValidationError

from skep.edge.wire.common import Name
from skep.edge.wire.sources import GitBody, SourceBody, SourceView
from skep.kernel.errors import InvalidError, UnavailableError
from skep.kernel.ids import is_id

_SCP_LIKE = re.compile(r"[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+:[^/].*")
_PIECE = 256 * 1024
#: Of a repository: what stays until it is said.
_KEPT = ("ref", "path", "secret")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A repository that the server fetches itself, with the secret of this name if it is private."""

    url: str
    secret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """A folder on this machine; with `clone` a repository of which a ref is taken."""

    folder: Path
    clone: bool = False


def recognise(text: str, ref: str | None) -> Remote | Local:
    """Tell what *text* is; a folder with a ref is a repository.

    Raises:
        InvalidError: it is neither a folder nor a URL.
    """
    if _SCP_LIKE.fullmatch(text):
        host, _, path = text.partition(":")
        return Remote(url=f"ssh://{host}/{path}")
    if "://" in text:
        parts = urlsplit(text)
        if parts.scheme == "file":
            return Local(folder=_folder(unquote(parts.path), text), clone=True)
        return Remote(url=text)
    return Local(folder=_folder(text, text), clone=ref is not None)


def _folder(path: str, text: str) -> Path:
    folder = Path(path).expanduser().resolve()
    if not folder.is_dir():
        raise InvalidError(
            f"{text} is neither a folder nor a URL",
            code="no_source",
            hint="give a folder, or https://host/me/agent.git",
        )
    return folder


def name_for(text: str) -> str:
    """Make an agent's name out of a folder's name or a URL."""
    last = re.split(r"[/:]", text.rstrip("/"))[-1].removesuffix(".git")
    slug = re.sub(r"[^a-z0-9]+", "-", last.lower()).strip("-")[:63].strip("-")
    if not slug:
        raise InvalidError(f"{text!r} makes no name for an agent", code="no_name", hint="give one with --name")
    return slug


def checked_name(name: str) -> str:
    """Return *name* if an agent may have it, or if it is the id of one; the server need not be asked for that.

    Raises:
        InvalidError: it may not.
    """
    try:
        return name if is_id(name) else TypeAdapter[str](Name).validate_python(name)
    except ValidationError:
        raise InvalidError(
            f"{name!r} is no name for an agent",
            fields={"name": "lower-case letters, digits and inner hyphens, at most 63 characters"},
            hint="give one with --name",
        ) from None


def declared_name(folder: Path, path: str) -> str:
    """Return the name that the `skep.yaml` of a folder gives its agent; "" if it gives none.

    Raises:
        InvalidError: `skep_yaml_invalid`: what a build would say of the file is said at once.
    """
    # A fifth of a second, which the other verbs, and repositories' deploys, need not wait.
    from skep.library.frameworks import skep_yaml  # noqa: PLC0415
    from skep.library.frameworks.marked_yaml import MAX_CHARACTERS  # noqa: PLC0415

    file = folder / path / skep_yaml.FILE
    try:
        if not file.is_file() or file.is_symlink():
            return ""
        with file.open("rb") as opened:
            text = opened.read(MAX_CHARACTERS * 4 + 4).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""
    return skep_yaml.declared_name(text)


def remote_body(remote: Remote, ref: str | None, path: str | None) -> SourceBody:
    """Return the source that the server fetches; what was not mentioned (None) is unset, an empty *ref* is null."""
    given: dict[str, str | None] = {"url": remote.url}
    if ref is not None:
        given["ref"] = ref or None
    if path is not None:
        given["path"] = path
    if remote.secret:
        given["secret"] = remote.secret
    return SourceBody(git=GitBody.model_validate(given))


def kept(old: SourceView, new: SourceBody) -> SourceBody:
    """Return *new* with what it does not mention of the repository that *old* names too; another one stands alone."""
    if old.git is None or new.git is None or old.git.url != new.git.url:
        return new
    before = {name: getattr(old.git, name) for name in _KEPT if name not in new.git.model_fields_set}
    return SourceBody(git=new.git.model_copy(update=before))


def unsaid(old: SourceView, new: SourceBody) -> dict[str, str]:
    """Return what `kept` takes from *old* and is not empty: "ref", "path" or "secret", and its value."""
    taken = kept(old, new)
    if new.git is None or taken.git is None:
        return {}
    both = {name: (getattr(new.git, name), getattr(taken.git, name)) for name in _KEPT}
    return {name: after for name, (before, after) in both.items() if before != after}


@contextmanager
def checkout(local: Local, ref: str | None) -> Generator[tuple[Path, str]]:
    """Give the folder to pack and a label for it; a repository is cloned and its ref checked out."""
    if not local.clone:
        yield local.folder, local.folder.name
        return
    with TemporaryDirectory(prefix="skep-clone-") as scratch:
        target = Path(scratch) / "source"
        url = f"file://{local.folder}"
        _git("clone", "--quiet", "--no-checkout", "--no-recurse-submodules", "--", url, str(target))
        commit = _commit(target, ref)
        _git("-C", str(target), "checkout", "--quiet", "--detach", commit)
        yield target, f"{local.folder.name}@{commit[:12]}"


def _commit(repository: Path, ref: str | None) -> str:
    for candidate in ("HEAD",) if ref is None else (f"refs/remotes/origin/{ref}", f"refs/tags/{ref}", ref):
        found = _run(
            "-C", str(repository), "rev-parse", "--verify", "--quiet", "--end-of-options", candidate + "^{commit}"
        )
        if found.returncode == 0:
            return found.stdout.decode().strip()
    raise InvalidError(
        f"there is no branch, tag or commit {ref!r} in the repository" if ref else "the repository is empty",
        code="unknown_ref",
    )


def _run(*argv: str) -> subprocess.CompletedProcess[bytes]:
    # Hooks and foreign transports have no place in a copy that is only packed.
    safe = ("-c", "core.hooksPath=/dev/null", "-c", "protocol.allow=never", "-c", "protocol.file.allow=always")
    try:
        return subprocess.run(("git", *safe, *argv), capture_output=True, check=False)
    except FileNotFoundError:
        raise UnavailableError("git is missing", code="git_missing", hint="apt-get install -y git") from None


def _git(*argv: str) -> None:
    done = _run(*argv)
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip()
        raise InvalidError(f"git: {words}", code="git_failed")


async def read(path: Path) -> AsyncIterator[bytes]:
    """Yield a file's bytes."""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
