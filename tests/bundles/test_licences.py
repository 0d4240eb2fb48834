"""What may be passed on, and the words with which the rest is refused."""

from pathlib import Path

import pytest

from bundles.errors import LicenceRefused
from bundles.licences import ALLOW, ASK, DENY, check_licences, judge
from bundles.recipe import Component, Recipe


@pytest.mark.parametrize(
    ("expression", "outcome"),
    [
        ("Apache-2.0", "allow"),
        ("apache-2.0", "allow"),
        ("MIT OR GPL-3.0-or-later", "allow"),
        ("MIT OR CC-BY-NC-4.0", "allow"),
        ("(MIT AND CC-BY-4.0) OR GPL-3.0-only", "allow"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "ask"),
        ("MIT AND GPL-3.0-only", "ask"),
        ("LicenseRef-Llama-3.2", "ask"),
        ("CC-BY-NC-4.0", "deny"),
        ("cc-by-nc-sa-3.0-igo", "deny"),
        ("LicenseRef-Model-Non-Commercial", "deny"),
        ("Apache-2.0 AND CC-BY-NC-4.0", "deny"),
        ("LicenseRef-Qwen-Research", "deny"),
        ("Proprietary", "deny"),
        ("LicenseRef-Ours", "deny"),
        ("MIT OR", "deny"),
        ("MIT AND (", "deny"),
        ("", "deny"),
        ("MIT, mostly", "deny"),
    ],
)
def test_the_table_decides(expression: str, outcome: str) -> None:
    verdict = judge(expression)
    assert verdict.outcome == outcome, verdict
    assert bool(verdict.reason) == (outcome != "allow")


def test_accepting_opens_ask_and_never_deny() -> None:
    everything = frozenset(ASK) | frozenset(DENY) | {"CC-BY-NC-4.0", "Proprietary"}
    assert judge("GPL-3.0-only", everything).outcome == "allow"
    for expression in ("CC-BY-NC-4.0", "LicenseRef-Qwen-Research", "Proprietary"):
        assert judge(expression, everything).outcome == "deny"


def test_each_licence_is_in_one_table() -> None:
    assert not ALLOW & ASK.keys() and not ALLOW & DENY.keys() and not ASK.keys() & DENY.keys()
    assert {key for key in ALLOW if judge(key).outcome != "allow"} == set()


def component(kind: str, name: str, licence: str, base: str | None = None) -> Component:
    return Component(kind=kind, name=name, version="1", licence=licence, publisher="us", parts=(), base=base)


def recipe(*components: Component, accepted: frozenset[str] = frozenset()) -> Recipe:
    return Recipe(
        path=Path("recipe.toml"), name="b", version="1", publisher="us", title="B", languages=("en",),
        components=components, accepted_licences=accepted,
    )  # fmt: skip


def test_an_adapter_is_bound_by_its_base() -> None:
    base = component("model", "base", "LicenseRef-Gemma")
    adapter = component("adapter", "style", "MIT", base="base")
    with pytest.raises(LicenceRefused) as caught:
        check_licences(recipe(adapter, base))
    assert "adapter/style" in str(caught.value) and "LicenseRef-Gemma" in str(caught.value)
    check_licences(recipe(adapter, base, accepted=frozenset({"LicenseRef-Gemma"})))


def test_only_ask_licences_can_be_accepted() -> None:
    """A slip of the pen in accepted_licences must not look like a decision."""
    for name in ("MIT", "CC-BY-NC-4.0", "LicenseRef-Gema"):
        with pytest.raises(LicenceRefused, match=name):
            check_licences(recipe(component("model", "m", "MIT"), accepted=frozenset({name})))


def test_a_refusal_names_component_and_reason() -> None:
    with pytest.raises(LicenceRefused) as caught:
        check_licences(recipe(component("langpack", "nllb", "CC-BY-NC-4.0")))
    assert "langpack/nllb" in str(caught.value) and "forbids commercial use" in str(caught.value)
    with pytest.raises(LicenceRefused, match="accepted_licences"):
        check_licences(recipe(component("docpack", "d", "GPL-3.0-only")))
