"""A contributor's working folder, made so that it passes its own check at once and says what is still to be written.

The folder is a recipe with everything beside it; what it begins as lies in ``bundles/kit``. Checking it is
``bundles.contribute_check``'s, packing and signing ``bundles.contribute_pack``'s.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np

from bundles.errors import RecipeError
from bundles.format.digest import digest_of_file
from bundles.format.errors import ScanRefused
from bundles.format.licence_policy import judge
from bundles.lora_convert import ARCHITECTURES, CONFIG, WEIGHTS
from bundles.recipe import LANGUAGE, NAME
from bundles.safetensors_file import safetensors
from bundles.scan import read_layout

KIT = Path(__file__).with_name("kit")
NEW_KINDS = ("adapter", "langpack", "docpack", "dataset")
RECIPE = "recipe.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The model that an adapter is for."""

    file: Path
    licence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What a new folder is about."""

    kind: str
    name: str
    publisher: str
    language: str
    licence: str
    base: Base | None = None
    """For an adapter."""


def new_folder(folder: Path, beginning: Beginning) -> list[Path]:
    """Make the working folder; returns its files, relative to it.

    Raises:
        RecipeError: a name or the licence cannot be used, the base is missing, or the folder is there already.
        ScanRefused: the base is no sound model, or of an architecture whose adapters cannot be converted.
    """
    _check(folder, beginning)
    values = {
        "name": beginning.name,
        "publisher": beginning.publisher,
        "language": beginning.language,
        "licence": beginning.licence,
        "licence_tag": beginning.licence.lower() if " " not in beginning.licence else "other",
    }
    files: dict[str, bytes] = {}
    if beginning.base is not None:
        files |= _empty_adapter(beginning.base.file)
        digest, _ = digest_of_file(beginning.base.file)
        # With slashes also on Windows, where TOML would take a backslash for the beginning of a sign.
        values |= {"base": beginning.base.file.resolve().as_posix(), "base_licence": beginning.base.licence}
        values |= {"base_sha256": digest.removeprefix("sha256:")}
    source = KIT / beginning.kind
    for path in sorted(source.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            name = path.relative_to(source).as_posix().replace("language.json", f"{beginning.language}.json")
            text = path.read_text(encoding="utf-8")
            files[name] = (text if path.suffix == ".py" else Template(text).safe_substitute(values)).encode()
    try:
        for name, data in files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return sorted(Path(name) for name in files)


def _check(folder: Path, beginning: Beginning) -> None:
    if folder.exists():
        raise RecipeError(f"{folder} is there already.", todo="Choose another name, or go on in that folder.")
    plain = "Small letters and digits, with . _ - within; at most 64."
    for what, value, form, needed in (
        ("The name", beginning.name, NAME, plain),
        ("The publisher", beginning.publisher, NAME, plain),
        ("The language", beginning.language, LANGUAGE, "A tag such as sw or pt-BR is needed."),
    ):
        if not form.fullmatch(value):
            raise RecipeError(f"{what} is {value!r}.", needed=needed, todo="Choose another.")
    licences = [beginning.licence, *([beginning.base.licence] if beginning.base else [])]
    for licence in licences:
        verdict = judge(licence)
        if verdict.outcome == "deny":
            raise RecipeError(
                f"The licence {licence} cannot be passed on: {verdict.reason}.",
                needed="An SPDX name such as CC-BY-4.0 or Apache-2.0.",
            )
    if (beginning.kind == "adapter") is (beginning.base is None):
        raise RecipeError(
            f"A new {beginning.kind} {'needs a' if beginning.kind == 'adapter' else 'has no'} base model.",
            todo="Name the .gguf that it is trained for with --base, and its licence with --base-licence."
            if beginning.kind == "adapter"
            else "Leave out --base.",
        )


def _empty_adapter(base: Path) -> dict[str, bytes]:
    """A PEFT adapter of rank 1 that changes nothing, in the place of the one to be trained."""
    layout = read_layout(base)
    query = layout.shapes.get("blk.0.attn_q.weight")
    if layout.architecture not in ARCHITECTURES or query is None:
        raise ScanRefused(
            f"{base.name} is of the architecture {layout.architecture}.",
            needed=f"Adapters are converted for: {', '.join(ARCHITECTURES)}.",
            todo="Choose another base.",
        )
    rows, columns = query
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    zeros = {name.format("A"): np.zeros((1, columns), np.float32), name.format("B"): np.zeros((rows, 1), np.float32)}
    config = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "bias": "none", "base_model_name_or_path": base.name}
    return {
        f"peft/{CONFIG}": (json.dumps(config, indent=1) + "\n").encode(),
        f"peft/{WEIGHTS}": safetensors(zeros),
    }
