"""A source is explained on a whole installation: nothing is built, and what it is taken for is said."""

import pytest
from user import User

from skep.testing.wait import until_sync

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]


def explained(user: User, **files: str):
    """Have files explained, and return the build as it ended; `__` stands for a dot in a name."""
    named = {name.replace("__", "."): text for name, text in files.items()}
    begun = user.ask("POST", "/builds", {"source": {"files": named}, "explain": True})
    assert begun.status == 202, begun.raw

    def build():
        return user.ask("GET", f"/builds/{begun.json['id']}").json

    until_sync(lambda: build()["status"] in ("succeeded", "failed"), timeout_s=60, what="the explanation")
    return build()


def test_nothing_is_built(user: User):
    """There is a plan and no image, no agent, no layer: the second time it is all still to be made."""
    before = user.ask("GET", "/agents").json
    for _ in range(2):
        build = explained(user, main__py=f"print({user.token!r})")
        assert (build["status"], build["image_id"], build["agent_id"]) == ("succeeded", None, "")
        assert build["recognised"]["command"] == ["python3", "main.py"]
        (layer,) = build["explanation"]["layers"]
        assert (layer["kind"], layer["there"]) == ("source", False)
        assert build["explanation"]["runtimes"][0].startswith("Python 3.")
    assert user.ask("GET", "/agents").json == before


def test_a_choice_and_what_nothing_acts_on_are_said(user: User):
    """As a build would say them."""
    build = explained(user, main__py="", skep__yaml="name: bees\nschedule: 0 8 * * *\n")
    assert build["recognised"]["declared"]["name"] == "bees"
    assert "nothing starts runs by a schedule yet" in build["recognised"]["notices"][0]


@pytest.mark.parametrize(
    ("files", "code", "words"),
    [
        ({"Dockerfile": "FROM scratch"}, "dockerfile_needs_builder", "the Docker driver or a builder"),
        ({"skep__yaml": "comand: x"}, "skep_yaml_invalid", "line 1, column 1: unknown key `comand`; did you mean"),
        ({"README__md": ""}, "nothing_recognised", "Files found: README.md"),
        ({"langgraph__json": "{"}, "langgraph_invalid", "line 1, column 2"),
    ],
)
def test_a_source_that_cannot_be_built_fails_with_words(user: User, files, code, words):
    """The same that a build would end with."""
    build = explained(user, **files)
    assert (build["status"], build["error"]["code"]) == ("failed", code)
    assert words in build["error"]["message"]
