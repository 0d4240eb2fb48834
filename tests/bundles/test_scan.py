"""GGUF headers are read in a child with limits, and nothing that can run code gets through."""

import json
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles.format.errors import ScanRefused
from bundles.format.gguf_header import MalformedError, read_header
from bundles.format.screen import gguf_facts, refuse_dangerous
from bundles.scan import scan_document, scan_text, scan_weights
from tests.support.gguf import gguf, key, lora, string, tensor


def weights(folder: Path, data: bytes, name: str = "w.gguf") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_a_sound_model_tells_what_it_is(tmp_path: Path) -> None:
    template = {"tokenizer.chat_template": "{{ messages[-1].content }}"}
    facts = scan_weights(weights(tmp_path, gguf(template)), adapter=False)
    assert (facts.architecture, facts.parameters, facts.chat_template) == ("llama", 16, True)


def test_a_model_is_no_adapter_and_the_other_way_round(tmp_path: Path) -> None:
    assert scan_weights(weights(tmp_path, lora()), adapter=True).type == "adapter"
    with pytest.raises(ScanRefused, match="type adapter"):
        scan_weights(weights(tmp_path, lora()), adapter=False)
    with pytest.raises(ScanRefused, match="type model"):
        scan_weights(weights(tmp_path, gguf()), adapter=True)
    with pytest.raises(ScanRefused, match="type vocab"):
        scan_weights(weights(tmp_path, gguf({"general.type": "vocab"})), adapter=False)


@pytest.mark.parametrize(
    ("kind", "tensors"),
    [
        ("AWQ", {"l.qweight": "I32", "l.qzeros": "I32", "l.scales": "F16"}),
        ("GPTQ", {"l.qweight": "I32", "l.qzeros": "I32", "l.g_idx": "I32"}),
        ("FP8", {"l.weight": "F8_E4M3", "l.weight_scale": "F32"}),
        ("safetensors", {"l.weight": "BF16"}),
    ],
)
def test_weights_for_other_engines_are_recognised_whatever_they_are_called(
    tmp_path: Path, kind: str, tensors: dict[str, str]
) -> None:
    told = {name: {"dtype": type_, "shape": [1], "data_offsets": [0, 4]} for name, type_ in tensors.items()}
    header = json.dumps({"__metadata__": {"format": "pt"}, **told}).encode()
    with pytest.raises(ScanRefused, match=rf"holds {kind} weights.*GGUF only.*\[upstream\]"):
        scan_weights(weights(tmp_path, struct.pack("<Q", len(header)) + header + bytes(4)), adapter=False)


def head(tensors: int = 0, keys: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys)


BIG = (1 << 63) + 5
ARCH = key("general.architecture", "llama")


@pytest.mark.parametrize(
    ("data", "needle"),
    [
        (b"", "does not begin with GGUF"),
        (b"GGML" + bytes(40), "does not begin with GGUF"),
        (gguf(version=99), "version 99"),
        (head(tensors=BIG) + bytes(64), "tensors and"),
        (head(keys=BIG) + bytes(64), "keys"),
        (head(keys=1) + struct.pack("<Q", BIG) + bytes(64), "a string of"),
        (head(keys=1) + string("a") + struct.pack("<IIQ", 9, 8, BIG) + bytes(64), "array of"),
        (head(keys=1) + string("a") + struct.pack("<IIQ", 9, 4, 3_000_000) + bytes(64), "past its end"),
        (head(keys=1) + string("a") + struct.pack("<IIQ", 9, 9, 1) + bytes(64), "array of the type 9"),
        (head(keys=1) + string("a") + struct.pack("<I", 77) + bytes(64), "unknown type 77"),
        (head(keys=2) + ARCH + ARCH + bytes(64), "twice"),
        (gguf({"general.alignment": 3}), "general.alignment is 3"),
        (gguf({"general.alignment": "32"}), "general.alignment is '32'"),
        (head(2, 1) + ARCH + tensor("t", (4,), 0, 0) * 2 + bytes(256), "tensor 't' twice"),
        (head(1, 1) + ARCH + tensor("t", (1,) * 5, 0, 0) + bytes(256), "5 dimensions"),
        (head(1, 1) + ARCH + tensor("t", (1 << 32, 1 << 32), 0, 0) + bytes(256), "has the shape"),
        (head(1, 1) + ARCH + tensor("t", (0,), 0, 0) + bytes(256), "has the shape"),
        (head(1, 1) + ARCH + tensor("t", (33,), 2, 0) + bytes(256), "whole blocks of 32"),
        (head(1, 1) + ARCH + tensor("t", (32,), 200, 0) + bytes(256), "type 200"),
        (head(1, 1) + ARCH + tensor("t", (32,), 0, 64) + bytes(256), "lies at 64, where 0 is next"),
        (gguf()[:-1], "the tensors need"),
        (gguf({"general.architecture": ""}), "no architecture"),
        (b"PK\x03\x04" + bytes(40), "a zip archive"),
        (b"\x80\x04\x95" + bytes(40), "a Python pickle"),
    ],
)
def test_a_broken_header_is_refused_for_its_reason(tmp_path: Path, data: bytes, needle: str) -> None:
    with pytest.raises(ScanRefused) as caught:
        scan_weights(weights(tmp_path, data), adapter=False)
    assert needle in str(caught.value)


