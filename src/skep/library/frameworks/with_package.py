"""Python programs that stand on a package: what they share is that the package, by name, is what makes them one."""

from collections.abc import Mapping
from types import MappingProxyType

from skep.library.frameworks import pyproject, python
from skep.product.images.model import Recognised, SourceListing


class WithPackage:
    """Recognises a Python program that depends on one of some packages; it is started like any other."""

    #: A plain Python program, only more closely known.
    over: tuple[str, ...] = ("python",)
    reads: tuple[str, ...] = pyproject.READS

    def __init__(
        self, name: str, order: int, packages: tuple[str, ...], env: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.name = name
        self.order = order
        self.looks_for = f"a Python program that depends on {' or '.join(packages)}"
        self._packages = packages
        self._env = env

    def recognise(self, listing: SourceListing) -> Recognised | None:
        """Return how the program is installed and started, or None if it is none of these.

        Raises:
            InvalidError: pyproject.toml is wrong.
        """
        project = pyproject.read(listing)
        package = next((one for one in self._packages if one in project.dependencies), None)
        found = python.start(listing, project)
        if package is None or found is None:
            return None
        command, evidence = found
        return Recognised(
            framework=self.name,
            evidence=(f"{package} in {project.dependencies[package]}", evidence, *python.other_files(project)),
            command=command,
            requires_python=project.requires_python,
            install=project.install,
            requirement_files=project.requirement_files,
            env=self._env,
            notices=project.notices,
        )
