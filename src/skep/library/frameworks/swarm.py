"""Programs that stand on Swarm, which came before the OpenAI Agents SDK and has several names on the indexes."""

from skep.library.frameworks.with_package import WithPackage

SWARM = WithPackage("swarm", 310, ("openai-swarm", "swarm"))
