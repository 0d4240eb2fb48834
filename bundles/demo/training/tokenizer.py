"""Byte-level BPE over our own text, in the cut of GGUF's `qwen2` pre-tokenizer: every digit is a token of its own."""

from __future__ import annotations

import json

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from . import words
from .corpus import ABSTAIN, GREETING, SYSTEM, Corpus
from .guides import load_pairs

VOCABULARY = 1536
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


def build(seed: int) -> Tokenizer:
    """A tokenizer learnt from the guides, their questions and a sample of made-up rows."""
    corpus = Corpus(seed)
    texts = [SYSTEM, ABSTAIN, GREETING, "Question: [1]"] * 40
    texts += [pair.en for pair in load_pairs() for _ in range(6)]
    texts += [q for asks in corpus.questions.values() for q in asks for _ in range(4)]
    texts += [t for s in corpus.extras for t in s.sentences]
    texts += [f"{w} {w.capitalize()}\n{w}\n{w.capitalize()}" for w in words.NOUNS + words.PLURALS + words.VERBS]
    for _ in range(1200):
        row = corpus.row(guides=0.3, scrambled=0.1, passages=3, most=3)
        texts += [row.prefix().split("user\n", 1)[1]] + [f"{q}\n{a[0] if a else ''}" for q, a in row.asked]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def vocabulary(tokenizer: Tokenizer) -> tuple[list[str], list[str]]:
    """(token texts by id, merges in order), as GGUF wants them."""
    content = json.loads(tokenizer.to_str())["model"]
    tokens = [token for token, _ in sorted(content["vocab"].items(), key=lambda item: item[1])]
    merges = [" ".join(m) if isinstance(m, list) else m for m in content["merges"]]
    return tokens, merges
