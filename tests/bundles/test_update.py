"""Partial bundles: what a site lacks and nothing else, deltas where they pay, and the signed bytes on the box."""

import errno
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bundles.check import check_bundle
from bundles.cli import main
from bundles.delta import make_delta
from bundles.errors import UpdateError
from bundles.format.delta import MARGIN, SEGMENT, Delta, apply_delta, delta_path, deltas_in, stretch
from bundles.format.digest import root_fingerprint
from bundles.indexer import fieldpost_index
from bundles.stick import write_stick
from bundles.update import compare, write_update
from installer.errors import SourceDamaged
from installer.install import install
from tests.support.bundle_factory import Keys, adapter, langpack, make_bundle, make_keys, model, part
from tests.support.gguf import holding

NOISE = random.Random(5).randbytes
WEIGHTS = holding(NOISE(3_000_000))
LORA = holding(NOISE(200_000), {"general.type": "adapter"})


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return make_keys(tmp_path_factory.mktemp("ngo") / "keys")


def put(keys: Keys, stick: Path, home: Path):
    return install(stick, home, confirm=lambda *_: None, progress=lambda *_: None)


def paragraphs(seed: int, count: int) -> list[str]:
    rng = random.Random(seed)
    words = [f"{rng.choice('bdfklmnst')}{rng.choice('aeiou')}{rng.choice('bdfklmnst')}{n % 97}" for n in range(3000)]
    return [" ".join(rng.choices(words, k=60)) + "." for _ in range(count)]


def edited(texts: list[str], share: float) -> list[str]:
    """That share of neighbouring paragraphs written anew, as when somebody revises a chapter."""
    start, count = len(texts) // 3, int(len(texts) * share)
    return [*texts[:start], *paragraphs(99, count), *texts[start + count :]]


def pack(files: dict[str, str], folder: Path, **more: object):
    """A docpack with its real index."""
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    out = folder / "index.sqlite"
    fieldpost_index([folder / name for name in files], docpack="guides", language="en", out=out)
    data = {name: text.encode() for name, text in files.items()} | {"index.sqlite": out.read_bytes()}
    return part("docpack", "guides", data, annotations={"org.fieldpost.language": "en"}, **more)


def test_a_changed_lora_never_sends_the_base_again(keys: Keys, tmp_path: Path) -> None:
    old = make_bundle(tmp_path / "old", keys, components=[model(WEIGHTS), adapter(LORA, base=WEIGHTS), langpack()])
    retrained = adapter(NOISE(200_000), base=WEIGHTS, version="0.2.0")
    new = make_bundle(tmp_path / "new", keys, version="2", components=[model(WEIGHTS), retrained, langpack()])
    update = compare(old, new)
    assert {part.how for part in update.parts if part.component == "model/answers"} == {"there"}
    assert {part.how for part in update.parts if part.path == "steps.gguf"} == {"whole"}
    assert len(LORA) < update.sent < len(LORA) + 30_000
    out = tmp_path / "out"
    assert write_update(old, new, out) == update
    assert sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) < len(LORA) + 35_000
    checked = check_bundle(out, keys.root.read_bytes())
    assert checked.absent == sum(part.how == "there" for part in update.parts) > 3


def test_an_edit_of_three_per_cent_costs_under_two(keys: Keys, tmp_path: Path) -> None:
    """The whole matrix, with packs of 20 MB, is scripts/soak deltas."""
    texts = paragraphs(1, 4_000)
    files = {f"guide-{n}.md": "\n\n".join(texts[n * 1000 : (n + 1) * 1000]) for n in range(4)}
    changed = edited(texts, 0.03)
    after = {f"guide-{n}.md": "\n\n".join(changed[n * 1000 : (n + 1) * 1000]) for n in range(4)}
    old = make_bundle(tmp_path / "old", keys, components=[model(WEIGHTS), pack(files, tmp_path / "a")])
    new = make_bundle(
        tmp_path / "new", keys, version="2", components=[model(WEIGHTS), pack(after, tmp_path / "b", version="2")]
    )
    update = write_update(old, new, tmp_path / "out")
    documents = [part for part in update.parts if part.path.startswith("guide-")]
    assert sorted(part.how for part in documents) == ["delta", "there", "there", "there"]
    assert sum(part.sent for part in documents) < 0.02 * sum(part.size for part in documents)
    (index,) = (part for part in update.parts if part.path == "index.sqlite")
    assert index.how == "delta" and index.file.endswith(".index")
    sent = index.sent + sum(part.sent for part in documents)
    assert sent < 0.02 * sum(part.size for part in documents), "documents and index together"
    stick = tmp_path / "stick"
    stick.mkdir()
    write_stick(tmp_path / "out", stick)
    put(keys, old, tmp_path / "home")
    assert put(keys, stick, tmp_path / "home").version == "2"
    now = tmp_path / "home/current/docpacks/fieldpost/guides"
    assert (now / "index.sqlite").read_bytes() == (tmp_path / "b/index.sqlite").read_bytes()
    assert {name: (now / name).read_text() for name in after} == after


