"""What a source says of itself in skep.yaml, and what it is told when that is wrong."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from skep.kernel.errors import InvalidError
from skep.library.frameworks import load
from skep.library.frameworks.marked_yaml import compose, value
from skep.library.frameworks.skep_yaml import SkepYaml, declared_name
from skep.library.frameworks.skep_yaml.keys import KEYS, json_schema
from skep.product.agents.model import AgentLimits, Resources
from skep.product.images.model import Declared, Install, Language, Recognised, SourceListing
from skep.product.images.planning.recognising import recognise

FULL = """\
command: python -m "my bees" --fast
inputs:
  topic: string
  count: integer
env: {MODE: fast, PORT: 8080, DAY: 2026-01-31}
secrets: [API_KEY]
resources: {cpus: 0.5, memory_mb: 256, disk_mb: 64, pids: 32, timeout_s: 60}
"""


def source(text: str, **texts: str) -> SourceListing:
    """Make a listing of skep.yaml and other files; `__` stands for a dot in the name."""
    named = {"skep.yaml": text} | {name.replace("__", "."): other for name, other in texts.items()}
    return SourceListing(files={name: len(other) for name, other in named.items()}, texts=named, digest="0" * 64)


def found(text: str, command: tuple[str, ...] = (), **texts: str) -> Recognised:
    """Recognise as a build does."""
    return recognise(source(text, **texts), load([]), command)


def refused(text: str) -> str:
    """Return what the author of a wrong file is told."""
    with pytest.raises(InvalidError) as caught:
        found(text, main__py="")
    assert caught.value.code == "skep_yaml_invalid"
    return caught.value.message


def test_every_key() -> None:
    """All that a file can say goes over what is recognised; the rest stays; which keys spoke is told."""
    assert found(FULL, main__py="", requirements__txt="bees\n") == Recognised(
        framework="python",
        evidence=("main.py", "requirements.txt", "skep.yaml: command, inputs, env, secrets, resources"),
        command=("python", "-m", "my bees", "--fast"),
        install=Install.REQUIREMENTS,
        inputs_schema={
            "type": "object",
            "properties": {"topic": {"type": "string"}, "count": {"type": "integer"}},
            "required": ["topic", "count"],
            "additionalProperties": False,
        },
        env={"MODE": "fast", "PORT": "8080", "DAY": "2026-01-31"},
        secrets=("API_KEY",),
        resources=Resources(cpus=0.5, memory_mb=256, disk_mb=64, pids=32, timeout_s=60),
    )


def test_what_it_does_not_say_is_recognised() -> None:
    """A file without a command leaves the framework's."""
    made = found("env: {A: b}", main__py="")
    assert (made.command, made.env, made.inputs_schema) == (("python3", "main.py"), {"A": "b"}, None)


def test_the_keys_of_a_source_that_is_more_than_a_command() -> None:
    """Name, kind, runtime, preparing: over what is recognised. What nothing acts on yet is recorded, and said."""
    text = (
        "name: my-bees\nkind: job\nruntime: python3.12\nprepare: [python make.py, [sh, -c, a b]]\n"
        "egress: [api.example.com, '*.example.org:8443']\nschedule: '*/5  8-17 * jan,dec MON-FRI'\n"
    )
    made = found(text, main__py="", pyproject__toml='[project]\nname="x"\nrequires-python=">=3.8"\n')
    assert (made.requires_python, made.command) == ("==3.12.*", ("python3", "main.py"))
    assert made.prepare == (("python3", "make.py"), ("sh", "-c", "a b"))
    assert made.declared == Declared(
        name="my-bees",
        kind="job",
        egress=("api.example.com", "*.example.org:8443"),
        schedule="*/5 8-17 * jan,dec MON-FRI",
    )
    assert made.notices == (
        "`egress` of skep.yaml is recorded, but runs have no way out yet",
        "`schedule` of skep.yaml is recorded, but nothing starts runs by a schedule yet",
    )


@pytest.mark.parametrize(
    ("runtime", "python"), [("python", ">=3.8"), ("python3", "==3.*"), ("python3.12.1", "==3.12.1")]
)
def test_runtimes_of_python(runtime: str, python: str) -> None:
    """A version goes over what pyproject.toml says; the name alone over nothing."""
    made = found(f"runtime: {runtime}", main__py="", pyproject__toml='[project]\nrequires-python=">=3.8"\n')
    assert made.requires_python == python


