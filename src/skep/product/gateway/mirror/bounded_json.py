"""JSON from an index: what it takes in memory is bounded before anything is made of it. Pure.

A page of `{},{},{}` takes thirty times its size.
"""

import json
from typing import Any

from skep.kernel.errors import InvalidError

#: Objects and lists; and what stands between commas. The largest pages of the public indexes have a quarter of it.
_MAX_CONTAINERS = 1_000_000
_MAX_COMMAS = 4_000_000


def loads(text: str, what: str) -> dict[str, Any]:
    """Return the object that *text* is; *what* names it ("The index' page").

    Raises:
        InvalidError: it is none, or one of too many parts.
    """
    # Those within strings count, too: it is a bound, not a number.
    if text.count("{") + text.count("[") > _MAX_CONTAINERS or text.count(",") > _MAX_COMMAS:
        raise InvalidError(f"{what} has too many parts.", code="index_page_invalid")
    try:
        page = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{what} is no JSON.", code="index_page_invalid") from error
    return page if isinstance(page, dict) else {}  # pyright: ignore[reportUnknownVariableType]
