"""A process that commits as fast as it can and says what was acknowledged, until it is killed.

Run by `test_crashes.py`: `python committer.py PLACE WRITERS`. Prints the number of each acknowledged unit on a line.
"""

import asyncio
import os
import sys
from dataclasses import replace
from itertools import count

from skep.adapters.storage.database import SqlDatabase
from skep.adapters.storage.stores import make_stores
from skep.testing import samples


async def main(place: str, writers: int) -> None:
    """Commit for ever."""
    numbers = count()
    async with SqlDatabase.open(place) as db:
        audit = make_stores(db.dialect, lambda: 0).audit

        async def write_for_ever() -> None:
            while True:
                n = next(numbers)
                entry = replace(samples.AUDIT_ENTRY, id=f"aud_{n:08}")
                await db.write(lambda tx, entry=entry: audit.append(tx, entry))
                os.write(1, f"{n}\n".encode())

        await asyncio.gather(*(write_for_ever() for _ in range(writers)))


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
