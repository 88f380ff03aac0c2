"""Blobs and logs as files below one folder."""

from skep.adapters.blobs.blobs import FolderBlobs
from skep.adapters.blobs.files import free_bytes
from skep.adapters.blobs.logs import FolderLogs

__all__ = ["FolderBlobs", "FolderLogs", "free_bytes"]
