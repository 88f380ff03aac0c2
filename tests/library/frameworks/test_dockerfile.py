"""What is said of a source with a Dockerfile."""

import pytest
from listings import found

from skep.kernel.errors import InvalidError


def test_a_dockerfile_alone_needs_a_builder():
    """Where that is, and what can be done instead."""
    for said in ({}, {"skep.yaml": "framework: dockerfile\n"}):
        with pytest.raises(InvalidError, match="needs the Docker driver or a builder") as caught:
            found({"Dockerfile": "FROM scratch"} | said)
        assert caught.value.code == "dockerfile_needs_builder"
        assert "skep.yaml" in caught.value.hint


def test_a_dockerfile_beside_a_project_is_not_used():
    """That is said, be the project recognised or its command given."""
    assert found({"Dockerfile": "", "main.py": ""}).framework == "python"
    for made in (
        found({"Dockerfile": "", "main.py": ""}),
        found({"Dockerfile": "", "skep.yaml": "command: python x.py"}),
        found({"Dockerfile": ""}, ("sh", "x")),
    ):
        assert made.notices == (
            "Dockerfile is not used: this installation cannot build it, and goes by what else there is",
        )
    assert found({"Dockerfile": "", "skep.yaml": "command: python x.py"}).command == ("python3", "x.py")
    assert found({"Containerfile": ""}, ("sh", "x")).notices[0].startswith("Containerfile is not used")
