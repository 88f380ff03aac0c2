"""Programs that stand on the OpenAI Agents SDK (https://pypi.org/project/openai-agents/)."""

from skep.library.frameworks.with_package import WithPackage

#: Its traces would go to a host that a sandbox does not reach, and be waited for at the end.
_ENV = {"OPENAI_AGENTS_DISABLE_TRACING": "1"}

OPENAI_AGENTS = WithPackage("openai-agents", 300, ("openai-agents",), _ENV)