def test_a_box_without_the_old_bundle_refuses_and_says_which_stick_it_needs(keys: Keys, tmp_path: Path) -> None:
    old, _, out = grown(keys, tmp_path)
    with pytest.raises(SourceDamaged, match="use a stick of the whole bundle"):
        put(keys, out, tmp_path / "empty")
    put(keys, old, tmp_path / "home")
    put(keys, out, tmp_path / "home")


def grown(keys: Keys, tmp_path: Path, note: bytes = b"") -> tuple[Path, Path, Path]:
    """An old bundle, a new one whose weights changed in one place, and the update between them."""
    old = make_bundle(tmp_path / "old", keys, components=[model(WEIGHTS)])
    changed = WEIGHTS[:1000] + b"a new chat template" + note + WEIGHTS[1000:]
    new = make_bundle(tmp_path / "new", keys, version="2", components=[model(changed, version="2")])
    update = write_update(old, new, tmp_path / "out")
    assert [part.how for part in update.parts if part.path == "answers.gguf"] == ["delta"]
    assert update.sent < 30_000
    return old, new, tmp_path / "out"


def indexed(keys: Keys, tmp_path: Path) -> tuple[Path, Path]:
    """A small docpack's old bundle, and the update after an edit, with the index as rows."""
    texts = paragraphs(3, 60)
    before, after = ({"guide.md": "\n\n".join(t)} for t in (texts, edited(texts, 0.1)))
    old = make_bundle(tmp_path / "old", keys, components=[pack(before, tmp_path / "a")])
    new = make_bundle(tmp_path / "new", keys, version="2", components=[pack(after, tmp_path / "b", version="2")])
    write_update(old, new, tmp_path / "out")
    return old, tmp_path / "out"


def test_false_rows_of_an_index_give_nothing_wrong(keys: Keys, tmp_path: Path) -> None:
    import zstandard

    old, out = indexed(keys, tmp_path)
    (delta,) = (delta for delta in deltas_in(out) if delta.index)
    path = out / delta.path
    data = path.read_bytes()
    before = put(keys, old, tmp_path / "home")
    for harm in (
        data[:-40] + bytes([data[-40] ^ 255]) + data[-39:],
        data[:-20],
        data + b"more",
        zstandard.compress(b"{}"),
        zstandard.compress(b'{"docpack":{},"documents":' + b"[" * (4 << 20)),
    ):
        path.write_bytes(harm)
        with pytest.raises(SourceDamaged, match=r"deltas/.*\.index"):
            put(keys, out, tmp_path / "home")
        assert (tmp_path / "home/current").readlink().name == str(before.release)
        assert not list((tmp_path / "home/staging").iterdir())
    path.write_bytes(data)
    assert put(keys, out, tmp_path / "home").version == "2"


def test_a_false_delta_does_not_stand_before_a_good_one(keys: Keys, tmp_path: Path) -> None:
    import zstandard

    old, _, out = grown(keys, tmp_path)
    (delta,) = deltas_in(out)
    # It sorts before the good one, and needs no base.
    (out / delta.path.partition(".")[0]).write_bytes(zstandard.compress(b"other bytes"))
    put(keys, old, tmp_path / "home")
    assert put(keys, out, tmp_path / "home").version == "2"