def test_a_runtime_decides_what_a_command_alone_is_run_by() -> None:
    """Node's versions, and the lock beside it, count then."""
    package = '{"engines": {"node": ">=20"}}'
    made = found("runtime: node24\ncommand: ./x", package__json=package, x="")
    assert (made.language, made.requires_node, made.framework) == (Language.NODE, "24", "command")
    assert found("runtime: node\ncommand: ./x", package__json=package).requires_node == ">=20"
    assert found("command: npm start", package__json=package).language is Language.NODE
    assert found("runtime: python\ncommand: node x", package__json=package).language is Language.PYTHON


def test_preparing_may_be_left_out() -> None:
    """An empty list says that none of what is recognised is run; a text is one command."""
    package = '{"scripts": {"start": "x", "build": "tsc"}, "devDependencies": {"typescript": "5"}}'
    assert found("env: {A: b}", package__json=package).prepare == (("npm", "run", "build"),)
    assert found("prepare: []", package__json=package).prepare == ()
    assert found("prepare: npm run all", package__json=package).prepare == (("npm", "run", "all"),)


def test_the_schema_says_what_the_file_takes() -> None:
    """An editor that checks by it agrees with the build; it is a schema itself, and every key is in it."""
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    check = Draft202012Validator(schema)
    good = [FULL, "{}", "inputs: {type: object, properties: {n: {type: integer}}}", "prepare: [a b, [c]]"]
    good += ["{name: a-b, kind: job, runtime: node24, framework: node, egress: ['a.b:1'], schedule: '* * * * *'}"]
    for text in good:
        assert check.is_valid(value(compose(text)))
    for text in ("comand: x", "kind: service", "name: A", "env: [A]", "inputs: {topic: strng}", "runtime: ruby"):
        assert not check.is_valid(value(compose(text)))
        assert refused(text)
    assert set(schema["properties"]) == set(KEYS)


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "---\n"])
def test_an_empty_file_says_nothing(text: str) -> None:
    """As if it were not there."""
    assert found(text, main__py="").evidence == ("main.py",)


def test_its_command_alone_is_enough() -> None:
    """Where no framework knows the source; what to install is still found, and a Python that is there is called."""
    made = found("command: [python, bees.py, 7]", bees__py="")
    assert (made.framework, made.command, made.install) == ("command", ("python3", "bees.py", "7"), Install.NOTHING)
    assert found("command: python bees.py", requirements__txt="a").command == ("python", "bees.py")
    assert found("command: python bees.py", requirements__txt="a").install is Install.REQUIREMENTS
    with pytest.raises(InvalidError) as caught:
        found("env: {A: b}")
    assert caught.value.code == "nothing_recognised"
    assert "  skep.yaml: a skep.yaml with a `command`" in caught.value.hint.splitlines()


def test_the_owners_command_goes_over_all() -> None:
    """The rest of the file counts all the same."""
    made = found(FULL, ("sh", "run.sh"), main__py="")
    assert (made.command, made.secrets) == (("sh", "run.sh"), ("API_KEY",))
    assert made.evidence[-1] == "command"
    assert found("env: {A: b}", ("sh", "run.sh")).env == {"A": "b"}


@pytest.mark.parametrize(
    "text",
    [
        "{type: object, properties: {n: {type: integer}}}",
        "{properties: {type: {type: string}}}",
        "{$ref: '#/$defs/a', $defs: {a: {type: object}}}",
        "{}",
    ],
)
def test_inputs_as_a_schema(text: str) -> None:
    """A JSON Schema is taken as it is."""
    schema = found(f"inputs: {text}", main__py="").inputs_schema
    assert schema is not None
    assert "additionalProperties" not in schema


