"""Documents of an npm registry ("packuments"): the addresses of their files made the door's. Pure."""

import base64
import binascii
import json
import re
from collections.abc import Callable
from typing import Any

from skep.kernel.errors import InvalidError
from skep.product.gateway.mirror import bounded_json
from skep.product.gateway.mirror.door_paths import Place, file_path, place_of

#: The abbreviated form, which has all that an installation needs.
SHORT = "application/vnd.npm.install-v1+json"

_NAME = re.compile(r"(?:@[a-z0-9~][a-z0-9._~-]*/)?[a-zA-Z0-9_~][a-zA-Z0-9._~-]*")
_MAX_NAME = 214
#: Of a file's path; what the registry answers about its users begins with `-`.
_SEGMENT = re.compile(r"(?!\.+$)[A-Za-z0-9@._~][A-Za-z0-9@._+~-]*|-")
_MAX_SEGMENTS = 12


def is_name(path: str) -> bool:
    """Tell whether *path* is a package's name, and nothing more."""
    return len(path) <= _MAX_NAME and _NAME.fullmatch(path) is not None


def is_file(path: str) -> bool:
    """Tell whether *path* can be a file's, `NAME/-/FILE.tgz` or what other registries have in its place."""
    parts = path.split("/")
    return 2 <= len(parts) <= _MAX_SEGMENTS and parts[0] != "-" and all(map(_SEGMENT.fullmatch, parts))


def scope(path: str) -> str:
    """Return the scope of what lies at *path*: "@corp", "" for none."""
    return next((part for part in path.split("/") if part.startswith("@")), "")


def rewritten(text: str, door: str, seal: Callable[[Place], str]) -> bytes:
    """Return the document with each version's file at *door*, named by its SHA-512 if that is known, and sealed.

    Raises:
        InvalidError: it is no such document.
    """
    page = bounded_json.loads(text, "The registry's document")
    versions: object = page.get("versions")
    if not isinstance(versions, dict):
        raise InvalidError("The registry's document lists no versions.", code="index_page_invalid")
    for version in versions.values():  # pyright: ignore[reportUnknownVariableType]
        dist = version.get("dist") if isinstance(version, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        if isinstance(dist, dict):
            _rewrite(dist, door, seal)  # pyright: ignore[reportUnknownArgumentType]
    return json.dumps(page, separators=(",", ":")).encode()


def _rewrite(dist: dict[str, Any], door: str, seal: Callable[[Place], str]) -> None:
    tarball = dist.get("tarball")
    try:
        place = place_of(tarball if isinstance(tarball, str) else "")
    except InvalidError:
        dist.pop("tarball", None)
        return
    dist["tarball"] = f"{door}/npm/-/files/{file_path(sha512(dist.get('integrity')), place, seal(place))}"


def sha512(integrity: object) -> str:
    """Return the SHA-512 of a Subresource Integrity text in hex, "" if it has none."""
    for part in integrity.split() if isinstance(integrity, str) else ():
        algorithm, _, value = part.partition("?")[0].partition("-")
        if algorithm == "sha512":
            try:
                digest = base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                continue
            if len(digest) == 64:
                return digest.hex()
    return ""