def test_a_bare_python_makes_the_index_again(keys: Keys, tmp_path: Path) -> None:
    """The installer as it travels, without this environment."""
    old, out = indexed(keys, tmp_path)
    pyz = tmp_path / "installer.pyz"
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-m", "installer.build_pyz", pyz], cwd=root, check=True)
    for stick in (old, out):
        words = [
            "--from",
            stick,
            "--home",
            tmp_path / "home",
            "--fingerprint",
            root_fingerprint(keys.root.read_bytes()),
        ]
        done = subprocess.run([sys.executable, "-I", "-S", pyz, "install", *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    now = tmp_path / "home/current/docpacks/fieldpost/guides/index.sqlite"
    assert now.read_bytes() == (tmp_path / "b/index.sqlite").read_bytes()


@pytest.mark.parametrize("harm", ["flip", "cut", "longer", "other", "bomb"])
def test_a_false_delta_gives_nothing_wrong_and_a_whole_stick_mends_it(keys: Keys, tmp_path: Path, harm: str) -> None:
    old, new, out = grown(keys, tmp_path)
    (delta,) = deltas_in(out)
    path = out / delta.path
    data = path.read_bytes()
    import zstandard

    path.write_bytes(
        {
            "flip": data[:-40] + bytes([data[-40] ^ 255]) + data[-39:],
            "cut": data[:-20],
            "longer": data + b"more",
            "other": zstandard.compress(b"other bytes"),
            "bomb": zstandard.compress(bytes(1 << 28)),
        }[harm]
    )
    before = put(keys, old, tmp_path / "home")
    with pytest.raises(SourceDamaged, match="deltas/"):
        put(keys, out, tmp_path / "home")
    assert (tmp_path / "home/current").readlink().name == str(before.release)
    put(keys, new, tmp_path / "home")
    assert (tmp_path / "home/current/models/fieldpost/answers/answers.gguf").read_bytes()[1000:1005] == b"a new"


def test_a_rotten_old_file_on_the_box_is_not_built_upon(keys: Keys, tmp_path: Path) -> None:
    old, _, out = grown(keys, tmp_path)
    put(keys, old, tmp_path / "home")
    (delta,) = deltas_in(out)
    base = tmp_path / "home/blobs/sha256" / delta.base.removeprefix("sha256:")
    base.chmod(0o644)
    base.write_bytes(WEIGHTS[:-1] + b"?")
    with pytest.raises(SourceDamaged):
        put(keys, out, tmp_path / "home")


def test_a_stick_gives_back_the_deltas_or_is_refused(keys: Keys, tmp_path: Path) -> None:
    old, new, out = grown(keys, tmp_path)
    stick = tmp_path / "stick"
    stick.mkdir()
    write_stick(old, stick)
    write_stick(out, stick)
    assert not (stick / "blobs/sha256" / next(deltas_in(out)).base.removeprefix("sha256:")).exists()
    write_stick(new, stick)  # a whole bundle takes the update's place
    assert not list((stick / "deltas").iterdir()) and not (stick / "update.json").exists()
    assert check_bundle(stick, keys.root.read_bytes()).absent == 0


def test_what_no_box_would_take_is_refused(keys: Keys, tmp_path: Path) -> None:
    old, new, out = grown(keys, tmp_path)
    with pytest.raises(UpdateError, match="never goes back"):
        compare(new, old)
    with pytest.raises(UpdateError, match="the same edition"):
        compare(old, old)
    with pytest.raises(UpdateError, match="partial bundle itself"):
        compare(old, out)
    other = make_bundle(tmp_path / "other", make_keys(tmp_path / "keys2"), components=[model(WEIGHTS)])
    with pytest.raises(UpdateError, match="one organisation"):
        compare(other, new)


def test_a_missing_file_of_a_whole_bundle_stays_an_error(keys: Keys, tmp_path: Path) -> None:
    old, *_ = grown(keys, tmp_path)
    (max((old / "blobs/sha256").iterdir(), key=lambda p: p.stat().st_size)).unlink()
    with pytest.raises(Exception, match="is missing"):
        check_bundle(old, keys.root.read_bytes())


def test_a_full_disk_is_not_the_deltas_fault(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"Boil the water. " * 100)
    delta = Delta(path=delta_path("sha256:" + "0" * 64, None), digest="sha256:" + "0" * 64, base=None)
    assert make_delta(None, tmp_path / "new", tmp_path / delta.path, most=10_000, label="new")

    def full(_piece: bytearray) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left"):
        apply_delta(tmp_path, delta, None, 1600, full)


def test_the_stretches_cover_the_old_file_and_stay_small() -> None:
    size = 5 << 30
    for number in range(size // SEGMENT):
        first, last = stretch(number, size)
        assert first <= number * SEGMENT and last >= min(size, (number + 1) * SEGMENT)
        assert last - first <= SEGMENT + 2 * MARGIN
    assert stretch(0, 0) == (0, 0) and stretch(9, 10) == (10, 10)


def test_the_commands_tell_megabytes_by_part(keys: Keys, tmp_path: Path) -> None:
    old, new, _ = grown(keys, tmp_path)
    run = CliRunner()
    said = run.invoke(main, ["diff", str(old), str(new)])
    assert said.exit_code == 0, said.output
    assert "From demo 0.1.0 to demo 2" in said.output and "model/answers" in said.output
    assert "A site receives 0.0" in said.output and "of 3.0" in said.output
    told = json.loads(run.invoke(main, ["diff", str(old), str(new), "--json"]).stdout)
    assert told["sent"] < 30_000 < told["size"]
    said = run.invoke(main, ["update", str(old), str(new), "--out", str(tmp_path / "cli"), "--files"])
    assert said.exit_code == 0 and "answers.gguf" in said.output
    said = run.invoke(main, ["verify", str(tmp_path / "cli"), "--trust", str(keys.root)])
    assert "A partial bundle: 2 files" in said.output
