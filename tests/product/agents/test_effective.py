"""A version runs with the owner's word over the source's."""

from hypothesis import given
from hypothesis import strategies as st

from skep.product.agents.effective import asked_for, effective
from skep.product.agents.model import AgentConfig, Resources
from skep.product.images.model import Install, Recognised

SOURCE = Recognised(
    framework="python",
    evidence=(),
    command=("python", "main.py"),
    install=Install.NOTHING,
    inputs_schema={"type": "object"},
    env={"MODE": "slow", "KEY": "none", "ONLY": "source"},
    secrets=("API_KEY", "OTHER"),
    resources=Resources(cpus=1, memory_mb=128),
)
BARE = Recognised(framework="python", evidence=(), command=("python3", "main.py"), install=Install.NOTHING)


def test_without_an_owners_word_the_sources_counts() -> None:
    """Every key of it but the secrets: these an owner grants."""
    assert effective(AgentConfig(), SOURCE) == AgentConfig(
        command=SOURCE.command,
        env=SOURCE.env,
        resources=SOURCE.resources,
        inputs_schema=SOURCE.inputs_schema,
    )


def test_the_owners_word_goes_over_it() -> None:
    """Key by key: what the owner did not say stays the source's; secrets are the owner's alone."""
    owner = AgentConfig(
        command=("sh",),
        env={"MODE": "fast"},
        secrets=("MINE", "API_KEY"),
        env_from_secret={"KEY": "MINE"},
        resources=Resources(memory_mb=64, timeout_s=9),
        inputs_schema={"type": "object", "required": ["topic"]},
        egress=("api.example",),
        max_attempts=3,
    )
    assert effective(owner, SOURCE) == AgentConfig(
        command=("sh",),
        env={"MODE": "fast", "ONLY": "source"},
        secrets=("MINE", "API_KEY"),
        env_from_secret={"KEY": "MINE"},
        resources=Resources(cpus=1, memory_mb=64, timeout_s=9),
        inputs_schema={"type": "object", "required": ["topic"]},
        egress=("api.example",),
        max_attempts=3,
    )
    assert asked_for(owner, SOURCE) == ("OTHER",)


@given(st.dictionaries(st.text(max_size=3), st.text(max_size=3)), st.tuples() | st.tuples(st.text(min_size=1)))
def test_a_source_that_says_nothing_adds_nothing(env: dict[str, str], secrets: tuple[str, ...]) -> None:
    """But the command that was recognised."""
    owner = AgentConfig(env=env, secrets=secrets)
    made = effective(owner, BARE)
    assert (made.env, made.secrets, made.resources, made.command) == (env, secrets, Resources(), BARE.command)
    assert effective(made, BARE) == made
