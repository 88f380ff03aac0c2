"""Sources that only a Dockerfile says something of: refused in words until something can build them."""

from dataclasses import replace

from skep.kernel.errors import InvalidError
from skep.product.images.model import Recognised, SourceListing

_FILES = ("Dockerfile", "Containerfile")


class Dockerfile:
    """Recognises nothing that could be built: it is asked last, and says what a Dockerfile needs."""

    name = "dockerfile"
    order = 1000
    reads: tuple[str, ...] = ()
    looks_for = "a Dockerfile (which this installation cannot build yet)"

    def recognise(self, listing: SourceListing) -> Recognised | None:
        """Return None: a Dockerfile stands beside many projects that are known by more."""
        del listing

    def override(self, listing: SourceListing, found: Recognised | None) -> Recognised | None:
        """Return *found*, with the notice that the Dockerfile is not used; without *found* there is nothing to start.

        Raises:
            InvalidError: `dockerfile_needs_builder`.
        """
        file = next((file for file in _FILES if file in listing.files), None)
        if file is None:
            return found
        if found is not None:
            unused = f"{file} is not used: this installation cannot build it, and goes by what else there is"
            return replace(found, notices=(*found.notices, unused))
        raise InvalidError(
            f"The source is known by its {file} only, and that needs the Docker driver or a builder of images, "
            "which this installation does not have.",
            code="dockerfile_needs_builder",
            hint="Say how it is started: `command: python server.py` in skep.yaml, or give a `command`. What the "
            "Dockerfile installs by pip or npm belongs into requirements.txt, pyproject.toml or package.json.",
        )
