"""What the services give becomes shapes of answers."""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from skep.edge.wire import access, agents, builds, common, repositories, runs, secrets, sources, system
from skep.kernel.clock import from_ms
from skep.kernel.paging import Page
from skep.product.access.model import AuditEntry, Project, Token
from skep.product.agents.model import Agent, AgentConfig, AgentView, Version
from skep.product.blobs.model import LogFrame
from skep.product.images.model import (
    Build,
    Declared,
    Explanation,
    Failure,
    FilesSource,
    GitSource,
    ImageSource,
    Recognised,
    Resources,
    Source,
    Upload,
    UploadSource,
)
from skep.product.runs.model import Artifact, News, Question, Run, RunEvent
from skep.product.sandboxes.doctor import Finding
from skep.product.secrets.model import SecretInfo

T = TypeVar("T")
V = TypeVar("V", bound=BaseModel)

#: pydantic writes 255 levels.
_DEEPEST = 200


def listing(page: Page[T], item: Callable[[T], V]) -> common.Listing[V]:
    """Render a page."""
    return common.Listing(items=[item(thing) for thing in page.items], next=page.next)


def moment(milliseconds: int | None) -> datetime | None:
    """Render a time that may not have come yet."""
    return None if milliseconds is None else from_ms(milliseconds)


def failure(found: Failure | None) -> common.FailureView | None:
    """Render why something failed."""
    return None if found is None else common.FailureView(code=found.code, message=found.message, hint=found.hint)


def source(given: Source) -> sources.SourceView:
    """Render where code comes from."""
    match given:
        case GitSource():
            return sources.SourceView(
                git=sources.GitView(url=given.url, ref=given.ref, path=given.path, secret=given.secret or None)
            )
        case FilesSource():
            return sources.SourceView(files=dict(given.files))
        case UploadSource():
            return sources.SourceView(upload=given.upload_id, path=given.path, label=given.label)
        case ImageSource():
            return sources.SourceView(image=given.name)


def resources(given: Resources) -> common.ResourcesView:
    """Render what a run may use."""
    return common.ResourcesView(
        cpus=given.cpus,
        memory_mb=given.memory_mb,
        disk_mb=given.disk_mb,
        pids=given.pids,
        timeout_s=given.timeout_s,
    )


def config(given: AgentConfig) -> agents.ConfigView:
    """Render how an agent runs."""
    return agents.ConfigView(
        command=list(given.command),
        env=dict(given.env),
        secrets=list(given.secrets),
        env_from_secret=dict(given.env_from_secret),
        resources=resources(given.resources),
        isolation=given.isolation,
        egress=list(given.egress),
        inputs_schema=None if given.inputs_schema is None else dict(given.inputs_schema),
        max_attempts=given.max_attempts,
    )


def version(given: Version) -> agents.VersionView:
    """Render a version."""
    return agents.VersionView(
        id=given.id,
        agent_id=given.agent_id,
        number=given.number,
        image_id=given.image_id,
        config=config(given.config),
        created_at=from_ms(given.created_ms),
    )


def agent(view: AgentView) -> agents.AgentView:
    """Render an agent."""
    shown: dict[str, Any] = {name: getattr(config(view.agent.config), name) for name in agents.ConfigView.model_fields}
    return agents.AgentView(
        **shown,
        id=view.agent.id,
        project_id=view.agent.project_id,
        name=view.agent.name,
        title=view.agent.title,
        owner=view.agent.owner,
        kind=view.agent.kind,
        status=view.status,
        source=source(view.agent.source),
        version=None if view.version is None else version(view.version),
        build=None if view.build is None else build(view.build),
        poll=_poll(view.agent),
        looked=_looked(view.agent),
        created_at=from_ms(view.agent.created_ms),
        updated_at=from_ms(view.agent.updated_ms),
    )


def _poll(agent: Agent) -> repositories.PollView | None:
    if agent.poll_s is None:
        return None
    return repositories.PollView(every_s=agent.poll_s, due_at=moment(agent.poll_due_ms))


def _looked(agent: Agent) -> repositories.LookedView | None:
    seen = agent.looked
    if seen is None:
        return None
    return repositories.LookedView(
        at=from_ms(seen.at_ms), commit=seen.commit or None, failures=seen.failures, error=failure(seen.failure)
    )


def recognised(found: Recognised) -> builds.RecognisedView:
    """Render what a source turned out to be."""
    return builds.RecognisedView(
        framework=found.framework,
        evidence=list(found.evidence),
        command=list(found.command),
        language=found.language.value,
        requires_python=found.requires_python,
        requires_node=found.requires_node,
        install=found.install.value,
        requirements=list(found.requirements),
        requirement_files=list(found.requirement_files),
        prepare=[list(command) for command in found.prepare],
        inputs_schema=None if found.inputs_schema is None else dict(found.inputs_schema),
        env=dict(found.env),
        secrets=list(found.secrets),
        resources=resources(found.resources),
        declared=declared(found.declared),
        notices=list(found.notices),
    )


def declared(given: Declared) -> builds.DeclaredView:
    """Render what a source says of itself beside that."""
    health = given.health
    return builds.DeclaredView(
        name=given.name,
        kind=given.kind,
        port=given.port,
        health=health and builds.HealthView(path=health.path, interval_s=health.interval_s, timeout_s=health.timeout_s),
        egress=list(given.egress),
        schedule=given.schedule,
    )


def explanation(given: Explanation) -> builds.ExplanationView:
    """Render what a build does."""
    layers = [
        builds.ExplainedLayerView(
            id=layer.id,
            kind=layer.kind.value,
            about=layer.about,
            there=layer.there,
            steps=[list(step) for step in layer.steps],
        )
        for layer in given.layers
    ]
    return builds.ExplanationView(
        runtimes=list(given.runtimes), shared=given.shared, private=list(given.private), layers=layers
    )