def test_an_input_may_be_called_type() -> None:
    """One word of a schema alone does not make one."""
    schema = found("inputs: {type: string}", main__py="").inputs_schema
    assert schema is not None
    assert schema["required"] == ["type"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("comand: x", "line 1, column 1: unknown key `comand`; did you mean `command`?"),
        ("env: {A: b}\nxyz: x", "line 2, column 1: unknown key `xyz`; expected one of name, framework, kind"),
        ("- a", "line 1, column 1: the file is a list; expected a mapping"),
        ("command: 7", "line 1, column 10: `command` is a number; expected a text; put it in quotes"),
        ("command: []", "line 1, column 10: `command` is empty"),
        ("command: [a, [b]]", "line 1, column 14: an argument of `command` is a list; expected a text"),
        ("command: 'a \"b'", "line 1, column 10: `command` cannot be split into arguments: No closing quotation"),
        ("inputs: [a]", "line 1, column 9: `inputs` is a list; expected a mapping"),
        ("inputs: {topic: strng}", "column 17: `strng` is no type of an input; expected one of string, integer"),
        ("inputs: {properties: 7}", "line 1, column 9: `inputs_schema`"),
        ("inputs: {properties: {a: {enum: [.inf]}}}", "JSON has no such thing"),
        ("env:\n  A: yes", "line 2, column 6: the variable `A` is true or false; expected a text; put it in quotes"),
        ("env: {A:}", "line 1, column 9: the variable `A` is nothing; expected a text."),
        ("env: {SKEP_RUN_ID: x}", "line 1, column 7: `env.SKEP_RUN_ID` is set by Skep"),
        ("env: {a-b: x}", "line 1, column 7: `env.a-b` is no name of an environment variable"),
        ("secrets: API_KEY", "line 1, column 10: `secrets` is a text; expected a list"),
        ("secrets: ['../x']", "line 1, column 10: `secrets` '../x' is no name of a secret"),
        ("resources: {ram: 1}", "column 13: unknown key `ram` in `resources`; expected one of cpus, memory_mb"),
        ("resources: {pids: 1.5}", "column 19: `resources.pids` is a number; expected a whole number"),
        ("resources: {cpus: many}", "column 19: `resources.cpus` is a text; expected a number"),
        ("resources: {memory_mb: 99999999}", "line 1, column 24: `resources.memory_mb` must be 32 to 16384"),
        ("env: {A: a, A: b}", "line 1, column 13: the key `A` stands twice in `env`"),
        ("env: {[a]: b}", "line 1, column 7: a key of `env` is a list"),
        ("env: {A: &x b, B: *x}", "line 1, column 19: aliases (`*name`) are not taken"),
        ("env: {A: !!python/object:os.system b}", "line 1, column 10: the variable `A` is of the type"),
        ("command: !!python/object/apply:os.system [id]", "line 1, column 10"),
        ("command: x\n---\ncommand: y", "line 2, column 1: expected a single document"),
        ("kind: service", "line 1, column 7: `kind` is service, which this version of Skep does not run yet"),
        ("kind: jib", "line 1, column 7: `kind` is 'jib'; expected job"),
        ("port: 80", "line 1, column 7: this is for services, which this version of Skep does not run yet"),
        ("health: /up", "line 1, column 9: this is for services"),
        ("name: My Bees", "line 1, column 7: `name` is 'My Bees'; expected lower-case letters"),
        ("runtime: ruby3", "line 1, column 10: `runtime` is 'ruby3'; expected for example python3.12"),
        ("runtime: node24", "line 1, column 10: `runtime` is node, but what was recognised (python) is run by python"),
        ("prepare: ['']", "line 1, column 11: a command of `prepare` is empty"),
        ("prepare: [[]]", "line 1, column 11: a command of `prepare` is empty"),
        ("prepare: {a: b}", "line 1, column 10: a command of `prepare` is a mapping; expected a text"),
        ("prepare: [" + "a," * 21 + "]", "`prepare` has more than 20 commands"),
        ("egress: api.example.com", "line 1, column 9: `egress` is a text; expected a list"),
        ("egress: ['a b']", "line 1, column 9: `egress` 'a b' is no host"),
        ("egress: [" + "a," * 101 + "]", "`egress` has more than 100 hosts"),
        ("schedule: daily", "line 1, column 11: `daily` has 1 field; expected five, like `0 9 * * 1-5`."),
        ("schedule: 60 * * * *", "`schedule` has '60' for the minute; expected *, 0 to 59"),
        ("schedule: '* * * * */0'", "has '*/0' for the day of the week"),
        ("schedule: 9-5 * * * *", "has '9-5' for the minute"),
        ("schedule: '* * * foo *'", "has 'foo' for the month"),
        ("inputs: {n: integr}", "(did you mean integer?)"),
        ("resources: {memory: 1}", "unknown key `memory` in `resources`; did you mean `memory_mb`?"),
        ("env: {A: b", "line 1, column 11: while parsing a flow mapping"),
        ("\tcommand: x", "line 1, column 1: while scanning"),
        ("command: x\nenv: {A: \x07}", "line 2, column 10: a character that YAML does not take"),
        ("inputs: " + "[" * 60, "nested more than 30 deep"),
        ("#" * 70_000, "larger than 65536 characters"),
        ("secrets: [" + "A," * 5000 + "]", "line 1, column 10005: more than 5000 values"),
        ("resources: {pids: " + "9" * 5000 + "}", "line 1, column 19: this is no int that can be read"),
    ],
)
def test_wrong_files(text: str, said: str) -> None:
    """Each is refused at its place, with what is expected."""
    assert said in refused(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("xyz: x", "The keys are name, framework, "),
        ("resources: {ram: 1}", "The keys in `resources` are cpus, memory_mb, "),
        ("schedule: daily", "See docs/skep-yaml.md."),
        ("command: 7", "See docs/skep-yaml.md."),
    ],
)
def test_only_who_used_an_unknown_key_is_told_the_keys(text: str, hint: str) -> None:
    """Where the key is right a list of keys leads astray."""
    with pytest.raises(InvalidError) as caught:
        found(text, main__py="")
    assert caught.value.hint.startswith(hint)
    assert caught.value.hint.endswith("See docs/skep-yaml.md.")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("schedule: ''", "`schedule` has 0 fields; expected five"),
        ("schedule: 0 9 * * * *", "`0 9 * * * *` has 6 fields; expected five"),
        ("schedule: '* * * * " + "1," * 100 + "1'", "`schedule` has 209 characters; at most 200 are taken"),
    ],
)
def test_a_schedule_of_another_length(text: str, said: str) -> None:
    """What was written is named with what is wrong with it."""
    assert said in refused(text)


