"""Working folders of the contributor's kit, finished, and what becomes of them: for the tests of both ends."""

from pathlib import Path

from click.testing import CliRunner

from bundles.cli import main
from bundles.contribute import Base, Beginning, new_folder
from bundles.package import new_contributor
from tests.support import tiny_llm
from tests.support.bundle_factory import PASSPHRASE
from tests.support.tiny_llm import random_lora, write_peft

SHAPES = {name: (rows, columns) for name, (_, rows, columns) in tiny_llm.modules().items()}


def no_index(files, *, docpack, language, out, embed=None):
    """In the place of ``fieldpost index``, whose own test is test_real_recipes: the same documents, the same bytes."""
    out.write_bytes(b"".join(file.read_bytes() for file in files))


def beginning(kind: str, base: Path, licence: str = "CC-BY-4.0") -> Beginning:
    return Beginning(
        kind=kind,
        name="amina-steps",
        publisher="amina",
        language="so",
        licence=licence,
        base=Base(file=base, licence="Apache-2.0") if kind == "adapter" else None,
    )


def finished(folder: Path, base: Path, kind: str = "adapter") -> Path:
    """A working folder in which everything is written."""
    new_folder(folder, beginning(kind, base))
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix in (".md", ".csv", ".json"):
            path.write_text(path.read_text().replace("TODO", f"Written {path.stat().st_ino}."))
    (folder / "glossary.csv").exists() and (folder / "glossary.csv").write_text("en,so\nwater,biyo\n")
    if kind == "adapter":
        write_peft(folder / "peft", random_lora(SHAPES))
    return folder


def packed(folder: Path, out: Path, key: Path) -> Path:
    words = ["pack", str(folder), "--key", str(key), "--out", str(out), "--date", "2026-11-24"]
    done = CliRunner().invoke(main, words, env={"FIELDPOST_PASSPHRASE": PASSPHRASE})
    assert done.exit_code == 0, done.output
    return out


def make_amina(folder: Path) -> Path:
    """A contributor's key."""
    new_contributor(folder, "amina", PASSPHRASE, kdf_rounds=1)
    return folder / "amina.key"
