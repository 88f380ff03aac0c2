"""What an attempt asks of its sandbox, compared exactly; and what comes back, judged."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.kernel.ids import has_prefix
from skep.product.agents.model import AgentConfig, AgentId, Kind, Resources, VersionId
from skep.product.blobs.model import LogId
from skep.product.images.model import Image, ImageId, Install, Recognised
from skep.product.runs import plan
from skep.product.runs.model import Attempt, AttemptId, AttemptPhase, Run, RunId, RunLimits, RunStatus
from skep.product.sandboxes.model import Command, CommandId, Isolation, LayerId, Limits, SandboxId, SandboxSpec

LAYER = LayerId("ab" * 32)
RUN = Run(
    id=RunId("run_1"),
    project_id="prj_1",
    agent_id=AgentId("agt_1"),
    agent_name="bees",
    kind=Kind.JOB,
    version_id=VersionId("ver_1"),
    status=RunStatus.RUNNING,
    inputs={"topic": "Bienen, süß"},
    created_ms=0,
)
ATTEMPT = Attempt(
    id=AttemptId("att_1"),
    run_id=RUN.id,
    number=2,
    phase=AttemptPhase.CREATED,
    sandbox_id=SandboxId("sbx_1"),
    log_id=LogId("log_1"),
    node_id="nod_1",
    created_ms=0,
)
IMAGE = Image(
    id=ImageId("img_1"),
    project_id="prj_1",
    node_id="nod_1",
    layers=(LAYER,),
    base_fingerprint="",
    recognised=Recognised(
        framework="python",
        evidence=("main.py",),
        command=("python", "main.py"),
        install=Install.REQUIREMENTS,
        env={"A": "framework", "B": "framework"},
    ),
    source_digest="",
    commit="",
    size=0,
    created_ms=0,
)


def test_the_sandbox():
    """What the agent asks for counts, the installation's defaults fill the rest."""
    config = AgentConfig(resources=Resources(memory_mb=64, cpus=0.5))
    limits = RunLimits(pids=77, disk_bytes=5, output_bytes=9)
    assert plan.sandbox_spec(RUN, ATTEMPT, config, IMAGE, limits) == SandboxSpec(
        id=SandboxId("sbx_1"),
        project_id="prj_1",
        isolation=Isolation.CONTAINER,
        limits=Limits(cpus=0.5, memory_bytes=64 << 20, disk_bytes=5, pids=77, output_bytes=9),
        layers=(LAYER,),
        doors=(80,),
    )


def test_the_command():
    """Owner over framework, secrets over both, and Skep's own names over all."""
    config = AgentConfig(env={"B": "owner", "C": "owner"}, resources=Resources(timeout_s=12))
    made = plan.command(RUN, ATTEMPT, config, IMAGE, RunLimits(), {"C": "secret"})
    path = "/opt/env/bin:/opt/skep/bin:/usr/local/bin:/usr/bin:/bin"
    assert made == Command(
        id=CommandId("att_1"),
        argv=("python", "main.py"),
        cwd="/app",
        timeout_s=12,
        grace_s=1.5,
        env={
            "HOME": "/home/agent",
            "PATH": path,
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "VIRTUAL_ENV": "/opt/env",
            "A": "framework",
            "B": "owner",
            "C": "secret",
            "PYTHONPATH": "/opt/skep/lib",
            "SKEP_URL": "http://127.0.0.1",
            "SKEP_INPUT": "/run/skep/inputs.json",
            "CREW_INPUT_JSON": "/run/skep/inputs.json",
            "SKEP_OUTPUT": "/run/skep/output",
            "SKEP_ARTIFACTS": "/run/skep/artifacts",
            "SKEP_RUN_ID": "run_1",
            "SKEP_AGENT": "bees",
            "SKEP_ATTEMPT": "2",
        },
    )


def test_an_agents_own_modules_come_first():
    """A path of its own stays, and what Skep brings is looked for behind it."""
    made = plan.command(RUN, ATTEMPT, AgentConfig(env={"PYTHONPATH": "/app/src"}), IMAGE, RunLimits(), {})
    assert made.env["PYTHONPATH"] == "/app/src:/opt/skep/lib"


def test_the_owners_command_and_no_environment():
    """A command of the owner's replaces the recognised one; without an environment there is no VIRTUAL_ENV."""
    made = plan.command(RUN, ATTEMPT, AgentConfig(command=("sh", "x")), IMAGE, RunLimits(), {})
    assert made.argv == ("sh", "x")
    assert "VIRTUAL_ENV" not in plan.base_env(replace(IMAGE.recognised, install=Install.NOTHING))


def test_the_programs_that_an_agent_finds_first():
    """They are those of the folders that its image names: an environment, or a Node."""
    node = plan.base_env(replace(IMAGE.recognised, install=Install.NPM, path=("/opt/node/bin",)))
    assert node["PATH"] == "/opt/node/bin:/opt/skep/bin:/usr/local/bin:/usr/bin:/bin"
    assert "VIRTUAL_ENV" not in node
    # A copy of Python is found by way of an environment, also where nothing is installed.
    python = plan.base_env(replace(IMAGE.recognised, install=Install.NOTHING, path=("/opt/env/bin",)))
    assert python["PATH"].startswith("/opt/env/bin:")
    assert python["VIRTUAL_ENV"] == "/opt/env"


def test_the_inputs():
    """Inputs are JSON in UTF-8."""
    assert json.loads(plan.inputs_file(RUN)) == RUN.inputs


@pytest.mark.parametrize(
    ("raw", "result"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b"[1, 2]\n", [1, 2]),
        (b"words", "words"),
        (b"  \n", None),
        (b"", None),
        (b"NaN", "NaN"),
        (b'"\\ud800"', '"\\ud800"'),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"[" * 100_000, "[" * 100_000),
    ],
)
def test_results(raw, result):
    """JSON is kept as JSON; everything else, what cannot be written again too, as text."""
    assert plan.parse_result(raw) == result


@given(st.binary(max_size=300))
def test_any_result_can_be_stored(raw):
    """Whatever an agent leaves, it can be written as JSON in UTF-8."""
    json.dumps(plan.parse_result(raw), ensure_ascii=False).encode()


@pytest.mark.parametrize("path", ["a", "a/b.txt", "ä/ö", ".hidden", "a b", "..a"])
def test_paths_that_are_kept(path):
    """Plain relative paths are."""
    assert plan.is_artifact_path(path)


@pytest.mark.parametrize(
    "path",
    ["", "/a", "..", "a/..", "../a", "a//b", "a/", "./a", "a\nb", "a\0", "a\\b", "x" * 2000, "\udcff", "a\u202eb"],
)
def test_paths_that_are_not(path):
    """Absolute ones, those that climb or lie, and what no line can show are not."""
    assert not plan.is_artifact_path(path)


@given(path=st.text())
def test_an_artifact_always_has_the_same_blob(path):
    """Keeping an artifact again replaces it; another attempt's is another blob."""
    safe = path.encode("utf-8", "replace").decode()
    blob_id = plan.artifact_blob(ATTEMPT, safe)
    assert has_prefix(blob_id, "blb")
    assert blob_id == plan.artifact_blob(ATTEMPT, safe)
    assert blob_id != plan.artifact_blob(replace(ATTEMPT, id=AttemptId("att_2")), safe)