def test_a_header_that_takes_too_long_is_ended_and_refused(tmp_path: Path) -> None:
    """Thirty million empty names: every bound of the format holds, and reading them takes many times the second."""
    path, names = tmp_path / "w.gguf", 3_900_000
    with path.open("wb") as file:
        file.write(head(keys=8))
        for number in range(8):
            file.write(string(f"k{number}") + struct.pack("<IIQ", 9, 8, names))
            file.seek(8 * names, os.SEEK_CUR)
        file.truncate(file.tell() + 64)
    with pytest.raises(ScanRefused, match=r"w\.gguf took over 1 s to look at"):
        gguf_facts(path, path.name, timeout_s=1)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_no_mutation_breaks_the_reader(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Read in this process, where a hang or another exception than ours would show."""
    whole = bytearray(gguf({"tokenizer.ggml.tokens": ["a", "b"], "general.alignment": 32}))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    path = weights(tmp_path_factory.getbasetemp(), bytes(whole[:cut] if cut % 2 else whole))
    with path.open("rb") as file:
        try:
            facts = read_header(file, path.stat().st_size)
        except MalformedError:
            return
    assert facts["tensors"] <= 65536


@pytest.mark.parametrize("magic", [b"PK\x03\x04", b"\x80\x02}", b"\x7fELF", b"\x1f\x8b\x08", b"\x89HDF\r\n\x1a\n"])
def test_kinds_that_can_run_or_hide_things_are_refused(tmp_path: Path, magic: bytes) -> None:
    with pytest.raises(ScanRefused):
        refuse_dangerous(magic + bytes(8), "x")
    with pytest.raises(ScanRefused):
        scan_text(weights(tmp_path, magic + b"text", "card.md"))


def test_text_is_utf8_without_nul(tmp_path: Path) -> None:
    assert scan_text(weights(tmp_path, "# Maji\u200f safi\n".encode(), "a.md")) == "# Maji\u200f safi\n"
    with pytest.raises(ScanRefused, match="not UTF-8"):
        scan_text(weights(tmp_path, "Größe".encode("latin-1"), "a.md"))
    with pytest.raises(ScanRefused, match="NUL"):
        scan_text(weights(tmp_path, b"a\x00b", "a.md"))


@pytest.mark.needs_shared
@pytest.mark.parametrize(
    ("name", "adapter", "architecture"),
    [
        ("stories260K-chat.gguf", False, "llama"),
        ("stories260K-lora-demo.gguf", True, "llama"),
        ("all-MiniLM-L6-v2-Q8_0.gguf", False, "bert"),
    ],
)
def test_real_files_pass(shared: Path, name: str, adapter: bool, architecture: str) -> None:
    assert scan_weights(shared / "models" / name, adapter=adapter).architecture == architecture


def test_documents_may_be_office_files_and_pdfs_but_no_programs_or_other_archives(tmp_path: Path) -> None:
    scan_document(weights(tmp_path, b"PK\x03\x04rest", "guide.docx"))
    scan_document(weights(tmp_path, b"%PDF-1.7\n\xff", "guide.pdf"))
    scan_document(weights(tmp_path, b"<p>caf\xe9", "guide.html"))
    scan_document(weights(tmp_path, b"# Maji", "guide.md"))
    for name, data in (
        ("guide.pdf", b"PK\x03\x04rest"),
        ("guide.docx", b"\x7fELFrest"),
        ("guide.docx", b"\x80\x04rest"),
        ("guide.zip", b"PK\x03\x04rest"),
        ("guide.md", b"caf\xe9"),
    ):
        with pytest.raises(ScanRefused, match=name):
            scan_document(weights(tmp_path, data, name))
