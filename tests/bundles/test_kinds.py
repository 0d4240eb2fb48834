"""Every kind on its way through a build: split weights, PEFT adapters, words for the page, datasets, runtimes."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from bundles.build import build
from bundles.errors import RecipeError
from bundles.format.errors import ScanRefused
from bundles.format.runtime_archive import check_runtime
from bundles.inspection import inspect_bundle
from bundles.lock import make_lock, write_lock
from bundles.recipe import load_recipe
from bundles.scan import scan_split
from bundles.trust import open_signer
from bundles.word_lists import check_glossary, check_strings
from tests.support import tiny_llm
from tests.support.bundle_factory import DATE, INSTALLER, PASSPHRASE, make_keys
from tests.support.gguf import gguf
from tests.support.tiny_llm import TinyModel, random_lora, write_peft

HEAD = """
[bundle]
name = "b"
version = "1"
publisher = "relief"
title = "B"
languages = ["en"]
ram_mb = 1500
why = "For a test."
"""


def made(folder: Path, text: str) -> dict:
    """The components of a bundle built of this recipe, by label, each with its files' paths."""
    (folder / "recipe.toml").write_text(HEAD + text)
    recipe = load_recipe(folder / "recipe.toml")
    write_lock(recipe, make_lock(recipe, lambda *_: pytest.fail("nothing is on the Hub")))
    (folder / "installer.pyz").write_bytes(INSTALLER)
    signer = open_signer(make_keys(folder / "keys").folder, PASSPHRASE)
    place = {"out": folder / "out", "installer": folder / "installer.pyz", "cache": folder / "cache"}
    built = build(recipe.path, signer=signer, date=DATE, **place)
    return {f"{c.kind}/{c.name}": c for c in built.components}


def split(folder: Path, count: int) -> list[Path]:
    """Weights in pieces, as llama-gguf-split writes them: only the first says what it is."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        head = {"split.no": number, "split.count": count}
        data = gguf(head, note=str(number)) if number == 0 else _later_piece(head)
        paths.append(folder / f"big-{number + 1:05}-of-{count:05}.gguf")
        paths[-1].write_bytes(data)
    return paths


def _later_piece(head: dict[str, int]) -> bytes:
    whole = gguf(head)
    name = b"general.architecture"
    return whole.replace(name, b"general.piece_number")


def test_a_split_model_is_one_component_of_several_files(tmp_path):
    split(tmp_path / "w", 3)
    text = """
[[model]]
name = "big"
version = "1"
licence = "MIT"
file = "w/big-00001-of-00003.gguf"
"""
    big = made(tmp_path, text)["model/big"]
    assert [layer.path for layer in big.layers if layer.weights] == [f"big-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    assert big.facts.parameters == 3 * 16


def test_pieces_in_the_wrong_order_or_number_are_refused(tmp_path):
    one, two, three = split(tmp_path, 3)
    with pytest.raises(ScanRefused, match=r"piece 3 of 3 .* Piece 2 of 3"):
        scan_split([one, three, two])
    with pytest.raises(ScanRefused, match="piece 1 of 3"):
        scan_split([one])
    text = '[[model]]\nname="m"\nversion="1"\nlicence="MIT"\nfile="x-00001-of-00002.gguf"\n'
    (tmp_path / "recipe.toml").write_text(HEAD + text + f'sha256 = ["{"0" * 64}"]\n')
    with pytest.raises(RecipeError, match="One for each of 2 files"):
        load_recipe(tmp_path / "recipe.toml")


def test_a_peft_adapter_is_converted_in_the_build(tmp_path):
    TinyModel.random("llama").write_gguf(tmp_path / "base.gguf")
    shapes = {name: (rows, columns) for name, (_, rows, columns) in tiny_llm.modules().items()}
    write_peft(tmp_path / "peft", random_lora(shapes))
    components = made(
        tmp_path,
        """
