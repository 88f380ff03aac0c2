"""A folder's way to the server: packed, as far as the server takes it, and uploaded."""

from pathlib import Path
from tempfile import NamedTemporaryFile

from skep.edge.cli import pack, screen, sources
from skep.edge.cli.clean import clean
from skep.edge.client import SkepClient
from skep.kernel.errors import InvalidError
from skep.kernel.settings import Settings

_LEFT_OUT = "Give the folder that holds the agent's files; those that .gitignore names are left out."


async def uploaded(client: SkepClient, folder: Path, label: str, *, quiet: bool) -> str:
    """Pack and upload *folder*, and return the upload's id.

    Raises:
        TooLargeError: it is more than the server takes.
        InvalidError: there is nothing to pack, or something that cannot be.
    """
    names = pack.file_list(folder)
    if not names:
        raise _empty(label)
    limits = await _limits(client)
    with NamedTemporaryFile(suffix=".tar.gz") as archive:
        with screen.waiting("packing", quiet=quiet) as update:
            packed = pack.pack(
                folder,
                names,
                archive.file,
                limits=limits,
                progress=lambda size: update(f"packing {screen.size(size)}"),
            )
            archive.flush()
            for name in packed.left_out:
                screen.say(f"left out: {clean(name)}, which is neither a file nor a link", style="yellow")
            if not packed.files:
                raise _empty(label)
            update(f"uploading {screen.size(Path(archive.name).stat().st_size)}")
            upload = await client.uploads.create(lambda: sources.read(Path(archive.name)))
        if not quiet:
            screen.say(f"uploaded {screen.count(packed.files, 'file')}, {screen.size(packed.size)}", style="dim")
    return upload.id


def _empty(label: str) -> InvalidError:
    return InvalidError(f"{label} is empty: there is no file to deploy", code="empty_folder", hint=_LEFT_OUT)


async def _limits(client: SkepClient) -> pack.Limits:
    """Return what the server takes; the settings of this machine stand in for what it does not tell."""
    told, here = await client.system.version(), Settings()
    return pack.Limits(
        packed_mb=told.upload_limit_mb or here.upload_limit_mb,
        unpacked_mb=told.source_limit_mb or here.source_limit_mb,
    )
