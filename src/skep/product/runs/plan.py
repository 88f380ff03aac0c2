"""What an attempt asks of its sandbox: values made by pure functions, compared exactly in tests."""

import hashlib
import json
from collections.abc import Mapping

from skep.kernel.ids import encode
from skep.product.agents.model import AgentConfig
from skep.product.blobs.model import BlobId
from skep.product.images.model import Image, Install, Recognised
from skep.product.images.planning.places import ENVIRONMENT
from skep.product.runs import door
from skep.product.runs.machine import time_limit_s
from skep.product.runs.model import Attempt, Run, RunLimits
from skep.product.sandboxes.model import Command, CommandId, Limits, SandboxSpec

INPUTS = "/run/skep/inputs.json"
RESULT = "/run/skep/output"
ARTIFACTS = "/run/skep/artifacts"
SECRETS = "/run/secrets"
#: What agents may import, behind what they bring themselves.
GUEST = "/opt/skep/lib"
#: The longest path of an artifact, characters.
MAX_PATH = 1024
_MIB = 1 << 20


def sandbox_spec(run: Run, attempt: Attempt, config: AgentConfig, image: Image, limits: RunLimits) -> SandboxSpec:
    """Return the sandbox that the attempt gets; the same however often it is asked for."""
    return SandboxSpec(
        id=attempt.sandbox_id,
        project_id=run.project_id,
        isolation=config.isolation,
        limits=sandbox_limits(config, limits),
        layers=image.layers,
        doors=(door.PORT,),
    )


def sandbox_limits(config: AgentConfig, limits: RunLimits) -> Limits:
    """Return what an attempt may use: what its agent asks for, else what the installation gives."""
    asked = config.resources
    return Limits(
        cpus=limits.cpus if asked.cpus is None else asked.cpus,
        memory_bytes=limits.memory_bytes if asked.memory_mb is None else asked.memory_mb * _MIB,
        disk_bytes=limits.disk_bytes if asked.disk_mb is None else asked.disk_mb * _MIB,
        pids=limits.pids if asked.pids is None else asked.pids,
        output_bytes=limits.output_bytes,
    )


def command(
    run: Run,
    attempt: Attempt,
    config: AgentConfig,
    image: Image,
    limits: RunLimits,
    secret_env: Mapping[str, str],
) -> Command:
    """Return the command that is the attempt; *secret_env* are the variables that hold secrets."""
    own = {**image.recognised.env, **config.env, **secret_env}
    return Command(
        id=CommandId(attempt.id),
        argv=config.command or image.recognised.command,
        env={
            **base_env(image.recognised),
            **own,
            "PYTHONPATH": f"{own['PYTHONPATH']}:{GUEST}" if own.get("PYTHONPATH") else GUEST,
            "SKEP_URL": door.URL,
            "SKEP_INPUT": INPUTS,
            "CREW_INPUT_JSON": INPUTS,
            "SKEP_OUTPUT": RESULT,
            "SKEP_ARTIFACTS": ARTIFACTS,
            "SKEP_RUN_ID": run.id,
            "SKEP_AGENT": run.agent_name,
            "SKEP_ATTEMPT": str(attempt.number),
        },
        timeout_s=time_limit_s(run, config, limits.timeout_s),
        grace_s=limits.grace_s,
    )


def base_env(recognised: Recognised) -> dict[str, str]:
    """Return the environment that every agent finds: its own environment's or Node's programs before the machine's."""
    own = recognised.path
    if not own and recognised.install is not Install.NOTHING:
        # An image of a version of Skep whose plans did not say.
        own = (f"{ENVIRONMENT}/bin",)
    path = ":".join((*own, "/opt/skep/bin:/usr/local/bin:/usr/bin:/bin"))
    env = {"HOME": "/home/agent", "PATH": path, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
    return env | {"VIRTUAL_ENV": ENVIRONMENT} if f"{ENVIRONMENT}/bin" in own else env


def inputs_file(run: Run) -> bytes:
    """Return what the agent finds at `$SKEP_INPUT`."""
    return json.dumps(run.inputs, ensure_ascii=False).encode("utf-8", "replace")


def parse_result(raw: bytes) -> object:
    """Return what the agent wrote to `$SKEP_OUTPUT`: JSON if it is that, else text; None if it is blank."""
    text = raw.decode("utf-8", "replace")
    try:
        value = json.loads(text, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()  # what cannot be written again is kept as text
    except (ValueError, RecursionError):
        return text if text.strip() else None
    return value


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def is_artifact_path(path: str) -> bool:
    """Tell whether *path*, which comes from a sandbox, is a plain relative path that may be shown and stored."""
    if not path or len(path) > MAX_PATH or path.startswith("/") or "\\" in path or not path.isprintable():
        return False
    return all(part not in ("", ".", "..") for part in path.split("/"))


def artifact_blob(attempt: Attempt, path: str) -> BlobId:
    """Return the blob of an artifact: always the same, so that keeping it again replaces and leaves nothing over."""
    digest = hashlib.sha256(f"{attempt.id}\0{path}".encode()).digest()
    return BlobId("blb_" + encode(int.from_bytes(digest[:16])))
