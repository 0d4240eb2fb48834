"""The recipe is parsed strictly, and its errors name the table."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles.errors import RecipeError
from bundles.recipe import load_recipe
from bundles.recipe_table import FileSource, HubSource

HEAD = """
[bundle]
name = "clinic"
version = "1.0.0"
publisher = "relief"
title = "Clinic"
languages = ["en", "sw"]
"""
MODEL = """
[[model]]
name = "answers"
version = "1"
licence = "MIT"
card = "card.md"
file = "a.gguf"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_kind_is_read(tmp_path: Path) -> None:
    recipe = load_recipe(
        write(
            tmp_path,
            HEAD
            + MODEL
            + """
[[model]]
name = "qwen"
version = "1"
licence = "Apache-2.0"
hub = "Qwen/Qwen3-0.6B-GGUF"
revision = "23749fefcc72300e3a2ad315e1317431b06b590a"
file = "Qwen3-0.6B-Q8_0.gguf"
sha256 = "9465e63a22add5354d9bb4b99e90117043c7124007664907259bd16d043bb031"
[[adapter]]
name = "steps"
version = "1"
licence = "MIT"
base = "answers"
file = "steps.gguf"
[[langpack]]
name = "en-sw"
version = "1"
licence = "MIT"
argos = ["en_sw.argosmodel"]
glossary = "terms.csv"
[[docpack]]
name = "guides"
version = "1"
licence = "CC-BY-4.0"
publisher = "partner"
language = "en"
files = ["docs/*.md"]
[[evalset]]
name = "ten"
version = "1"
licence = "CC0-1.0"
file = "questions.jsonl"
""",
        )
    )
    assert [c.label for c in recipe.components] == [
        "model/answers",
        "model/qwen",
        "adapter/steps",
        "langpack/en-sw",
        "docpack/guides",
        "evalset/ten",
    ]
    qwen, steps, langpack, docpack = recipe.components[1:5]
    assert isinstance(qwen.parts[0].source, HubSource)
    assert qwen.parts[0].source.revision == "23749fefcc72300e3a2ad315e1317431b06b590a"
    assert steps.base == "answers"
    assert [(p.role, p.source) for p in langpack.parts] == [
        ("argos", FileSource(file="en_sw.argosmodel")),
        ("glossary", FileSource(file="terms.csv")),
    ]
    assert (docpack.language, docpack.publisher, steps.publisher) == ("en", "partner", "relief")


@pytest.mark.parametrize(
    ("text", "needle"),
    [
        ("", "no [bundle] table"),
        ("[bundle\n", "not readable as TOML"),
        (HEAD, "no components"),
        (HEAD + 'colour = "red"\n' + MODEL, "[bundle] has unknown keys: colour"),
        (HEAD + "[[modle]]\n" + MODEL, "unknown keys: modle"),
        (HEAD + MODEL + 'sha265 = "0"\n', "[[model]] number 1 has unknown keys: sha265"),
        (HEAD + MODEL + MODEL, "two models called answers"),
        (HEAD + MODEL.replace("[[model]]", "[model]"), "[[model]] is needed, with two brackets"),
        (HEAD + MODEL.replace('"answers"', '"Answers!"'), "[[model]] number 1 name is 'Answers!'"),
        (HEAD + MODEL.replace('"1"', '"../1"'), "version is '../1'"),
        (HEAD + MODEL.replace('file = "a.gguf"', ""), "has no file"),
        (HEAD + MODEL.replace("a.gguf", "model.safetensors"), "names safetensors weights (model.safetensors)"),
        (HEAD + MODEL.replace("a.gguf", "model.safetensors") + 'hub = "Qwen/Qwen3-8B-AWQ"\n', "names AWQ weights"),
        (HEAD + MODEL.replace("a.gguf", "model.safetensors") + 'hub = "x/M-GPTQ-Int4"\n', "names GPTQ weights"),
        (HEAD + MODEL.replace("a.gguf", "m-FP8.safetensors"), "names FP8 weights"),
        (HEAD + MODEL.replace('"MIT"', "3"), "licence is 3"),
        (HEAD + MODEL + 'sha256 = "abc"\n', "sha256 is 'abc'"),
        (HEAD + MODEL + f'revision = "{"0" * 40}"\n', "a revision but no hub"),
        (HEAD + MODEL + 'hub = "Qwen/Q"\nrevision = "main"\n', "revision is 'main'"),
        (HEAD + MODEL + 'hub = "https://elsewhere/x"\n', "hub is "),
        (
            HEAD + MODEL + '[[adapter]]\nname="a"\nversion="1"\nlicence="MIT"\nbase="other"\nfile="l.gguf"\n',
            "no model of this recipe",
        ),
        ("format = 2\n" + HEAD + MODEL, "has format 2"),
        (HEAD + '[[docpack]]\nname="d"\nversion="1"\nlicence="MIT"\nlanguage="en"\nfiles=[]\n', "has no files"),
        (HEAD.replace('["en", "sw"]', '"en"') + MODEL, "A list of strings is needed"),
        (HEAD.replace('["en", "sw"]', "[]") + MODEL, "languages is empty"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, needle: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path, text))
    assert needle in str(caught.value)


def test_a_repository_may_be_called_anything_as_long_as_the_file_is_gguf(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, HEAD + MODEL + 'hub = "somebody/awq-gptq-fp8-GGUF"\n'))
    assert recipe.components[0].label == "model/answers"


def test_name_and_version_cannot_run_together_to_one_target(tmp_path: Path) -> None:
    """a-1 in version 2 and a in version 1-2 would both be signed as models/relief/a-1-2."""
    first = MODEL.replace('"answers"', '"a-1"').replace('"1"', '"2"')
    second = MODEL.replace('"answers"', '"a"').replace('"1"', '"1-2"')
    with pytest.raises(RecipeError, match="two models called a-1-2"):
        load_recipe(write(tmp_path, HEAD + first + second))


def test_a_missing_recipe_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="There is no recipe"):
        load_recipe(tmp_path / "none.toml")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "file", "x"]), inner),
    max_leaves=4,
)


@settings(deadline=None)
@given(value=_VALUES, key=st.sampled_from(["name", "version", "licence", "card", "file", "sha256", "hub"]))
def test_no_value_breaks_the_parser(value: object, key: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever stands in a key, the answer is a recipe or a RecipeError."""
    lines = [line for line in MODEL.splitlines() if not line.startswith(f"{key} ")]
    path = write(tmp_path_factory.mktemp("recipe"), HEAD + "\n".join(lines) + f"\n{key} = {_toml(value)}\n")
    with contextlib.suppress(RecipeError):
        load_recipe(path)


def _toml(value: object) -> str:
    if value is None:
        return '""'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, int):
        return str(value)
    return '"' + "".join(f"\\U{ord(sign):08x}" for sign in str(value) if not 0xD800 <= ord(sign) <= 0xDFFF) + '"'


def test_a_langpacks_measured_quality_is_kept_and_must_be_a_chrf(tmp_path: Path) -> None:
    pack = '[[langpack]]\nname = "p"\nversion = "1"\nlicence = "MIT"\nglossary = "g.csv"\nquality = ["{}"]\n'
    path = tmp_path / "recipe.toml"
    path.write_text(HEAD + MODEL + pack.format("en>sw:0.62"))
    assert load_recipe(path).components[1].quality == ("en>sw:0.62",)
    path.write_text(HEAD + MODEL + pack.format("en>sw:62"))
    with pytest.raises(RecipeError, match="en>sw:62"):
        load_recipe(path)