[[model]]
name = "base"
version = "1"
licence = "MIT"
file = "base.gguf"
[[adapter]]
name = "style"
version = "1"
licence = "MIT"
base = "base"
peft = "peft"
""",
    )
    base = next(layer.sha256 for layer in components["model/base"].layers)
    assert [layer.path for layer in components["adapter/style"].layers] == ["style.gguf"]
    assert components["adapter/style"].annotations == {"org.fieldpost.base": f"sha256:{base}"}


def test_words_datasets_runtimes_and_the_model_that_embeds(tmp_path):
    (tmp_path / "so.json").write_text('{"ask": "Weydii"}')
    (tmp_path / "terms.csv").write_text("en,so\nwater,biyo\n")
    (tmp_path / "train.jsonl").write_text('{"question": "?"}\n')
    (tmp_path / "CARD.md").write_text("---\nlicense: mit\n---\n# Terms\n")
    (tmp_path / "e.gguf").write_bytes(gguf())
    with tarfile.open(tmp_path / "run.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("site-packages/x.py"), io.BytesIO())
    components = made(
        tmp_path,
        """
[[model]]
name = "e"
version = "1"
licence = "MIT"
task = "embed"
file = "e.gguf"
[[langpack]]
name = "so"
version = "1"
licence = "MIT"
glossary = "terms.csv"
strings = ["so.json"]
card = "CARD.md"
[[dataset]]
name = "d"
version = "1"
licence = "MIT"
language = "so"
files = ["train.jsonl"]
[[runtime]]
name = "r"
version = "1"
licence = "MIT"
platform = "linux-x86_64-cp311"
file = "run.tar"
""",
    )
    assert components["model/e"].annotations == {"org.fieldpost.task": "embed"}
    assert [layer.path for layer in components["langpack/so"].layers] == [
        "README.md",
        "glossary.csv",
        "strings/so.json",
    ]
    assert components["dataset/d"].annotations == {"org.fieldpost.language": "so"}
    facts = inspect_bundle(tmp_path / "out")
    assert (facts.ram_mb, facts.why) == (1500, "For a test.")
    told = {c.name: c for c in facts.components}
    assert told["so"].card == "---\nlicense: mit\n---\n# Terms\n"
    assert told["r"].annotations == {"org.fieldpost.platform": "linux-x86_64-cp311"}


def archive(folder: Path, entry: tarfile.TarInfo, mode: str = "w") -> Path:
    path = folder / "x.tar"
    with tarfile.open(path, mode) as made_archive:
        made_archive.addfile(entry)
    return path


def test_a_runtime_with_a_way_out_is_refused(tmp_path):
    link, device, rooted = tarfile.TarInfo("a/link"), tarfile.TarInfo("a/zero"), tarfile.TarInfo("a/su")
    link.type, link.linkname, device.type, rooted.mode = tarfile.SYMTYPE, "/etc", tarfile.CHRTYPE, 0o4755
    for entry in (link, device, rooted, tarfile.TarInfo("../x"), tarfile.TarInfo("/x")):
        with pytest.raises(ScanRefused, match=r"no plain file|leads outside"):
            check_runtime(archive(tmp_path, entry))
    with pytest.raises(ScanRefused, match="no plain tar"):
        check_runtime(archive(tmp_path, tarfile.TarInfo("x"), "w:gz"))


@pytest.mark.parametrize(
    ("text", "needle"),
    [
        ("", "begins with 'nothing'"),
        ("en;sw\nwater;maji\n", "separated by semicolons"),
        ("word,translation\n", "names two languages"),
        ("en,sw\nwater\n", "Line 2 of g.csv is 'water'"),
        ("en,sw\nwater,maji\nWater ,maji\n", "Line 3 of g.csv gives 'Water ' again, as line 2"),
        (f"en,sw\n{'x' * 201},maji\n", "longer than 200"),
    ],
)
def test_a_slip_in_a_glossary_is_told_with_its_line(text, needle):
    with pytest.raises(ScanRefused) as caught:
        check_glossary(text, "g.csv")
    assert needle in str(caught.value)


def test_a_glossary_as_spreadsheets_save_it_is_read():
    assert check_glossary('\ufeffen,sw,note\r\n"bleach, liquid",bleach,kept\r\n,,\r\n', "g.csv") == 1


@pytest.mark.parametrize(
    ("name", "words", "needle"),
    [
        ("words.json", {"ask": "x"}, "named after no language"),
        ("so.json", [], "holds no words"),
        ("so.json", {"ask": "<b>x</b>"}, "holds < > &"),
        ("so.json", {"Ask!": "x"}, "'Ask!'"),
        ("so.json", {"ask": 3}, "'ask': 3"),
    ],
)
def test_words_of_the_page_are_plain(name, words, needle):
    with pytest.raises(ScanRefused) as caught:
        check_strings(json.dumps(words), name)
    assert needle in str(caught.value)
