"""Where an agent's code comes from."""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from skep.edge.wire import texts
from skep.edge.wire.common import Answer, RequestBody, SecretName, Title

_Path = Annotated[str, StringConstraints(max_length=1024, pattern=texts.ONE_LINE.pattern)]
_Text = Annotated[str, StringConstraints(max_length=1_048_576, pattern=texts.NO_NUL.pattern)]
_Files = Annotated[dict[Annotated[_Path, StringConstraints(min_length=1)], _Text], Field(min_length=1, max_length=200)]
_Word = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=texts.WORD.pattern)]
_Url = Annotated[str, StringConstraints(min_length=1, max_length=2048, pattern=texts.WORD.pattern)]

MAX_INLINE_BYTES = 1_048_576


class GitBody(RequestBody):
    """A repository."""

    url: _Url
    #: Branch, tag or commit; left out means the remote's HEAD.
    ref: _Word | None = None
    #: Folder inside the repository.
    path: _Path = ""
    #: Name of the project's secret that opens it: a token (https, http) or a private key (ssh).
    secret: SecretName | None = None


class SourceBody(RequestBody):
    """Exactly one of `git`, `files`, `upload`, `image`."""

    git: GitBody | None = None
    #: Path -> text: a few files, given inline.
    files: _Files | None = None
    #: Id of an upload.
    upload: _Word | None = None
    #: Name of a container image.
    image: _Word | None = None
    #: With `upload`: the folder inside the archive.
    path: _Path = ""
    #: With `upload`: what it was made from (a folder's name, a commit); shown, never used.
    label: Title = ""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in ("git", "files", "upload", "image") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of git, files, upload, image" + (f", not {given}" if given else ""))
        if (self.path or self.label) and self.upload is None:
            raise ValueError("path and label belong to an upload (a repository has git.path)")
        if self.files is not None and sum(len(text) for text in self.files.values()) > MAX_INLINE_BYTES:
            raise ValueError("inline files are limited to 1 MiB in all; upload an archive instead")
        return self


class GitView(Answer):
    """A repository."""

    url: str
    ref: str | None = None
    path: str = ""
    #: Name of the secret that opens it.
    secret: str | None = None


class SourceView(Answer):
    """Exactly one of `git`, `files`, `upload`, `image` is not null."""

    git: GitView | None = None
    files: dict[str, str] | None = None
    upload: str | None = None
    image: str | None = None
    path: str = ""
    label: str = ""