def build(given: Build) -> builds.BuildView:
    """Render a build."""
    return builds.BuildView(
        id=given.id,
        agent_id=given.agent_id,
        project_id=given.project_id,
        status=given.status,
        step=given.step,
        attempt=given.attempt,
        source=source(given.source),
        commit=given.commit,
        image_id=given.image_id,
        recognised=given.recognised and recognised(given.recognised),
        explain=given.explain,
        upgrade=given.upgrade,
        explanation=given.explanation and explanation(given.explanation),
        error=failure(given.failure),
        cancel_requested=given.cancel_requested,
        created_at=from_ms(given.created_ms),
        started_at=moment(given.started_ms),
        ended_at=moment(given.ended_ms),
    )


def upload(given: Upload) -> builds.UploadView:
    """Render an upload."""
    return builds.UploadView(id=given.id, size=given.size, sha256=given.sha256, created_at=from_ms(given.created_ms))


def writable(value: Any) -> Any:
    """Return *value*, which an agent made up, or its JSON text if it is nested too deeply to be part of an answer."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return value
    return json.dumps(value)


def _children(value: Any) -> Iterable[Any]:
    match value:
        case dict():
            return cast("dict[str, Any]", value).values()
        case list():
            return cast("list[Any]", value)
        case _:
            return ()


def _questions(given: Sequence[Question]) -> dict[str, Any]:
    """Render the open questions of a run, oldest first: all of them, and the first one beside them."""
    views = [question(one) for one in given]
    return {"question": views[0] if views else None, "questions": views}


def question(given: Question) -> runs.QuestionView:
    """Render what a run asks."""
    return runs.QuestionView(
        id=given.id,
        key=given.key,
        text=given.text,
        choices=list(given.choices),
        answer_schema=None if given.answer_schema is None else dict(given.answer_schema),
        asked_at=from_ms(given.asked_ms),
        expires_at=from_ms(given.expires_ms),
    )


def news(given: News) -> runs.InboxItem:
    """Render an item of the inbox."""
    return runs.InboxItem(
        run_id=given.run_id,
        agent_name=given.agent_name,
        status=given.status,
        text=given.text,
        **_questions(given.questions),
        at=from_ms(given.at_ms),
    )


def run(given: Run, output: runs.OutputView | None = None, asks: Sequence[Question] = ()) -> runs.RunView:
    """Render a run, with its output and what it *asks* where that was read."""
    used = given.usage
    return runs.RunView(
        id=given.id,
        run_id=given.id,
        agent_id=given.agent_id,
        agent_name=given.agent_name,
        project_id=given.project_id,
        kind=given.kind,
        version_id=given.version_id,
        status=given.status,
        inputs=dict(given.inputs),
        timeout_s=given.timeout_s,
        cancel_requested=given.cancel_requested,
        attempts=given.attempts,
        exit_code=given.exit_code,
        result=writable(given.result),
        error=failure(given.failure),
        output=output,
        **_questions(asks),
        usage=runs.UsageView(
            duration_s=used.duration_s, cpu_seconds=used.cpu_seconds, memory_peak_bytes=used.memory_peak_bytes
        ),
        created_at=from_ms(given.created_ms),
        started_at=moment(given.started_ms),
        ended_at=moment(given.ended_ms),
    )


def event(given: RunEvent) -> runs.EventView:
    """Render a state change."""
    return runs.EventView(
        run_id=given.run_id, seq=given.seq, at=from_ms(given.at_ms), type=given.type, data=dict(given.data)
    )


def artifact(given: Artifact) -> runs.ArtifactView:
    """Render what is known of a file that a run left."""
    return runs.ArtifactView(path=given.path, size=given.size, sha256=given.sha256)


def log_piece(frame: LogFrame, text: str, attempt: int = 1) -> common.LogPiece:
    """Render a piece of a log, its bytes read as *text*."""
    return common.LogPiece(
        stream=frame.stream,
        at=from_ms(frame.at_ms),
        text=text,
        offset=frame.offset,
        next=frame.next_offset,
        attempt=attempt,
    )


def token(given: Token) -> access.TokenView:
    """Render a token without its text."""
    return access.TokenView(
        id=given.id,
        name=given.name,
        project_id=given.project_id,
        scopes=sorted(given.scopes),
        created_at=from_ms(given.created_ms),
        expires_at=moment(given.expires_ms),
        revoked_at=moment(given.revoked_ms),
        last_used_at=moment(given.last_used_ms),
    )


def project(given: Project) -> access.ProjectView:
    """Render a project."""
    return access.ProjectView(id=given.id, name=given.name, created_at=from_ms(given.created_ms))


def audit(given: AuditEntry) -> access.AuditView:
    """Render a line of the audit log."""
    return access.AuditView(
        id=given.id,
        at=from_ms(given.at_ms),
        project_id=given.project_id,
        principal=given.principal,
        action=given.action,
        resource=given.resource,
        result=writable(given.result),
        details=dict(given.details),
        address=given.address,
    )


def secret(given: SecretInfo) -> secrets.SecretView:
    """Render a secret as it may be shown."""
    return secrets.SecretView(
        id=given.id, name=given.name, created_at=from_ms(given.created_ms), updated_at=from_ms(given.updated_ms)
    )


def finding(given: Finding) -> system.FindingView:
    """Render one thing that the doctor looked at."""
    return system.FindingView(
        level=given.level.value,
        area=given.area,
        message=given.message,
        hint=given.hint,
        repairable=given.repairable,
    )
