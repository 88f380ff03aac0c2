"""Pages of a Python package index: PEP 503 (HTML) and PEP 691 (JSON) in, PEP 691 with other addresses out. Pure.

What a page says is an index's word: it is read leniently where it says too little, and what is no file is left out.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from skep.kernel.errors import InvalidError
from skep.product.gateway.mirror import bounded_json
from skep.product.gateway.mirror.anchors import MAX_LINKS, links

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
#: What an index is asked for: JSON, else HTML of either kind.
ACCEPT = f"{JSON_TYPE}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,198}[A-Za-z0-9])?")
_FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,250}")
_FRAGMENT = re.compile(r"(?P<algorithm>[a-z0-9]+)=(?P<hex>[0-9a-fA-F]+)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexFile:
    """One file of a project."""

    filename: str
    #: Absolute, without a fragment.
    url: str
    #: By algorithm, lower-case hex.
    hashes: Mapping[str, str] = field(default_factory=dict[str, str])
    requires_python: str | None = None
    yanked: bool | str = False
    size: int | None = None
    upload_time: str | None = None
    #: Whether `url` + ".metadata" is there (PEP 658, 714), with its hashes if they are known.
    metadata: bool | Mapping[str, str] = False


def normalised(name: str) -> str:
    """Return the one spelling of a project's name (PEP 503).

    Raises:
        InvalidError: no project is called that.
    """
    if not _NAME.fullmatch(name):
        raise InvalidError("It is no name of a package.", code="package_name_invalid")
    return re.sub(r"[-_.]+", "-", name).lower()


def is_filename(text: str) -> bool:
    """Tell whether a wheel or an sdist may be called *text*."""
    return _FILENAME.fullmatch(text) is not None


def sha256(hashes: Mapping[str, str] | bool) -> str:
    """Return the SHA-256 among *hashes*, "" if there is none that is one."""
    found = "" if isinstance(hashes, bool) else hashes.get("sha256", "")
    return found if _SHA256.fullmatch(found) else ""


def parse(content_type: str, text: str, page_url: str) -> list[IndexFile]:
    """Read a project's page; relative addresses are relative to *page_url*.

    Raises:
        InvalidError: it is no page of an index.
    """
    return parse_json(text, page_url) if "json" in content_type.lower() else parse_html(text, page_url)


def parse_json(text: str, page_url: str) -> list[IndexFile]:
    """Read PEP 691.

    Raises:
        InvalidError: it is something else.
    """
    files: object = bounded_json.loads(text, "The index' page").get("files")
    if not isinstance(files, list):
        raise InvalidError("The index' page lists no files.", code="index_page_invalid")
    if len(files) > MAX_LINKS:  # pyright: ignore[reportUnknownArgumentType]
        raise InvalidError(f"The index' page lists more than {MAX_LINKS} files.", code="index_page_invalid")
    found = (_from_json(entry, page_url) for entry in files)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return [file for file in found if file is not None]


def _from_json(entry: Any, page_url: str) -> IndexFile | None:
    if not isinstance(entry, dict):
        return None
    item: dict[str, Any] = entry  # pyright: ignore[reportUnknownVariableType]
    filename, url = item.get("filename"), item.get("url")
    address = _absolute(page_url, url)
    if not isinstance(filename, str) or not is_filename(filename) or not address:
        return None
    metadata = next(
        (item[key] for key in ("core-metadata", "dist-info-metadata", "data-dist-info-metadata") if key in item), False
    )
    yanked, size = item.get("yanked", False), item.get("size")
    return IndexFile(
        filename=filename,
        url=address,
        hashes=_hashes(item.get("hashes")),
        requires_python=_text(item.get("requires-python")),
        yanked=yanked if isinstance(yanked, bool | str) else False,
        size=size if isinstance(size, int) and size >= 0 else None,
        upload_time=_text(item.get("upload-time")),
        metadata=_hashes(metadata) or bool(metadata),
    )


def parse_html(text: str, page_url: str) -> list[IndexFile]:
    """Read PEP 503: each link is a file, its hash is the fragment.

    Raises:
        InvalidError: it has too many.
    """
    page = links(text)
    base = (_absolute(page_url, page.base) or page_url) if page.base else page_url
    found = (_from_anchor(attributes, base) for attributes in page.found)
    return [file for file in found if file is not None]


def _from_anchor(attributes: Mapping[str, str], base: str) -> IndexFile | None:
    url = _absolute(base, attributes["href"])
    filename = unquote(urlsplit(url).path.rpartition("/")[2])
    if not url or not is_filename(filename):
        return None
    fragment = _FRAGMENT.fullmatch(attributes["href"].strip().partition("#")[2])
    metadata = attributes.get("data-core-metadata", attributes.get("data-dist-info-metadata"))
    return IndexFile(
        filename=filename,
        url=url,
        hashes={fragment["algorithm"]: fragment["hex"].lower()} if fragment else {},
        requires_python=attributes.get("data-requires-python") or None,
        yanked=(attributes["data-yanked"] or True) if "data-yanked" in attributes else False,
        metadata=_from_attribute(metadata),
    )


def _from_attribute(metadata: str | None) -> bool | Mapping[str, str]:
    if metadata is None or metadata.lower() == "false":
        return False
    match = _FRAGMENT.fullmatch(metadata)
    return {match["algorithm"]: match["hex"].lower()} if match else True


def render(name: str, files: Sequence[IndexFile], rewrite: Callable[[IndexFile], str | None]) -> bytes:
    """Write PEP 691, each file at the address that *rewrite* gives it; without one it is left out."""
    found = [(file, rewrite(file)) for file in files]
    entries = [_entry(file, url) for file, url in found if url is not None]
    page = {"meta": {"api-version": "1.0"}, "name": name, "files": entries}
    return json.dumps(page, separators=(",", ":")).encode()


def _entry(file: IndexFile, url: str) -> dict[str, Any]:
    optional = {
        "requires-python": file.requires_python,
        "size": file.size,
        "upload-time": file.upload_time,
        "core-metadata": file.metadata or None,
        "yanked": file.yanked or None,
    }
    said = {key: value for key, value in optional.items() if value is not None}
    return {"filename": file.filename, "url": url, "hashes": dict(file.hashes), **said}


def _absolute(base: str, url: object) -> str:
    try:
        return urljoin(base, url.strip()).partition("#")[0] if isinstance(url, str) else ""
    except ValueError:
        return ""


def _hashes(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    items: dict[object, object] = value  # pyright: ignore[reportUnknownVariableType]
    return {key: text.lower() for key, text in items.items() if isinstance(key, str) and isinstance(text, str)}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
