"""The installation itself."""

from skep.edge.client.nouns import Noun
from skep.edge.client.transport import PREFIX
from skep.edge.wire.runtimes import RuntimeView
from skep.edge.wire.system import DoctorReport, Ready, VersionInfo


class System(Noun):
    """Health, version, doctor."""

    async def ready(self) -> Ready:
        """Return how the server's parts are, if all answer."""
        return await self._transport.call(Ready, "GET", "/readyz")

    async def version(self) -> VersionInfo:
        """Return the server's version."""
        return await self._transport.call(VersionInfo, "GET", f"{PREFIX}/version")

    async def doctor(self) -> DoctorReport:
        """Return what is the matter with the installation."""
        return await self._transport.call(DoctorReport, "GET", f"{PREFIX}/doctor")

    async def repair(self) -> DoctorReport:
        """Mend what can be mended, and return what is left."""
        return await self._transport.call(DoctorReport, "POST", f"{PREFIX}/doctor/repair")

    async def runtimes(self) -> list[RuntimeView]:
        """Return what can run agents there."""
        return (await self._page(RuntimeView, "/runtimes")).items
