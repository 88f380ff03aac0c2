"""Units of work."""

import pytest


async def test_write_is_read(db, stores):
    """What a unit wrote is there once it is answered."""
    from skep.product.access.model import Project

    project = Project(id="prj_1", name="a", created_ms=1)
    await db.write(lambda tx: stores.access.insert_project(tx, project))
    assert await db.read(lambda tx: stores.access.project(tx, "prj_1")) == project
    with pytest.raises(Exception):
        await db.write(lambda tx: stores.access.insert_project(tx, project))
