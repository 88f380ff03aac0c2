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


def test_a_dockerfile_beside_a_project_says_nothing():
    """Neither beside one that is recognised, nor where a command is known."""
    assert found({"Dockerfile": "", "main.py": ""}).framework == "python"
    assert found({"Dockerfile": "", "main.py": ""}).notices == ()
    assert found({"Dockerfile": "", "skep.yaml": "command: python x.py"}).command == ("python3", "x.py")
    assert found({"Containerfile": ""}, ("sh", "x")).command == ("sh", "x")
