"""A server whose builds and runs are moved by hand, and an agent on it."""

import pytest
from by_hand import Builds, Worker
from launchpad import SCHEMA, crew


@pytest.fixture
def builds(db, stores, logs, hub, services):
    """Moves builds by hand."""
    return Builds(db, stores, logs, hub, services.agents)


@pytest.fixture
def worker(db, stores, logs, blobs, hub):
    """Moves runs by hand."""
    return Worker(db, stores, logs, blobs, hub)


@pytest.fixture
async def agent(admin, builds):
    """The id of an agent of ann's that is built and takes a topic and a year."""
    made = await admin("PUT", "/api/agent/create", json=crew())
    assert made.status == 200, made.text
    await builds.succeed(made.json["image"]["buildId"], SCHEMA)
    return made.json["agentId"]
