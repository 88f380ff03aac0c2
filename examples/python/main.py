"""Plain Python: makes a page of HTML from the Markdown that it is given."""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

from markdown_it import MarkdownIt


def main() -> None:
    text = str(json.loads(Path(os.environ["SKEP_INPUT"]).read_text()).get("text", "# Bees"))
    print(f"markdown-it-py {version('markdown-it-py')} on Python {platform.python_version()}")
    page = MarkdownIt().render(text)
    print(page, end="")
    (Path(os.environ["SKEP_ARTIFACTS"]) / "page.html").write_text(page)
    Path(os.environ["SKEP_OUTPUT"]).write_text(json.dumps({"characters": len(page)}))


if __name__ == "__main__":
    main()
