"""TOML that strangers wrote: how much of it is taken, and that what is taken is read as ever."""

import pytest

from skep.kernel import bounded_toml

LIMIT = 4 * 1024 * 1024


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"[N{n}{'.a' * 11}]\n" for n in range(17_000)),
        "".join(f'["N{n}"' + ".'a'" * 11 + "]\n" for n in range(17_000)),
        "x = [" + "{a.b.c=1}," * 60_000 + "]",
        "x = [" + "[]," * 210_000 + "]",
        "x = [" + "{}," * 210_000 + "]",
        "".join(f'a{n} = 1 # "\n' for n in range(210_000)),
        "x = \"'''\"\n" + "".join(f"a{n} = 1\n" for n in range(210_000)),
    ],
    ids=["headers", "quoted", "keys", "lists", "tables", "comments", "texts"],
)
def test_the_parts_of_keys_are_counted_together(text: str) -> None:
    """Of each the parser makes dictionaries: 4 MB of long headers took 1.8 GB."""
    with pytest.raises(bounded_toml.TomlError, match="more than 200000 parts together"):
        bounded_toml.loads(text, limit=LIMIT)


@pytest.mark.parametrize("text", ["[a" + ".a" * 12 + "]", '"a" . ' * 12 + "a = 1", "x = 1\n\t" + "a." * 12 + "'a' = 1"])
def test_the_parts_of_one_key(text: str) -> None:
    """Tools document keys of eight at the most."""
    with pytest.raises(bounded_toml.TomlError, match="a key has more than 12 parts"):
        bounded_toml.loads(text, limit=LIMIT)
    assert bounded_toml.loads("[tool.hatch.envs.a.overrides.matrix.b.env-vars]\nx.y.z = 1", limit=LIMIT)


@pytest.mark.parametrize(
    "quoted",
    [
        '"{}"',
        "'{}'",
        '"""{}"""',
        "'''{}'''",
        r'"\"{}"',
        r'"{}\\"',
        '"""\n"{}""\\""""""',
        "'''\n''{}\n\\'''''",
        "1 # {}",
    ],
)
def test_what_stands_in_a_text_is_no_key(quoted: str) -> None:
    """However it is quoted; and after its end keys count again."""
    text = f"x = {quoted.replace('{}', 'a.' * 500 + 'b = [{')}\n"
    assert bounded_toml.loads(text + "y = 1\n", limit=LIMIT, together=2)["y"] == 1
    with pytest.raises(bounded_toml.TomlError, match="more than 2 parts together"):
        bounded_toml.loads(text + "y.z = 1\n", limit=LIMIT, together=2)


@pytest.mark.parametrize(
    "text", ['"""\\' * 500_000, "x = '''" + "''y" * 500_000, '"\n' * 500_000, 'x = """' + '"" ' * 500_000]
)
def test_texts_without_an_end(text: str) -> None:
    """They are looked through once, not once from each place where one might begin."""
    with pytest.raises(bounded_toml.TomlError):
        bounded_toml.loads(text, limit=LIMIT)


def test_a_lock_of_a_thousand_packages() -> None:
    """It has a third of the parts that are taken, and texts full of dots."""
    wheel = '{ url = "https://a.example/' + "a.b." * 20 + '", hash = "x:0", upload-time = 2024-01-01T00:00:00.1Z },\n'
    head = '[[package]]\nname = "x"\nsource = { registry = "https://a.b" }\nwheels = [\n'
    package = f"{head}{wheel * 10}]\n"
    assert len(bounded_toml.loads(package * 1000, limit=LIMIT)["package"]) == 1000
