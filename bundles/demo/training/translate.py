"""Trains one direction of the language pack and packs it as Argos Translate wants it."""

from __future__ import annotations

import argparse
import io
import json
import random
import tempfile
import time
import zipfile
from pathlib import Path

import sentencepiece
import torch
from torch.nn import functional

from . import phrases
from .seq2seq import BEGIN, BLANK, FINISH, RESERVED, UNKNOWN, Size, Translator, convert
from .train import settle

SEED = 20261
VOCABULARY = 700
NAMES = {"en": "English", "sw": "Swahili"}
VERSION = "0.1"
FIXED_TIME = (2026, 1, 1, 0, 0, 0)


def pieces(texts: list[str]) -> bytes:
    """A SentencePiece model over both languages in which every digit is a piece of its own."""
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=made, vocab_size=VOCABULARY, model_type="unigram",
        hard_vocab_limit=False, character_coverage=1.0, split_digits=True, normalization_rule_name="identity",
        num_threads=1, minloglevel=2,
    )  # fmt: skip
    return made.getvalue()


def rate(done: float) -> float:
    """Warm-up, level, then a line down to nothing over the last half."""
    return min(done / 0.02, 1.0) * min(1.0, 2 * (1 - done) + 0.01)


class Codec:
    """Text to token numbers, by way of the pieces."""

    def __init__(self, proto: bytes) -> None:
        self.model = sentencepiece.SentencePieceProcessor(model_proto=proto)
        # SentencePiece's own first three are unknown, begin and end; ours stand for them.
        self.tokens = [*RESERVED, *(self.model.id_to_piece(i) for i in range(3, self.model.get_piece_size()))]
        self.numbers = {token: i for i, token in enumerate(self.tokens)}

    def encode(self, text: str) -> list[int]:
        return [self.numbers.get(p, UNKNOWN) for p in self.model.encode(text, out_type=str)]


def padded(rows: list[list[int]]) -> torch.Tensor:
    length = max(map(len, rows))
    return torch.tensor([r + [BLANK] * (length - len(r)) for r in rows])


def train(pairs: list[tuple[str, str]], codec: Codec, steps: int) -> Translator:
    """`steps` updates over (source, target) pairs."""
    rng = random.Random(SEED)
    data = [(codec.encode(a), [BEGIN, *codec.encode(b), FINISH]) for a, b in pairs]
    model = Translator(Size(vocabulary=len(codec.tokens)))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01)
    started = time.monotonic()
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {len(codec.tokens)} tokens", flush=True)
    for step in range(steps):
        rows = rng.sample(data, 96)
        source, target = padded([r[0] for r in rows]), padded([r[1] for r in rows])
        logits = model(source, target[:, :-1])
        loss = functional.cross_entropy(
            logits.flatten(0, 1), target[:, 1:].flatten(), ignore_index=BLANK, label_smoothing=0.05
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * rate((step + 1) / steps)
        optimiser.step()
        optimiser.zero_grad()
        if (step + 1) % 200 == 0:
            print(f"{step + 1:5d} loss {loss.item():.3f} {time.monotonic() - started:.0f} s", flush=True)
    return model.eval()


def pack(model: Translator, codec: Codec, proto: bytes, source: str, target: str, out: Path) -> Path:
    """The .argosmodel: one folder in a zip, names sorted and times fixed, so that it is the same every time."""
    name = f"translate-{source}_{target}-{VERSION.replace('.', '_')}"
    about = {
        "package_version": VERSION, "argos_version": "1.11", "from_code": source, "from_name": NAMES[source],
        "to_code": target, "to_name": NAMES[target], "type": "translate",
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / name
        convert(model, codec.tokens, folder / "model")
        (folder / "sentencepiece.model").write_bytes(proto)
        (folder / "metadata.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(
            f"# {NAMES[source]} to {NAMES[target]}\n\nFieldpost demo language pack. Apache-2.0.\n", encoding="utf-8"
        )
        half = out / f"{name}.part"
        with zipfile.ZipFile(half, "w") as archive:
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                entry = zipfile.ZipInfo(path.relative_to(made).as_posix(), FIXED_TIME)
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(entry, path.read_bytes())
    final = out / f"{name}.argosmodel"
    half.replace(final)
    return final


def main() -> None:
    """The command line: see --help."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", choices=sorted(NAMES))
    parser.add_argument("target", choices=sorted(NAMES))
    parser.add_argument("--out", type=Path, required=True, help="folder for the .argosmodel")
    parser.add_argument("--steps", type=int, default=1000)
    given = parser.parse_args()
    settle(SEED)
    pairs = phrases.examples(SEED, 40_000)
    if given.source == "sw":
        pairs = [(b, a) for a, b in pairs]
    proto = pieces([text for pair in pairs[:12_000] for text in pair])
    codec = Codec(proto)
    model = train(pairs, codec, given.steps)
    given.out.mkdir(parents=True, exist_ok=True)
    made = pack(model, codec, proto, given.source, given.target, given.out)
    print(f"{made.name}: {made.stat().st_size} bytes")


if __name__ == "__main__":
    main()
