"""The ranges of versions that package.json writes: npm's semver, as far as `engines.node` uses it. Pure.

Read are `20`, `20.x`, `v20.1.0`, `>=18`, `<23`, `^20.1`, `~20.1`, `18 - 22`, several of them beside each other (all of
them), and those with `||` between (one of them). Pre-releases and tags (`lts/*`) are not.
"""

import re

_VERSION = r"v?(\d{1,9})(?:\.(\d{1,9}|[xX*])(?:\.(\d{1,9}|[xX*]))?)?"
_COMPARATOR = re.compile(rf"(\^|~>?|>=|<=|>|<|=)?{_VERSION}")
_HYPHEN = re.compile(rf"({_VERSION})\s+-\s+({_VERSION})")
_SPACES = re.compile(r"(\^|~>?|>=|<=|>|<|=)\s+")
_MAX = 200

Release = tuple[int, int, int]

_BOTTOM: Release = (0, 0, 0)
_TOP: Release = (10**10, 0, 0)


def satisfies(version: str, wanted: str) -> bool | None:
    """Tell whether *version* ("24.11.0") is in the range *wanted*; None if the range is none that is read here."""
    found = _parts(version.split("."))
    if len(wanted) > _MAX:
        return None
    answers = [_all(_release(found), part.strip()) for part in wanted.split("||")]
    return None if None in answers else any(answers)


def _all(release: Release, text: str) -> bool | None:
    if text in ("", "*", "x", "X", "latest", "node"):
        return True
    if hyphen := _HYPHEN.fullmatch(text):
        text = f">={hyphen[1]} <={hyphen[5]}"
    answers = [_one(release, part) for part in _SPACES.sub(r"\1", text).split()]
    return None if None in answers else all(answers)


def _one(release: Release, text: str) -> bool | None:
    match = _COMPARATOR.fullmatch(text)
    if match is None:
        return None
    parts = _parts([part for part in match.groups()[1:] if part is not None])
    low, above = _release(parts), _next(parts, len(parts))
    # The left-most part that is not zero stays; a missing one counts as any.
    fixed = next((place for place, part in enumerate(parts, 1) if part), len(parts))
    ranges = {
        ">=": (low, _TOP),
        ">": (above, _TOP),
        "<": (_BOTTOM, low),
        "<=": (_BOTTOM, above),
        "^": (low, _next(parts, fixed)),
        "~": (low, _next(parts, min(2, len(parts)))),
        "=": (low, above),
    }
    least, first_above = ranges[(match[1] or "=")[:2].replace("~>", "~")]
    return least <= release < first_above


def _parts(texts: list[str]) -> list[int]:
    """Return the numbers before the first placeholder."""
    numbers: list[int] = []
    for text in texts:
        if not text.isdecimal():
            break
        numbers.append(int(text))
    return numbers


def _release(parts: list[int]) -> Release:
    filled = [*parts, 0, 0, 0]
    return filled[0], filled[1], filled[2]


def _next(parts: list[int], count: int) -> Release:
    """Return the lowest release above all that begin with the first *count* of *parts*."""
    return _release([*parts[: count - 1], parts[count - 1] + 1])
