"""A bundle with a file of more than 4 GiB on real media: whole on exFAT, in pieces on FAT32, installed from both.

Needs root for the loop device, and 25 GB of disk. A round is 1 GiB of the file.
"""

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bundles.build import assemble
from bundles.check import check_bundle
from bundles.components import Layer, PreparedComponent
from bundles.format.digest import digest_of_file
from bundles.recipe import Recipe
from bundles.stick import FAT_LIMIT, write_stick
from bundles.trust import open_signer
from installer.install import install
from tests.soak.frame import Outcome
from tests.support.bundle_factory import DATE, INSTALLER, Keys, make_keys
from tests.support.gguf import head_for
from tests.support.media import exfat, fat32, from_fat, to_fat

ROUNDS = 4
"""GiB, and a little more."""


def soak(rounds: int, seed: int) -> Outcome:
    """Rows of seconds; a failure is any medium that does not give the bundle back."""
    rows: list[tuple[str, ...]] = []
    size = (rounds << 30) + (64 << 20)
    with tempfile.TemporaryDirectory(prefix="fieldpost-sticks-", dir="/var/tmp") as folder:
        place = Path(folder)
        keys = make_keys(place / "keys")
        root = keys.root.read_bytes()
        bundle = place / "bundle"
        with _timed(rows, "build"):
            _build(bundle, keys, size, seed)
        mount, split, back = place / "mount", place / "split", place / "back"
        for path in (mount, split, back):
            path.mkdir()
        with exfat(place / "exfat", mount, size + (1 << 30)):
            with _timed(rows, "exFAT: written and read back"):
                receipt = write_stick(bundle, mount)
            assert receipt.split_files == 0
        with exfat(place / "exfat", mount), _timed(rows, "exFAT: mounted again, installed"):
            _installed(mount, place / "home1", bundle)
        (place / "exfat").unlink()
        with _timed(rows, "FAT32: written in pieces and read back"):
            receipt = write_stick(bundle, split, largest=FAT_LIMIT)
        assert receipt.split_files == (1 if size > FAT_LIMIT else 0)
        with _timed(rows, "FAT32: onto the image and off it"):
            fat32(place / "fat", size + (1 << 30))
            to_fat(place / "fat", split)
            for path in sorted(split.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            from_fat(place / "fat", back)
        with _timed(rows, "FAT32: checked and installed"):
            assert check_bundle(back, root).split == (size > FAT_LIMIT)
            _installed(back, place / "home2", bundle)
    return Outcome(heads=("step", "seconds"), rows=((f"(a file of {size:,} bytes)", ""), *rows))


def _build(bundle: Path, keys: Keys, size: int, seed: int) -> None:
    """A bundle of one model, whose weights no two MiB of which are alike."""
    weights = bundle.with_name("weights.gguf")
    rng = random.Random(seed)
    block = rng.randbytes(1 << 20)
    head = head_for(size - len(head_for(size)))
    with weights.open("wb") as file:
        for number in range(size >> 20):
            first = head if number == 0 else number.to_bytes(8, "little")
            file.write(first + block[len(first) :])
    pyz = bundle.with_name("installer.pyz")
    pyz.write_bytes(INSTALLER)
    component = PreparedComponent(
        kind="model", name="answers", publisher="fieldpost", version="1", licence="Apache-2.0", title="answers",
        layers=(Layer(path="answers.gguf", here=weights, weights=True),), annotations={},
    )  # fmt: skip
    recipe = Recipe(
        path=bundle, name="large", version="1", publisher="fieldpost", title="Large", languages=("en",), components=(),
        accepted_licences=frozenset(),
    )  # fmt: skip
    signer = open_signer(keys.folder, keys.passphrase)
    assemble(recipe, [component], out=bundle, signer=signer, installer=pyz, date=DATE)
    weights.unlink()


def _installed(stick: Path, home: Path, bundle: Path) -> None:
    install(stick, home, confirm=lambda *_: None, progress=lambda *_: None)
    weights = home / "current/models/fieldpost/answers/answers.gguf"
    assert (bundle / "blobs/sha256" / digest_of_file(weights)[0][7:]).exists()
    weights.unlink()
    for blob in (home / "blobs/sha256").iterdir():
        blob.unlink()


@contextmanager
def _timed(rows: list[tuple[str, ...]], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    rows.append((name, f"{time.perf_counter() - began:.0f}"))
