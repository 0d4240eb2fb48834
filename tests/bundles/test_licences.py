"""What may be passed on, and the words with which the rest is refused."""

import zipfile
from pathlib import Path

import pytest

from bundles.format.digest import digest_of
from bundles.format.errors import LicenceRefused, ScanRefused
from bundles.format.licence_policy import ASK, CONDITIONAL, DENY, FREE, judge, refuse_unpassable
from bundles.format.manifest import Descriptor, Layer, Manifest
from bundles.licences import check_licences, check_wheel, read_wheel
from bundles.recipe import Component, Recipe
from tests.support.bundle_factory import Payload, adapter, make_bundle, make_keys, model


@pytest.mark.parametrize(
    ("expression", "outcome"),
    [
        ("CC0-1.0", "allow"),
        ("Apache-2.0", "conditional"),
        ("apache-2.0", "conditional"),
        ("MIT AND CC0-1.0", "conditional"),
        ("MIT OR CC0-1.0", "allow"),
        ("((MIT))", "conditional"),
        ("MIT MIT", "deny"),
        ("MIT AND AND MIT", "deny"),
        ("AND", "deny"),
        ("MIT)", "deny"),
        ("(" * 40 + "MIT" + ")" * 40, "deny"),
        ("MIT WITH", "deny"),
        ("MIT OR GPL-3.0-or-later", "conditional"),
        ("MIT OR CC-BY-NC-4.0", "conditional"),
        ("(MIT AND CC-BY-4.0) OR GPL-3.0-only", "conditional"),
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
    assert bool(verdict.reason) == (outcome in ("ask", "deny"))
    assert verdict.conditions or outcome == "deny"


def test_accepting_opens_ask_and_never_deny() -> None:
    everything = frozenset(ASK) | frozenset(DENY) | {"CC-BY-NC-4.0", "Proprietary"}
    assert judge("GPL-3.0-only", everything).outcome == "conditional"
    for expression in ("CC-BY-NC-4.0", "LicenseRef-Qwen-Research", "Proprietary"):
        assert judge(expression, everything).outcome == "deny"


def test_each_licence_is_in_one_table() -> None:
    tables = [set(FREE), set(CONDITIONAL), set(ASK), set(DENY)]
    assert sum(map(len, tables)) == len(set.union(*tables))
    assert {key for key in FREE if judge(key).outcome != "allow"} == set()
    assert {key for key in CONDITIONAL if judge(key).outcome != "conditional"} == set()


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


def test_nllb_and_a_research_only_qwen_are_refused_with_the_reason() -> None:
    nllb = component("langpack", "nllb-en-sw", "CC-BY-NC-4.0")
    with pytest.raises(LicenceRefused) as caught:
        check_licences(recipe(component("model", "m", "MIT"), nllb))
    assert str(caught.value).startswith("langpack/nllb-en-sw under CC-BY-NC-4.0 may not be passed on: CC-BY-NC-4.0 f")
    qwen = component("model", "qwen2.5-3b", "LicenseRef-Qwen-Research")
    adapter = component("adapter", "style", "Apache-2.0", base="qwen2.5-3b")
    with pytest.raises(LicenceRefused, match=r"model/qwen2\.5-3b .* it allows research only"):
        check_licences(recipe(qwen))
    with pytest.raises(LicenceRefused, match=r"adapter/style under .* it allows research only"):
        check_licences(recipe(adapter, qwen))


def test_the_same_gate_stands_at_every_reader(tmp_path: Path) -> None:
    """A bundle that somebody signed without our gate: headquarters' key does not make it lawful."""
    keys = make_keys(tmp_path / "keys")
    for licence, needle in (("CC-BY-NC-4.0", "commercial"), ("GPL-3.0-only", "Somebody must read")):
        with pytest.raises(LicenceRefused, match=f"model/answers .*{needle}"):
            make_bundle(tmp_path / "bundle", keys, components=[model(licence=licence), adapter()])
    with pytest.raises(LicenceRefused, match=r"adapter/steps is under \(Apache-2\.0\) AND \(LicenseRef-Gemma\)"):
        refuse_unpassable([parsed(adapter()), parsed(model(licence="LicenseRef-Gemma"))], frozenset())
    refuse_unpassable([parsed(adapter()), parsed(model(licence="LicenseRef-Gemma"))], frozenset({"LicenseRef-Gemma"}))


def parsed(payload: Payload) -> Manifest:
    layers = tuple(
        Layer(path=path, blob=Descriptor(media_type="x", digest=digest_of(data), size=len(data)))
        for path, data in payload.files.items()
    )
    return Manifest(
        kind=payload.kind, name=payload.name, publisher="us", version="1", licence=payload.licence,
        config=layers[0].blob, layers=layers, annotations=payload.annotations or {},
    )  # fmt: skip


WHEELS = [
    ("License-Expression: MIT", "MIT", "conditional"),
    ("License-Expression: MIT OR GPL-2.0-only", "MIT OR GPL-2.0-only", "conditional"),
    ("License: BSD", "BSD-3-Clause", "conditional"),
    ("License: Apache License, Version 2.0", "Apache-2.0", "conditional"),
    ("Classifier: License :: OSI Approved :: MIT License", "MIT", "conditional"),
    ("Classifier: License :: OSI Approved\nLicense: MIT License", "MIT", "conditional"),
    ("Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)", "GPL-3.0-only", "ask"),
    ("Classifier: License :: Other/Proprietary License", "LicenseRef-Other-Proprietary-License", "deny"),
    ("License: free for friends", "free for friends", "deny"),
    ("Summary: nothing said", "", "deny"),
]


@pytest.mark.parametrize(("line", "licence", "outcome"), WHEELS)
def test_wheels_are_judged_by_what_they_say(tmp_path: Path, line: str, licence: str, outcome: str) -> None:
    path = tmp_path / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("thing/__init__.py", "")
        archive.writestr("thing-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n{line}\n")
        archive.writestr("thing-1.0.dist-info/licenses/LICENSE.txt", "Copyright Thing")
    wheel = read_wheel(path)
    assert (wheel.name, wheel.version, wheel.licence) == ("thing", "1.0", licence)
    assert wheel.notices == (("thing-1.0.dist-info/licenses/LICENSE.txt", "Copyright Thing"),)
    assert judge(wheel.licence).outcome == outcome
    if outcome in ("ask", "deny"):
        with pytest.raises(LicenceRefused, match=r"wheel thing 1\.0"):
            check_wheel(wheel)


def test_what_is_no_wheel_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.whl"
    path.write_bytes(b"PK no zip")
    with pytest.raises(ScanRefused, match="no sound wheel"):
        read_wheel(path)
