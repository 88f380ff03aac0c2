"""Which sources are accepted, and what an address of a repository says. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import SplitResult, urlsplit

from skep.kernel.errors import InvalidError, TooLargeError
from skep.product.gateway.model import Rule
from skep.product.gateway.policy import matches, parse_rule, split_target
from skep.product.images.model import FilesSource, GitSource, ImageSource, Source, UploadSource

APP = "/app"
_SCP_LIKE = re.compile(
    r"(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):(?P<path>.+)"
)
_MAX_URL = 2000
_MAX_REF = 250
_MAX_PATH = 1000
_MAX_FILES = 1000
_MAX_INLINE_BYTES = 4 * 1024 * 1024
_PORTS = {"https": 443, "http": 80, "ssh": 22}
#: git-check-ref-format(1), narrowed: what no shell, no refspec and no revision syntax gives a second meaning.
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+@=-]*")
_SECRET = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_FOLDER = "a folder inside the source, like agents/hello"
_FILES = "relative paths of files, like app/main.py"
_URL_PATH = re.compile(r"[A-Za-z0-9._~!$&'()+,;=:@%/-]*")
_PART = re.compile(r"[^\x00-\x1f\x7f/\\]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """What the operator allows beside https."""

    http: tuple[Rule, ...] = ()
    ssh: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Where a repository is, checked."""

    url: str
    scheme: str
    host: str
    port: int


def leave(http: Sequence[str], ssh: Sequence[str]) -> Leave:
    """Read the operator's lists of hosts."""
    return Leave(http=tuple(map(parse_rule, http)), ssh=tuple(map(parse_rule, ssh)))


def check(source: Source, allowed: Leave) -> None:
    """Refuse what can never be built.

    Raises:
        InvalidError: it is wrong; `fields` says where.
        TooLargeError: there are too many inline files, or too large ones.
    """
    match source:
        case GitSource():
            remote(source.url, allowed)
            if source.ref is not None:
                _check_ref(source.ref)
            _check_path("source.git.path", source.path, _FOLDER)
            if source.secret and not _SECRET.fullmatch(source.secret):
                raise _field("source.git.secret", source.secret, "the name of a secret")
        case FilesSource():
            _check_files(source.files)
        case UploadSource():
            _check_path("source.path", source.path, _FOLDER)
        case ImageSource():
            raise InvalidError(
                "Container images cannot be run by this installation's driver.",
                code="images_need_docker",
                hint="Give the agent's source as a repository, a folder or files.",
                fields={"source.image": "needs a driver that runs container images"},
            )


def remote(url: str, allowed: Leave) -> Remote:
    """Read the address of a repository.

    Raises:
        InvalidError: it is no https address, or one of http or ssh without the operator's leave.
    """
    url = spelled_out(url)
    if not url or len(url) > _MAX_URL or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise _url("it is empty, too long, or has odd characters")
    scheme, colon, _ = url.partition("://")
    if not colon or scheme not in _PORTS:
        raise _url("it does not start with https://")
    parts = urlsplit(url)
    if "@" in parts.netloc and scheme != "ssh":
        raise _url("it has a user or a password in it; put the token as a secret, and name that with the source")
    _check_place(parts)
    user, _, authority = parts.netloc.rpartition("@")
    if not re.fullmatch(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*)?", user):
        raise _url("its user is odd")
    try:
        host, port = split_target(authority, _PORTS[scheme])
    except InvalidError as error:
        raise _url(error.message) from error
    rules = {"http": allowed.http, "ssh": allowed.ssh}.get(scheme)
    if rules is not None and not any(matches(rule, host, port) for rule in rules):
        raise InvalidError(
            f"Repositories are not fetched over {scheme} from {host}:{port}.",
            code="git_transport_refused",
            hint=f"Use https, or have the operator set SKEP_GIT_{scheme.upper()}_HOSTS={host}:{port}.",
            fields={"source.git.url": f"{scheme} needs the operator's leave"},
        )
    # Rebuilt from its parts, so that what was checked is what git will read.
    shown = f"[{host}]" if ":" in host else host
    at = f"{user}@" if user else ""
    suffix = "" if port == _PORTS[scheme] else f":{port}"
    return Remote(url=f"{scheme}://{at}{shown}{suffix}{parts.path}", scheme=scheme, host=host, port=port)


def spelled_out(url: str) -> str:
    """Return `user@host:path`, as ssh's own commands write it, as the ssh:// address that it stands for."""
    found = None if "://" in url else _SCP_LIKE.fullmatch(url)
    return url if found is None else f"ssh://{found['user']}@{found['host']}/{found['path'].lstrip('/')}"


def _check_place(parts: SplitResult) -> None:
    """Refuse what is behind the host if it is more, or less, than the path of a repository."""
    if parts.fragment:
        raise _url("a branch, tag or commit is not written behind # but as the source's ref")
    if parts.query:
        raise _url("it has a query, from ? on")
    if parts.path in ("", "/"):
        raise _url("it names a host and no repository on it")
    if not _URL_PATH.fullmatch(parts.path):
        raise _url("its path has odd characters")


def _check_path(field: str, path: str, wanted: str) -> None:
    """Refuse a path that is not plainly inside the source."""
    parts = path.split("/") if path else []
    if len(path) > _MAX_PATH or any(not _PART.fullmatch(part) or part in (".", "..") for part in parts):
        raise _field(field, path, wanted)
    if parts and (parts[0].startswith("-") or ".git" in (part.lower() for part in parts)):
        raise _field(field, path, wanted)


def _check_ref(ref: str) -> None:
    wrong = (
        not _REF.fullmatch(ref)
        or len(ref) > _MAX_REF
        or ".." in ref
        or "@{" in ref
        or "//" in ref
        or ref.endswith(("/", ".", ".lock"))
    )
    if wrong:
        raise _field("source.git.ref", ref, "a branch, a tag or a commit")


def _check_files(files: Mapping[str, str]) -> None:
    if not files:
        raise _field("source.files", "", "at least one file")
    size = sum(len(text.encode()) for text in files.values())
    if len(files) > _MAX_FILES or size > _MAX_INLINE_BYTES:
        raise TooLargeError(
            f"Inline files are limited to {_MAX_FILES} files and {_MAX_INLINE_BYTES} bytes together.",
            code="source_too_large",
            hint="Upload a folder instead.",
        )
    for path in files:
        if not path or path.endswith("/"):
            raise _field("source.files", path, _FILES)
        _check_path("source.files", path, _FILES)
        if any(str(parent) in files for parent in PurePosixPath(path).parents):
            raise _field("source.files", path, "files, none of which is another's folder")


def _url(why: str) -> InvalidError:
    return InvalidError(
        f"This is no address of a repository that Skep accepts: {why}.",
        code="git_url_invalid",
        hint="Write https://host/owner/repository.git",
        fields={"source.git.url": why},
    )


def _field(field: str, value: str, wanted: str) -> InvalidError:
    return InvalidError(f"{value[:80]!r} is wrong: {field} takes {wanted}.", code="invalid", fields={field: wanted})
