"""Every link of the documentation leads somewhere."""

import re

import pytest
from documentation import ROOT, pages

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
#: A path of the repository, in code: a folder that is there is meant, or a file with a suffix.
_PATH = re.compile(r"`((?:src|tests|docs|scripts|examples|benchmarks|changes)/[\w./-]+)(?:::\w+)?`")


def anchors(text):
    """Return the names under which a page's headings can be linked to."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in _HEADING.findall(text)}


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page):
    """Each names a file that is there and, after a #, one of its headings; links to other sites are only read."""
    text = (ROOT / page).read_text()
    for link in _LINK.findall(_CODE.sub("", text)):
        path, _, anchor = link.partition("#")
        if "://" in link:
            assert link.startswith("https://"), link
            continue
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), f"{page}: {link}"
        assert not anchor or anchor in anchors(target.read_text()), f"{page}: {link}"


@pytest.mark.parametrize("page", pages())
def test_named_files_are_there(page):
    """A file of the repository that a page names is there, and so is the test that it names."""
    for match in _PATH.finditer((ROOT / page).read_text()):
        target = ROOT / match[1]
        assert target.exists(), f"{page}: {match[1]}"
        _, _, test = match[0].strip("`").partition("::")
        assert not test or f"def {test}(" in target.read_text(), f"{page}: {match[0]}"


def test_every_page_can_be_found():
    """From the README, link by link, each page is reached."""
    reached, todo = set(), ["README.md"]
    while todo:
        page = todo.pop()
        if page in reached or not page.endswith(".md"):
            continue
        reached.add(page)
        for link in _LINK.findall(_CODE.sub("", (ROOT / page).read_text())):
            target = ((ROOT / page).parent / link.partition("#")[0]).resolve()
            if "://" not in link and target.is_relative_to(ROOT):
                todo += [str((target / "README.md" if target.is_dir() else target).relative_to(ROOT))]
                reached.discard("")
        todo = [one for one in todo if (ROOT / one).is_file()]

    # Fragments of the change log are collected, not linked.
    assert {page for page in pages() if not page.startswith("changes/")} <= reached
