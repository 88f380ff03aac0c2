"""Whether what a source depends on stands in more files than those that are always looked at. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from skep.kernel import bounded_toml
from skep.product.images.fetch.inside import MAX_TEXT
from skep.product.images.model import Install, Recognised, SourceListing
from skep.product.images.planning import manifests


def lead_elsewhere(listing: SourceListing, recognised: Recognised, project: Mapping[str, Any]) -> bool:
    """Tell whether what is needed may depend on files whose content is not known by a hash.

    Args:
        listing: the source.
        recognised: what a framework made of it.
        project: its pyproject.toml.
    """
    if recognised.install is Install.PACKAGE:
        return True
    if recognised.install is Install.PYPROJECT and _of_backend(project):
        return True
    added = replace(listing, texts={"requirements.txt": "\n".join(recognised.requirements)})
    if manifests.python_leads_elsewhere(added, Install.REQUIREMENTS, {}):
        return True
    return any(_leads(listing, file) for file in recognised.requirement_files)


def lists(recognised: Recognised) -> tuple[str, ...]:
    """Return the files that are lists of requirements, which may pin files by their hashes."""
    own = ("requirements.txt",) if recognised.install is Install.REQUIREMENTS else ()
    return (*own, *(file for file in recognised.requirement_files if not file.endswith(".toml")))


def _leads(listing: SourceListing, file: str) -> bool:
    text = listing.texts.get(file)
    if file not in listing.hashes or text is None:
        return True
    if not file.endswith(".toml"):
        only = replace(listing, texts={"requirements.txt": text})
        return manifests.python_leads_elsewhere(only, Install.REQUIREMENTS, {})
    try:
        project = bounded_toml.loads(text, limit=MAX_TEXT)
    except bounded_toml.TomlError:
        return True
    return _of_backend(project) or manifests.python_leads_elsewhere(listing, Install.PYPROJECT, project)


def _of_backend(project: Mapping[str, Any]) -> bool:
    """Tell whether a build backend says what is needed, from files that only it knows; Poetry's are known."""
    if manifests.table(project, "project"):
        return False
    poetry = manifests.table(project, "tool", "poetry", "dependencies")
    return not poetry or any(not isinstance(one, str) and "path" in str(one) for one in poetry.values())
