"""The five fields of cron, as far as they can be judged without a clock."""

import re

_FIELDS: tuple[tuple[str, int, int], ...] = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of the month", 1, 31),
    ("month", 1, 12),
    ("day of the week", 0, 7),
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES = {
    "month": {name: at for at, name in enumerate(_MONTHS, 1)},
    "day of the week": {name: at for at, name in enumerate(_DAYS)},
}
_LONGEST = 200
_PART = re.compile(r"(?:\*|([0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?)(?:/([0-9]{1,2}))?")


def wrong(text: str) -> str | None:
    """Return the sentence that says what is wrong with a schedule, or None if it is one."""
    if len(text) > _LONGEST:
        return f"`schedule` has {len(text)} characters; at most {_LONGEST} are taken"
    fields = text.split()
    if len(fields) != len(_FIELDS):
        many = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
        return f"`{' '.join(fields)[:40] or 'schedule'}` has {many}; expected five, like `0 9 * * 1-5`"
    for said, (name, low, high) in zip(fields, _FIELDS, strict=True):
        for part in said.lower().split(","):
            if not _is_part(part, name, low, high):
                return (
                    f"`schedule` has {part[:40]!r} for the {name}; expected *, {low} to {high}, a range, a list, or */n"
                )
    return None


def _is_part(part: str, name: str, low: int, high: int) -> bool:
    found = _PART.fullmatch(part)
    if found is None or found[3] == "0":
        return False
    names = _NAMES.get(name, {})
    ends = [int(end) if end.isdigit() else names.get(end, -1) for end in found.groups()[:2] if end is not None]
    return all(low <= end <= high for end in ends) and ends == sorted(ends)
