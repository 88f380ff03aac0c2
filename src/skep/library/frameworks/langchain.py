"""Scripts that stand on LangChain; a project with langgraph.json is LangGraph's."""

from skep.library.frameworks import langgraph
from skep.library.frameworks.with_package import WithPackage
from skep.product.images.model import Recognised, SourceListing

PACKAGES = ("langchain", "langchain-core", "langchain-community", "langchain-openai", "langchain-anthropic")


class LangChain(WithPackage):
    """Recognises a Python program that depends on LangChain, or on LangGraph without its file."""

    def __init__(self) -> None:
        super().__init__("langchain", 400, (*PACKAGES, "langgraph"), langgraph.ENV)

    def recognise(self, listing: SourceListing) -> Recognised | None:
        """Return how the script is started, unless LangGraph's own file says that."""
        return None if langgraph.FILE in listing.files else super().recognise(listing)
