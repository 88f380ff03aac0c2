"""What the upper folder of an overlay says beside its files: what was removed, replaced, or had another name before.

The kernel writes these marks, never a sandbox: nobody inside may make a device or set a `trusted` attribute. They are
checked all the same, and nothing but them is ever written into a layer (kernel: Documentation/filesystems/overlayfs).
"""

import os
import stat
from typing import Final

from skep_keeper.errors import KeeperError
from skep_keeper.vocabulary import SEALABLE

_OPAQUE: Final = "trusted.overlay.opaque"
_REDIRECT: Final = "trusted.overlay.redirect"
_WHITEOUT: Final = os.makedev(0, 0)


def is_removal(found: os.stat_result) -> bool:
    """Tell whether an entry stands for one of the layers below that was removed."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == _WHITEOUT


def mark_removed(target: str) -> None:
    """Have *target* hide what has its name in the layers below."""
    os.mknod(target, stat.S_IFCHR, _WHITEOUT)


def copy_marks(source: int, target: str) -> None:
    """Have the folder *target* hide, or take the content of, the same folder below as the open folder *source* does.

    Raises:
        KeeperError: it stands for a folder that no layer can have.
    """
    found = os.listxattr(source)
    if _OPAQUE in found and os.getxattr(source, _OPAQUE) == b"y":
        os.setxattr(target, _OPAQUE, b"y")
    if _REDIRECT in found:
        before = os.getxattr(source, _REDIRECT)
        if not is_name_in_layers(os.fsdecode(before)):
            raise KeeperError("internal", f"{target} stands for a folder outside the layers")
        os.setxattr(target, _REDIRECT, before)


def is_name_in_layers(path: str) -> bool:
    """Tell whether *path* is the name of a folder's neighbour, or leads below a folder that layers can have."""
    parts = path.strip("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        return False
    return len(parts) == 1 if not path.startswith("/") else path.startswith(tuple(f"{top}/" for top in SEALABLE))