def test_a_file_whose_text_did_not_come() -> None:
    """A link, or one that is too large to be listed with its text, is no file to build by."""
    listing = SourceListing(files={"skep.yaml": 9, "main.py": 1}, texts={"main.py": ""}, digest="0" * 64)
    with pytest.raises(InvalidError, match="too large, or no regular file"):
        recognise(listing, load([]))


def test_a_wrong_file_is_told_before_anything_else() -> None:
    """Even when another file is wrong too."""
    with pytest.raises(InvalidError) as caught:
        found("x: 1", pyproject__toml="][")
    assert caught.value.code == "skep_yaml_invalid"


def test_the_operators_limits_hold() -> None:
    """A source cannot ask for more than an owner could."""
    with pytest.raises(InvalidError, match=r"resources\.cpus"):
        SkepYaml(AgentLimits(max_cpus=2)).recognise(source("resources: {cpus: 3}"))


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x]\nb: &b [*a, *a]\n" * 100,
        "[" * 65_000,
        "- " * 32_000,
        "? " * 32_000,
        "{a: " * 16_000,
        '"' + "a " * 32_000,
        "!" * 65_000,
        "&" * 65_000,
        "a:\n" * 20_000,
        "k: |\n" + " x\n" * 20_000,
    ],
    ids=["aliases", "lists", "dashes", "keys", "maps", "quote", "tags", "anchors", "twice", "block"],
)
def test_a_bomb_costs_little(text: str) -> None:
    """However it is written, a file of the largest size is judged in a moment."""
    began = time.process_time()
    refused(text)
    assert time.process_time() - began < 5


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.text(alphabet="command:inputsev{}[],&*!|>-'\" \n\t#?%0", max_size=80))
def test_any_text_ends_in_a_value_or_in_words(text: str) -> None:
    """Nothing else comes out, whatever goes in."""
    try:
        found(text, main__py="")
    except InvalidError as error:
        told = (error.code, error.message.split(",")[0])
    else:
        told = ("skep_yaml_invalid", "skep.yaml")
    assert told == ("skep_yaml_invalid", "skep.yaml")


def test_the_name_alone_may_be_read() -> None:
    """By whoever makes an agent of a folder; a wrong file is refused there already."""
    assert declared_name("name: my-bees\ncommand: x") == "my-bees"
    assert declared_name("") == ""
    with pytest.raises(InvalidError, match="line 1, column 7"):
        declared_name("name: [x]")


def test_a_question_ends_as_one() -> None:
    """What was probably meant is asked, without a full stop behind the question."""
    assert refused("comand: x").endswith("did you mean `command`?")
    assert refused("xyz: x").endswith("health.")
