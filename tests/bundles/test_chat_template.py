"""Chat templates are programs from somebody else: they are rendered once, under limits, before anything is signed."""

from pathlib import Path

import pytest

from bundles.format.errors import ScanRefused
from bundles.scan import scan_weights
from tests.support.gguf import gguf

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
STRICT = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML


def scanned(tmp_path: Path, template: str, key: str = "tokenizer.chat_template"):
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf({key: template}))
    return scan_weights(path, adapter=False)


@pytest.mark.parametrize("template", [CHATML, STRICT, CHATML + "{{ strftime_now('%d %b %Y') }}{{ [1]|tojson }}"])
def test_ordinary_templates_pass(tmp_path: Path, template: str) -> None:
    assert scanned(tmp_path, template).chat_template


HOSTILE = {
    "memory": ("{% set x = 'a' * 300000000 %}" + CHATML, "MiB of memory|was ended"),
    "output": (CHATML + "{{ 'a' * 3000000 }}", "characters of a short conversation"),
    "a loop": ("{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}" + CHATML, "was ended"),
    "a huge range": ("{% for a in range(10**9) %}{% endfor %}" + CHATML, "range"),
    "recursion": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}" + CHATML, "never ends"),
    "a big power": ("{{ 9 ** (9 ** 9) }}" + CHATML, "was ended|memory"),
    "the system": ("{{ ''.__class__.__mro__[1].__subclasses__() }}" + CHATML, "unsafe"),
    "a way out": ("{{ cycler.__init__.__globals__.os.popen('id').read() }}" + CHATML, "unsafe|undefined"),
    "changing things": ("{{ messages.append(1) }}" + CHATML, "unsafe|not callable|Security"),
    "nonsense": ("{% for %}", "TemplateSyntaxError"),
    "no question": ("Hello.", "leaves the question out"),
    "a refusal": ("{{ raise_exception('go away') }}", "refuses an ordinary conversation: go away"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_templates_are_refused_with_a_reason(tmp_path: Path, name: str) -> None:
    template, needle = HOSTILE[name]
    with pytest.raises(ScanRefused, match=rf"The chat template of model\.gguf cannot be used: .*({needle})"):
        scanned(tmp_path, template)


def test_every_template_of_a_file_is_looked_at(tmp_path: Path) -> None:
    with pytest.raises(ScanRefused, match=r"tokenizer\.chat_template\.tool_use"):
        scanned(tmp_path, "{% for %}", key="tokenizer.chat_template.tool_use")


@pytest.mark.needs_shared
def test_real_models_pass(shared: Path) -> None:
    assert scan_weights(shared / "models/stories260K-chat.gguf", adapter=False).chat_template
