"""Whether an index names what a lock names: a sandbox writes locks, and sends the operator's credentials nowhere."""

from skep.kernel.errors import InvalidError
from skep.kernel.indexes import Indexes
from skep.product.gateway.mirror import simple_index
from skep.product.gateway.mirror.door_paths import place_of
from skep.product.gateway.mirror.pages import Pages
from skep.product.gateway.mirror.seals import Seals
from skep.product.gateway.mirror.shares import Share
from skep.product.gateway.model import LockedFile
from skep.product.gateway.upstream import Upstream, UpstreamError


class Naming:
    """Asks the operator's indexes, however long ago a lock was made."""

    def __init__(self, indexes: Indexes, upstream: Upstream, pages: Pages, seals: Seals) -> None:
        self._indexes = indexes
        self._upstream = upstream
        self._pages = pages
        self._seals = seals

    async def names(self, file: LockedFile, share: Share) -> bool:
        """Tell whether a page of an index names the address of *file* now; where nobody has a login nobody is asked.

        Raises:
            UpstreamError: an index cannot be asked that could have named it, and there is a login for the address.
            InvalidError: no package's file is called that, or it lies nowhere.
        """
        if not self._indexes.logins:
            return False
        place, failed = place_of(file.url), None
        # The page has the seal of each address that it names, and nobody else can make one.
        seal = f"~{self._seals.of(place)}/".encode("ascii")
        name = _project(file.filename)
        for index in self._indexes.python:
            try:
                async with share.leg:
                    page = await self._pages.python(f"{index.rstrip('/')}/{name}/", name)
            except UpstreamError as error:
                failed = failed or (error if error.status != 404 else None)
                continue
            if seal in page:
                return True
        if failed is not None and self._upstream.has_login(place):
            raise failed
        return False


def _project(filename: str) -> str:
    name, dash, _ = filename.partition("-") if filename.endswith(".whl") else filename.rpartition("-")
    if not dash:
        raise InvalidError("It is no file of a package.", code="address_invalid")
    return simple_index.normalised(name)
