"""The routes, a file per noun."""

from skep.edge.api.routes import (
    agents,
    builds,
    hooks,
    hosts,
    images,
    output,
    projects,
    runs,
    runtimes,
    secrets,
    system,
    tokens,
)

#: All routers, in the order of the documentation.
ROUTERS = (
    agents.router,
    hooks.router,
    builds.router,
    images.router,
    runs.router,
    output.router,
    tokens.router,
    projects.router,
    secrets.router,
    hosts.router,
    system.router,
    runtimes.router,
    hooks.public,
)
