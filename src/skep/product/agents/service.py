"""Agents: made, changed, built, removed. Each version of one is an image with a configuration, and stays."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from skep.kernel.clock import Clock, to_ms
from skep.kernel.database import Also, Database, Tx
from skep.kernel.errors import ConflictError, InvalidError, NotFoundError
from skep.kernel.ids import IdSource, has_prefix
from skep.kernel.paging import Page, PageQuery
from skep.product.access.model import Principal, Scope
from skep.product.access.service import AccessService, require
from skep.product.agents import polls
from skep.product.agents.effective import effective
from skep.product.agents.machine import (
    changed,
    check_config,
    check_name,
    derive_name,
    is_stale,
    numbered,
    status,
)
from skep.product.agents.model import (
    Agent,
    AgentChange,
    AgentConfig,
    AgentId,
    AgentLimits,
    AgentView,
    NewAgent,
    Version,
    VersionId,
)
from skep.product.agents.ports import AgentStore, Builds, VersionListener
from skep.product.images.model import Build, BuildStatus, Failure, Image, ImageId, Source, UploadSource
from skep.product.images.ports import ImageStore
from skep.product.sandboxes.model import Isolation

PREFIX = "agt"
#: Pages that a listing looks through when it filters by the derived status.
_MAX_PAGES = 20
_UNFINISHED = (BuildStatus.QUEUED, BuildStatus.RUNNING)


def find_agent(tx: Tx, store: AgentStore, project_id: str, id_or_name: str) -> Agent:
    """Return the living agent of this id or name; `NotFoundError` if the project has none."""
    if has_prefix(id_or_name, PREFIX):
        agent = store.get(tx, AgentId(id_or_name))
    else:
        agent = store.by_name(tx, project_id, id_or_name)
    if agent is None or agent.project_id != project_id or agent.removed_ms is not None:
        raise NotFoundError(
            f"There is no agent {id_or_name[:100]}.", code="agent_not_found", hint="skep agents lists those there are."
        )
    return agent


def newest_success(tx: Tx, images: ImageStore, agent: Agent) -> Build | None:
    """Return the newest build that succeeded: what the agent runs was made by it."""
    asked = PageQuery(limit=1, status=(BuildStatus.SUCCEEDED.value,))
    return next(iter(images.builds(tx, agent.project_id, agent.id, asked).items), None)


class AgentService:
    """The verbs of agents; it is also told when a build ends."""

    def __init__(
        self,
        db: Database,
        store: AgentStore,
        images: ImageStore,
        builds: Builds,
        access: AccessService,
        clock: Clock,
        ids: IdSource,
        limits: AgentLimits,
        *,
        isolations: Collection[Isolation] = (Isolation.CONTAINER,),
        listeners: Sequence[VersionListener] = (),
        check_source: Callable[[Source], None] = lambda _: None,
    ) -> None:
        self._db = db
        self._store = store
        self._images = images
        self._builds = builds
        self._access = access
        self._clock = clock
        self._ids = ids
        self._limits = limits
        self._isolations = frozenset(isolations)
        self._listeners = listeners
        self._check_source = check_source

    # ---- looking

    async def get(self, principal: Principal, id_or_name: str) -> AgentView:
        """Return the agent of this id or name."""
        require(principal, Scope.READ)
        return await self._db.read(lambda tx: self._view(tx, self._find(tx, principal, id_or_name)))

    async def all(self, principal: Principal, query: PageQuery, *, owner: str | None = None) -> Page[AgentView]:
        """List the project's agents, or one owner's, newest first; `query.status` holds words of `AgentStatus`."""
        require(principal, Scope.READ)
        return await self._db.read(lambda tx: self._all(tx, principal, query, owner))

    async def owned(self, principal: Principal, owner: str, title: str) -> AgentView | None:
        """Return the agent that was made for *owner* under this title."""
        require(principal, Scope.READ)

        def work(tx: Tx) -> AgentView | None:
            agent = self._store.owned(tx, principal.project_id, owner, title)
            return None if agent is None else self._view(tx, agent)

        return await self._db.read(work)

    async def builds(self, principal: Principal, id_or_name: str, query: PageQuery) -> Page[Build]:
        """List the agent's builds, newest first."""
        require(principal, Scope.READ)

        def work(tx: Tx) -> Page[Build]:
            agent = self._find(tx, principal, id_or_name)
            return self._images.builds(tx, agent.project_id, agent.id, query)

        return await self._db.read(work)

    async def versions(self, principal: Principal, id_or_name: str, query: PageQuery) -> Page[Version]:
        """List the agent's versions, newest first."""
        require(principal, Scope.READ)
        return await self._db.read(lambda tx: self._store.versions(tx, self._find(tx, principal, id_or_name).id, query))

    # ---- acting

    async def create(self, principal: Principal, new: NewAgent, also: Also[AgentView] | None = None) -> AgentView:
        """Make an agent; it cannot run until it was built.

        Raises:
            InvalidError: name, source or configuration are not good; `fields` says what.
            ConflictError: `name_taken`.
        """
        require(principal, Scope.OPERATE)
        if new.name:
            check_name(new.name)
        self._check(new.source, new.config)
        now_ms = to_ms(self._clock.now())
        agent = Agent(
            id=AgentId(self._ids.new(PREFIX, now_ms)),
            project_id=principal.project_id,
            name=new.name,
            title=new.title,
            owner=new.owner,
            kind=new.kind,
            source=new.source,
            config=new.config,
            poll_s=polls.checked(new.poll_s, new.source),
            poll_due_ms=None if new.poll_s is None else now_ms,
            created_ms=now_ms,
            updated_ms=now_ms,
        )

        def work(tx: Tx) -> AgentView:
            self._check_upload(tx, principal, new.source)
            name = new.name or self._free_name(tx, principal.project_id, derive_name(new.source))
            named = replace(agent, name=name, title=new.title or name)
            self._store.insert(tx, named)
            self._access.record(tx, principal, "agent.create", named.id, name=name)
            self._record_env_secrets(tx, principal, named, AgentConfig())
            view = self._view(tx, named)
            if also is not None:
                also(tx, view)
            return view

        return await self._db.write(work)

    async def change(self, principal: Principal, id_or_name: str, change: AgentChange) -> AgentView:
        """Change an agent; another configuration is the next version, if there is an image already."""
        require(principal, Scope.OPERATE)
        if change.name is not None:
            check_name(change.name)

        def work(tx: Tx) -> AgentView:
            agent = self._find(tx, principal, id_or_name)
            if change.source is not None:
                self._check_upload(tx, principal, change.source)
            config = changed(agent.config, change)
            self._check(change.source, config)
            after = replace(
                agent,
                name=agent.name if change.name is None else change.name,
                title=agent.title if change.title is None else change.title,
                source=agent.source if change.source is None else change.source,
                config=config,
                updated_ms=to_ms(self._clock.now()),
            )
            after = polls.changed(after, agent, change.poll_s)
            self._access.record(tx, principal, "agent.change", agent.id, name=after.name, changed=_names(agent, after))
            self._record_env_secrets(tx, principal, after, agent.config)
            current = self._version(tx, agent)
            if current is not None and config != agent.config:
                after = self._next_version(tx, after, current.image_id, self._images.image(tx, current.image_id))
            else:
                self._store.save(tx, after)
            return self._view(tx, after)

        return await self._db.write(work)

    async def remove(self, principal: Principal, id_or_name: str) -> None:
        """Remove an agent: what goes on is cancelled, its name is free again, its history stays."""
        require(principal, Scope.OPERATE)

        def work(tx: Tx) -> Build | None:
            agent = self._find(tx, principal, id_or_name)
            now_ms = to_ms(self._clock.now())
            removed = replace(agent, removed_ms=now_ms, updated_ms=now_ms)
            self._store.save(tx, removed)
            self._access.record(tx, principal, "agent.remove", agent.id, name=agent.name)
            for listener in self._listeners:
                listener.agent_removed(tx, removed)
            return self._build(tx, agent)

        latest = await self._db.write(work)
        if latest is not None and latest.status in _UNFINISHED:
            try:
                await self._builds.cancel(principal, latest.id)
            except (ConflictError, NotFoundError):
                return  # it ended meanwhile

    async def build(
        self,
        principal: Principal,
        id_or_name: str,
        *,
        source: Source | None = None,
        upgrade: bool = False,
        also: Also[Build] | None = None,
    ) -> Build:
        """Begin a build of the agent's source, or of *source*, which then is the agent's.

        With *upgrade* it takes the newest packages that the source allows; a lock of the source's own still holds.
        """
        require(principal, Scope.OPERATE)
        if source is not None:
            self._check_source(source)

        def work(tx: Tx) -> Build:
            agent = self._find(tx, principal, id_or_name)
            wanted = agent.source if source is None else source
            self._check_upload(tx, principal, wanted)
            build = self._builds.begin(
                tx,
                project_id=agent.project_id,
                agent_id=agent.id,
                source=wanted,
                command=agent.config.command,
                upgrade=upgrade,
            )
            now_ms = to_ms(self._clock.now())
            self._store.save(tx, replace(polls.moved(agent, wanted), build_id=build.id, updated_ms=now_ms))
            self._access.record(tx, principal, "agent.build", agent.id, name=agent.name, build=build.id)
            if also is not None:
                also(tx, build)
            return build

        return await self._db.write(work)

    # ---- being told (images.ports.BuildListener)

    def build_ended(self, tx: Tx, build: Build, image: Image | None) -> None:
        """Make the next version of what was built, or tell those who wait that there is none."""
        agent = self._store.get(tx, AgentId(build.agent_id))
        if agent is None or agent.removed_ms is not None:
            return
        latest = build if agent.build_id in (None, build.id) else self._build(tx, agent)
        if image is not None:
            if not is_stale(build, newest_success(tx, self._images, agent)):
                self._next_version(tx, agent, image.id, image)
        elif agent.version_id is None and latest is not None and (latest.id == build.id or latest.ended_ms is not None):
            failure = build.failure or Failure(code="build_cancelled", message="The agent's build was cancelled.")
            for listener in self._listeners:
                listener.build_failed(tx, agent, failure)

    # ---- parts

    def _next_version(self, tx: Tx, agent: Agent, image_id: ImageId, image: Image | None) -> Agent:
        now_ms = to_ms(self._clock.now())
        config = agent.config if image is None else effective(agent.config, image.recognised)
        version = Version(
            id=VersionId(self._ids.new("ver", now_ms)),
            agent_id=agent.id,
            project_id=agent.project_id,
            number=self._store.next_number(tx, agent.id),
            image_id=image_id,
            config=config,
            created_ms=now_ms,
        )
        self._store.insert_version(tx, version)
        after = replace(agent, version_id=version.id, updated_ms=now_ms)
        self._store.save(tx, after)
        for listener in self._listeners:
            listener.version_ready(tx, after, version)
        return after

    def _all(self, tx: Tx, principal: Principal, query: PageQuery, owner: str | None) -> Page[AgentView]:
        found: list[AgentView] = []
        asked = replace(query, status=())
        for _ in range(_MAX_PAGES):
            page = self._store.all(tx, principal.project_id, asked, owner=owner)
            for agent in page.items:
                view = self._view(tx, agent)
                if query.status and view.status not in query.status:
                    continue
                found.append(view)
                if len(found) == query.limit:
                    more = page.next is not None or agent is not page.items[-1]
                    return Page(items=found, next=agent.id if more else None)
            asked = replace(asked, cursor=page.next)
            if page.next is None:
                break
        return Page(items=found, next=asked.cursor)

    def _find(self, tx: Tx, principal: Principal, id_or_name: str) -> Agent:
        return find_agent(tx, self._store, principal.project_id, id_or_name)

    def _view(self, tx: Tx, agent: Agent) -> AgentView:
        build = self._build(tx, agent)
        return AgentView(agent=agent, status=status(agent, build), version=self._version(tx, agent), build=build)

    def _version(self, tx: Tx, agent: Agent) -> Version | None:
        return None if agent.version_id is None else self._store.version(tx, agent.version_id)

    def _build(self, tx: Tx, agent: Agent) -> Build | None:
        return None if agent.build_id is None else self._images.build(tx, agent.build_id)

    def _check(self, source: Source | None, config: AgentConfig) -> None:
        if source is not None:
            self._check_source(source)
        check_config(config, self._limits)
        if config.isolation not in self._isolations:
            there = ", ".join(sorted(self._isolations))
            raise InvalidError(
                f"The isolation {config.isolation.value} is not there on this machine; there is: {there}.",
                code="isolation_unavailable",
                hint="skep doctor says what is active.",
                fields={"isolation": f"must be one of: {there}"},
            )

    def _check_upload(self, tx: Tx, principal: Principal, source: Source) -> None:
        if not isinstance(source, UploadSource):
            return
        upload = self._images.upload(tx, source.upload_id)
        if upload is None or upload.project_id != principal.project_id:
            raise NotFoundError(f"There is no upload {source.upload_id[:100]}.", code="upload_not_found")

    def _free_name(self, tx: Tx, project_id: str, name: str) -> str:
        if self._store.by_name(tx, project_id, name) is None:
            return name
        for number in range(2, 1000):
            if self._store.by_name(tx, project_id, candidate := numbered(name, number)) is None:
                return candidate
        raise ConflictError(f"The name {name} and its numbers are taken.", code="name_taken", hint="Give a name.")

    def _record_env_secrets(self, tx: Tx, principal: Principal, agent: Agent, before: AgentConfig) -> None:
        """Write down which secrets an agent gets in its environment: that is weaker than a file."""
        for name, secret in agent.config.env_from_secret.items():
            if before.env_from_secret.get(name) != secret:
                self._access.record(tx, principal, "agent.env_from_secret", agent.id, variable=name, secret=secret)


def _names(before: Agent, after: Agent) -> list[str]:
    """Return which of an agent's fields differ; values stay out of the audit log."""
    own = [name for name in ("name", "title", "source", "poll_s") if getattr(before, name) != getattr(after, name)]
    config = [name for name in AgentConfig.__slots__ if getattr(before.config, name) != getattr(after.config, name)]
    return own + config
