"""A value that never shows itself."""

from typing import Generic, TypeVar

T = TypeVar("T")


class Secret(Generic[T]):
    """Wraps a value so that printing, logging or formatting it shows only asterisks."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        """Return the value; the call stands out where it is used."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('********')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        theirs: Secret[object] = other  # pyright: ignore[reportUnknownVariableType]
        return self._value == theirs.reveal()

    def __hash__(self) -> int:
        return hash(self._value)
