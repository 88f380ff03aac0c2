"""A folder of blobs, one of logs, and a disk that is soon full."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from skep.adapters.blobs import FolderBlobs, FolderLogs
from skep.kernel.events import Hub
from skep.kernel.ids import IdSource


@pytest.fixture
def ids():
    """Makes ids."""
    return IdSource()


@pytest.fixture
async def hub():
    """A hub in this loop."""
    hub = Hub()
    hub.bind(asyncio.get_running_loop())
    return hub


@pytest.fixture
async def logs(tmp_path: Path, hub: Hub):
    """Logs in a fresh folder."""
    return FolderLogs(tmp_path / "logs", hub)


@pytest.fixture
def blobs(tmp_path: Path):
    """Blobs in a fresh folder."""
    return FolderBlobs(tmp_path / "blobs")


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 128 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
