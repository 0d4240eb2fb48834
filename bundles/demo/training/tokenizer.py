"""Byte-level BPE in the cut of GGUF's `qwen2` pre-tokenizer, in which a word is cut alike wherever it stands.

Merges are learnt from lower-case words alone. Each is then repeated for a capital first letter, and a space joins a
word's first piece last of all. So `boil`, ` boil` and `Boil` have the same pieces, and a question's word can be found
in a sentence that begins with it. A capital keeps its space apart, so that a sentence copied from the middle of a
passage has the same pieces at the start of an answer. Every digit and every sign is a token of its own, and so is an s
at a piece's end: a plural has its word's own pieces, and one more.
"""

from __future__ import annotations

import json
import re

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from .corpus import ABSTAIN, GREETING, SYSTEM, Corpus, Row, Size
from .templates import ALONE

PIECES = 640
"""Lower-case pieces beside the single letters, before those that end in s are left out."""
END, START, TEXT_END = "<|im_end|>", "<|im_start|>", "<|endoftext|>"
SPECIAL = (TEXT_END, START, END)
# The expression llama.cpp uses for tokenizer.ggml.pre = "qwen2".
SPLIT = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def texts_of(row: Row) -> list[str]:
    """Everything in a row, as text."""
    made = [a.text() for a in row.asked]
    for passage in row.passages:
        made.append("".join(text for text, _ in passage.place))
        made += [s.text() for s in passage.sentences]
    return made


def _lower_merges(seed: int) -> list[tuple[str, str]]:
    """Merges of lower-case letters, learnt from everyday and invented words."""
    corpus = Corpus(seed)
    lines = [SYSTEM, ABSTAIN, GREETING, "Question user system assistant", *ALONE] * 60
    for _ in range(5000):
        lines += texts_of(corpus.row(Size(passages=2, sentences=3, questions=3, hard=0.2)))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[a-z]+"), behavior="removed", invert=True)
    trainer = trainers.BpeTrainer(vocab_size=26 + PIECES, show_progress=False, max_token_length=10)
    tokenizer.train_from_iterator((re.sub("[^a-z]+", " ", line.lower()) for line in lines), trainer)
    found = json.loads(tokenizer.to_str())["model"]["merges"]
    pairs = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in found]
    made, kept = set("abcdefghijklmnopqrstuvwxyz"), []
    for left, right in pairs:
        if left in made and right in made and not right.endswith("s"):
            made.add(left + right)
            kept.append((left, right))
    return kept


def build(seed: int) -> Tokenizer:
    """The whole tokenizer, ready to be saved."""
    lower = _lower_merges(seed)
    merges: list[tuple[str, str]] = []
    for left, right in lower:
        merges += [(left, right), (left.capitalize(), right)]
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    pieces = letters + [left + right for left, right in lower]
    merges += [("Ġ", piece) for piece in dict.fromkeys(pieces)]
    merges += [("Ġ", sign) for sign in "[(|->"] + [("Ċ", "Ċ")]
    tokens = dict.fromkeys(SPECIAL)
    tokens |= dict.fromkeys(sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokens |= dict.fromkeys(left + right for left, right in merges)
    ids = {token: number for number, token in enumerate(tokens)}
    filled = -len(ids) % 32  # Q8_0 and fast kernels like round numbers
    ids |= {f"<|unused{number}|>": len(ids) + number for number in range(filled)}
    merges = list(dict.fromkeys(merges))
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges))
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def vocabulary(tokenizer: Tokenizer) -> tuple[list[str], list[str]]:
    """(token texts by id, merges in order), as GGUF wants them."""
    content = json.loads(tokenizer.to_str())["model"]
    tokens = [token for token, _ in sorted(content["vocab"].items(), key=lambda item: item[1])]
    merges = [" ".join(m) if isinstance(m, list) else m for m in content["merges"]]
    return tokens, merges


def alike(tokenizer: Tokenizer) -> list[tuple[int, int]]:
    """(token, the same piece in plain lower case): what embeddings may start from."""
    ids = tokenizer.get_vocab()
    pairs = []
    for token, number in ids.items():
        plain = token.removeprefix("Ġ").lower()
        if plain != token and plain in ids and token not in SPECIAL:
            pairs.append((number, ids[plain]))
    return sorted(pairs)
