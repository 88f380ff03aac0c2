"""Generated pages are up to date."""

import importlib.util
from types import ModuleType

import pytest
from documentation import ROOT


@pytest.fixture(scope="module")
def generator():
    """The generator, `scripts/docs.py`."""
    spec = importlib.util.spec_from_file_location("generator", ROOT / "scripts" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_up_to_date(generator: ModuleType):
    """If this fails: make docs."""
    assert [str(path.relative_to(ROOT)) for path in generator.stale()] == []


def test_each_generated_part_has_a_place(generator: ModuleType):
    """No table is drawn for nobody."""
    pages = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "architecture").glob("*.md")]
    text = "".join(path.read_text() for path in pages)

    assert [name for name in generator.PARTS if f"<!-- generated: {name} -->" not in text] == []


def test_a_change_is_noticed(generator: ModuleType):
    """A part that says something else than its table is made again."""
    text = "before\n<!-- generated: work_states -->\nold\n<!-- end -->\nafter\n"

    made = generator.filled(text)

    assert made.startswith("before\n<!-- generated: work_states -->\n```mermaid\n")
    assert made.endswith("```\n<!-- end -->\nafter\n")
    assert "old" not in made
    assert generator.filled(made) == made


def test_every_noun_has_its_page():
    """A new folder of the product gets a page."""
    nouns = {path.name for path in (ROOT / "src" / "skep" / "product").iterdir() if (path / "__init__.py").exists()}
    pages = {path.stem for path in (ROOT / "docs" / "architecture").glob("*.md")}

    assert nouns <= pages
