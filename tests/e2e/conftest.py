"""Installations that are used as people use them: one on SQLite, one on PostgreSQL, and a git server beside them."""

import pytest
from user import User

from skep.testing.git_server import serve_git
from skep.testing.installation import installation
from skep.testing.postgres import Databases, PostgresServer


@pytest.fixture(scope="session")
def git(tmp_path_factory):
    """A git server over HTTP."""
    with serve_git(tmp_path_factory.mktemp("git")) as server:
        yield server


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def skep(request, git):
    """An installation on each database; limits are small where tests want to pass them."""
    environment = {
        "SKEP_GIT_HTTP_HOSTS": f"{git.host},127.0.0.1:9",
        "SKEP_EGRESS_ALLOW_PRIVATE": f"{git.host},127.0.0.1:9",
        "SKEP_SOURCE_LIMIT_MB": "2",
        "SKEP_OUTPUT_LIMIT_MB": "1",
    }
    if request.param == "sqlite":
        with installation(**environment) as made:
            yield made
        return
    with PostgresServer(for_all=True) as server:
        databases = Databases(server.url)
        with databases.empty() as url, installation(SKEP_DATABASE_URL=url, **environment) as made:
            yield made
        databases.close()


@pytest.fixture
def user(skep):
    """The installation's admin."""
    return User(url=skep.url, token=skep.token)
