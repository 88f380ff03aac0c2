"""Sources that only a Dockerfile says something of: refused in words until something can build them."""

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
        """Return *found*; a Dockerfile matters only where neither a framework nor a command is known.

        Raises:
            InvalidError: `dockerfile_needs_builder`.
        """
        file = next((file for file in _FILES if file in listing.files), None)
        if found is not None or file is None:
            return found
        raise InvalidError(
            f"The source is known by its {file} only, and that needs the Docker driver or a builder of images, "
            "which this installation does not have.",
            code="dockerfile_needs_builder",
            hint="Say how it is started: `command: python server.py` in skep.yaml, or give a `command`. What the "
            "Dockerfile installs by pip or npm belongs into requirements.txt, pyproject.toml or package.json.",
        )
