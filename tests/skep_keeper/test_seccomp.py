"""The system call profile: what is allowed, and what never is."""

import pytest

from skep_keeper import seccomp


def rules(name, machine="x86_64"):
    """Return the rules about one system call."""
    return [rule for rule in seccomp.profile(machine)["syscalls"] if name in rule["names"]]


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "riscv64"])
def test_nothing_dangerous_is_allowed(machine):
    """No call of the list of dangers has any rule, on any architecture; what has no rule fails."""
    profile = seccomp.profile(machine)

    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    named = {name for rule in profile["syscalls"] for name in rule["names"]}
    assert named & set(seccomp.DENIED.split()) == set()


def test_only_the_native_architecture_is_open():
    """There is no 32-bit door."""
    assert seccomp.profile("x86_64")["architectures"] == ["SCMP_ARCH_X86_64"]


def test_sockets_are_of_four_families():
    """Unix, IPv4, IPv6, and routing questions to the kernel; nothing else, vsock least of all."""
    allowed = [tuple((arg["index"], arg["value"]) for arg in rule["args"]) for rule in rules("socket")]

    assert allowed == [((0, 1),), ((0, 2),), ((0, 10),), ((0, 16), (2, 0))]


def test_clone_makes_no_namespace():
    """Processes and threads, yes; new namespaces, no; clone3 is said not to exist, so that libc uses clone."""
    [clone] = rules("clone")
    [clone3] = rules("clone3")

    assert clone["args"] == [{"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]
    assert clone3 == {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}


def test_no_call_is_named_twice():
    """A rule without conditions cannot open what another one restricts."""
    [plain] = [rule for rule in seccomp.profile("x86_64")["syscalls"] if "args" not in rule and "errnoRet" not in rule]

    assert len(plain["names"]) == len(set(plain["names"]))
    assert {"clone", "clone3", "socket", "socketpair", "personality"} & set(plain["names"]) == set()
