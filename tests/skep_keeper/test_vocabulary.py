"""Requests are checked before anything acts on them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep_keeper import vocabulary as v
from skep_keeper.errors import BadRequestError, KeeperError

CREATE = {
    "op": "create",
    "id": "sbx_" + "0" * 26,
    "isolation": "container",
    "cpus": 0.5,
    "memory_bytes": 64 << 20,
    "disk_bytes": 64 << 20,
    "pids": 32,
    "open_files": 256,
    "output_bytes": 1 << 20,
    "layers": ["a" * 64],
    "doors": [80, 443],
}


def parse(value):
    """Parse *value* as it comes over the socket."""
    return v.parse(json.dumps(value).encode())


def test_a_specification_is_read_and_stored_without_loss():
    """What was asked for is what is stored as the intent, and what is read back."""
    spec = parse(CREATE).spec

    assert spec == v.Spec(
        id="sbx_" + "0" * 26,
        cpus=0.5,
        memory_bytes=64 << 20,
        disk_bytes=64 << 20,
        pids=32,
        open_files=256,
        output_bytes=1 << 20,
        layers=("a" * 64,),
        doors=(80, 443),
    )
    assert v.stored_spec(json.loads(json.dumps(spec.to_json()))) == spec


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../../etc"},
        {"id": "sbx_" + "0" * 25},
        {"id": "sbx_" + "0" * 26 + "\n"},
        {"id": 7},
        {"cpus": 0},
        {"cpus": True},
        {"cpus": float("nan")},
        {"cpus": float("inf")},
        {"memory_bytes": 1.5},
        {"memory_bytes": -1},
        {"memory_bytes": 1 << 60},
        {"pids": 1},
        {"open_files": 1 << 40},
        {"layers": ["../x"]},
        {"layers": ["a" * 64, "a" * 64]},
        {"layers": [f"{n:064x}" for n in range(13)]},
        {"layers": "a"},
        {"doors": [8080]},
        {"doors": [0]},
        {"doors": [80, 80]},
        {"doors": [[80]]},
        {"args": ["/bin/sh"]},
        {"mounts": []},
        {"op": "exec"},
        {"op": None},
        {"op": []},
    ],
)
def test_what_is_out_of_bounds_is_refused(change):
    """No value outside its bounds, and no field beyond the vocabulary, comes through."""
    with pytest.raises(BadRequestError):
        parse({**CREATE, **change})


@pytest.mark.parametrize("name", [name for name in CREATE if name != "op"])
def test_what_is_missing_is_refused(name):
    """Nothing has a default."""
    with pytest.raises(BadRequestError):
        parse({key: value for key, value in CREATE.items() if key != name})


def test_an_isolation_that_is_not_there_is_refused_by_name():
    """A stronger wall is never silently replaced by a weaker one."""
    with pytest.raises(KeeperError) as caught:
        parse({**CREATE, "isolation": "gvisor"})

    assert caught.value.code == "isolation_unavailable"


@pytest.mark.parametrize("command", ["../x", "a/b", ".hidden", "", "a" * 129, "a\0b"])
def test_a_command_names_no_path(command):
    """A spool file's name cannot lead out of the spool."""
    with pytest.raises(BadRequestError):
        parse({"op": "spool", "id": CREATE["id"], "command": command, "part": "out"})


@pytest.mark.parametrize("paths", [[], ["/etc"], ["/app/.."], ["/app", "/app"], "/app", [["/app"]]])
def test_only_a_few_folders_can_be_sealed(paths):
    """Sealing takes no free path."""
    with pytest.raises(BadRequestError):
        parse(
            {"op": "seal", "id": CREATE["id"], "paths": paths, "layer": "a" * 64, "writable": False, "changes": False}
        )


@given(st.binary(max_size=200))
def test_junk_is_refused_and_does_no_harm(packet):
    """Whatever the bytes are, the answer is a request or a refusal."""
    try:
        found = v.parse(packet)
    except BadRequestError:
        return
    assert isinstance(found, v.Request)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(st.sampled_from(sorted(CREATE)), json_values)
def test_any_value_in_any_place_is_taken_or_refused(name, value):
    """No JSON value makes the parser fail in another way than by its own error."""
    try:
        found = parse({**CREATE, name: value})
    except KeeperError:
        return
    assert isinstance(found, v.Request)


def test_a_request_is_bounded():
    """A packet over the limit, and one nested too deep, are refused."""
    for packet in (b" " * (v.MAX_REQUEST + 1), b"[" * 60_000):
        with pytest.raises(BadRequestError):
            v.parse(packet)
