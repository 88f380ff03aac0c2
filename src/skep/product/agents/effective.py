"""What a version runs with: its owner's word over its source's word over what was recognised. Pure."""

from dataclasses import fields, replace

from skep.product.agents.model import AgentConfig, Resources
from skep.product.images.model import Recognised


def effective(config: AgentConfig, recognised: Recognised) -> AgentConfig:
    """Return *config* with what *recognised* adds to it.

    Command and inputs' schema: the owner's, else the source's. Environment and resources: one by one, the owner's
    first. A variable that the owner fills from a secret is the owner's. Secrets are the owner's alone: a source may ask
    for some (`asked_for`), but who can push to a repository must not thereby read what the project knows.
    """
    env = {name: value for name, value in recognised.env.items() if name not in config.env_from_secret}
    return replace(
        config,
        command=config.command or recognised.command,
        env={**env, **config.env},
        resources=_resources(config.resources, recognised.resources),
        inputs_schema=recognised.inputs_schema if config.inputs_schema is None else config.inputs_schema,
    )


def asked_for(config: AgentConfig, recognised: Recognised) -> tuple[str, ...]:
    """Return the secrets that the source asks for and the owner did not grant."""
    return tuple(name for name in recognised.secrets if name not in config.secrets)


def _resources(owners: Resources, sources: Resources) -> Resources:
    said = {field.name: getattr(owners, field.name) for field in fields(Resources)}
    return replace(sources, **{name: value for name, value in said.items() if value is not None})
