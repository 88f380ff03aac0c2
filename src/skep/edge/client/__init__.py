"""The Python SDK: `SkepClient(url, token)` with one attribute per noun. It knows only the wire models."""

from skep.edge.client.client import SkepClient
from skep.edge.client.errors import ApiError

__all__ = ["ApiError", "SkepClient"]
