"""Which pages of documentation there are."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def pages() -> list[str]:
    """List all pages by their path in the checkout."""
    found = [ROOT / "README.md", *(ROOT / "changes").glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    found += (ROOT / "examples").glob("*/README.md")
    return sorted(str(path.relative_to(ROOT)) for path in found)
