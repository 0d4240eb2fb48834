"""Writes the trained model as GGUF: architecture `qwen2`, byte-level BPE, ChatML template, Q8_0 matrices."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer

from .cases import unseen
from .corpus import SYSTEM
from .model import Model, Shape
from .tokenizer import CHAT_TEMPLATE, END, SPECIAL, START, TEXT_END, vocabulary


def load(folder: Path) -> tuple[Model, Tokenizer]:
    """The model and tokenizer that `train` wrote."""
    saved = torch.load(folder / "weights.pt", weights_only=False)
    model = Model(saved["shape"])
    model.load_state_dict(saved["weights"])
    return model.eval(), Tokenizer.from_file(str(folder / "tokenizer.json"))


def keep_answers(model: Model, tokenizer: Tokenizer, target: Path, count: int = 10) -> None:
    """Greedy answers of PyTorch to the first measured cases, to compare with llama.cpp's."""
    end, kept = tokenizer.token_to_id(END), []
    for one in unseen(count):
        passages = "\n\n".join(f"[{n}] {place}\n{text}" for n, (place, text) in enumerate(one.passages, 1))
        user = f"{passages}\n\nQuestion: {one.question}"
        text = f"{START}system\n{SYSTEM}{END}\n{START}user\n{user}{END}\n{START}assistant\n"
        made = model.generate(tokenizer.encode(text, add_special_tokens=False).ids, end, most=90)
        kept.append({"user": user, "answer": tokenizer.decode(made)})
    target.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def write(model: Model, tokenizer: Tokenizer, target: Path) -> None:
    """The whole file under a temporary name, then renamed: nobody sees half a model."""
    s: Shape = model.shape
    half = target.with_suffix(".part")
    out = gguf.GGUFWriter(half, "qwen2")
    out.add_type(gguf.GGUFType.MODEL)
    out.add_name("Fieldpost demo")
    out.add_license("apache-2.0")
    out.add_description("Copies the sentence that answers a question from given passages. Trained from nothing.")
    out.add_languages(["en"])
    out.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    out.add_context_length(s.context)
    out.add_embedding_length(s.width)
    out.add_block_count(s.layers)
    out.add_feed_forward_length(s.inner)
    out.add_head_count(s.heads)
    out.add_head_count_kv(s.heads)
    out.add_rope_freq_base(s.rope_base)
    out.add_layer_norm_rms_eps(s.epsilon)
    out.add_vocab_size(s.vocabulary)
    tokens, merges = vocabulary(tokenizer)
    kinds = [gguf.TokenType.CONTROL if t in SPECIAL else gguf.TokenType.NORMAL for t in tokens]
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("qwen2")
    out.add_token_list(tokens)
    out.add_token_types(kinds)
    out.add_token_merges(merges)
    out.add_eos_token_id(tokens.index(END))
    out.add_bos_token_id(tokens.index(TEXT_END))
    out.add_pad_token_id(tokens.index(TEXT_END))
    out.add_add_bos_token(False)
    out.add_chat_template(CHAT_TEMPLATE)
    # Our parameter names are GGUF's already, so nothing needs renaming.
    for name, weight in model.state_dict().items():
        values = weight.detach().float().numpy()
        if values.ndim == 2:
            packed = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
            out.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            out.add_tensor(name, values.astype(np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    half.replace(target)


def main() -> None:
    """The command line: see --help."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="folder that train wrote")
    parser.add_argument("--out", type=Path, required=True, help="the .gguf to write")
    given = parser.parse_args()
    model, tokenizer = load(given.weights)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    write(model, tokenizer, given.out)
    keep_answers(model, tokenizer, given.weights / "answers.json")
    print(f"{given.out.name}: {given.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
