"""Trains this folder's adapter on your own examples: LoRA, or QLoRA where there is an NVIDIA card.

    python -m venv .venv
    .venv/bin/pip install torch transformers peft gguf accelerate      (Windows: .venv\\Scripts\\pip)
    .venv/bin/python train.py --base ../models/base.gguf

``--base`` is the very file that the recipe names, or a folder or Hugging Face Hub name of the same model. For QLoRA add
``--four-bit`` and install bitsandbytes.

Your examples are data/train.jsonl, one a line: question, answer, passages (title, heading, text) that the answer is in.
A tenth of them is kept away from training, always the same ones however many you add; they become
evalset/questions.jsonl, which ``fieldpost-bundle check`` asks the base and the adapter. The figures go into README.md.
The same examples, base and seed give the same adapter on the same machine.
"""

import argparse
import hashlib
import json
import math
import random
import re
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
SYSTEM = (
    "Answer only from the passages. After each statement give its passage number in square brackets. "
    "If the passages do not answer the question, say: These documents don't tell."
)
"""As the box says it: an adapter answers well only to the words it was trained with."""
HELD_OUT = 0.1
IGNORED = -100


def examples(path):
    """Every line of the examples, checked; a slip is told with its line."""
    read = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            one = json.loads(line)
            for passage in one.get("passages", []):
                passage["title"], passage["text"]
            read.append({**one, "question": one["question"].strip(), "answer": one["answer"].strip()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            sys.exit(f"{path}, line {number}: {error!r}. Each line is an object with question, answer and passages.")
    if len(read) < 2:
        sys.exit(f"{path} holds {len(read)} examples. At least two are needed, and hundreds to teach something.")
    return read


def is_held_out(question, seed):
    """Decided by the question alone: the same question in other words of case and space lies on the same side."""
    plain = re.sub(r"\W+", " ", question).strip().casefold()
    digest = hashlib.sha256(f"{seed}:{plain}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < HELD_OUT


def divided(read, seed):
    """Examples to learn from and to keep away; never is one of the two empty."""
    kept = [one for one in read if is_held_out(one["question"], seed)]
    learnt = [one for one in read if not is_held_out(one["question"], seed)]
    if not kept:
        last = min(learnt, key=lambda one: hashlib.sha256(one["question"].encode()).digest())
        kept = [one for one in learnt if one["question"] == last["question"]]
        learnt = [one for one in learnt if one["question"] != last["question"]]
    if not learnt:
        sys.exit("All examples ask the same. Add others.")
    return learnt, kept


def messages(one):
    """The conversation as the box sends it."""
    passages = one.get("passages", [])
    if not passages:
        return [{"role": "user", "content": one["question"]}]
    quoted = "\n\n".join(
        f"[{number}] {' > '.join(part for part in (p['title'], p.get('heading')) if part)}\n{p['text']}"
        for number, p in enumerate(passages, 1)
    )
    user = f"{quoted}\n\nQuestion: {one['question']}"
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user}]


def encoded(tokenizer, one, longest):
    """Tokens, and the same with all but the answer ignored; None when it is too long."""
    asked = messages(one)
    prompt = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(
        [*asked, {"role": "assistant", "content": one["answer"]}], tokenize=False, add_generation_prompt=False
    )
    if not whole.startswith(prompt):
        # Some templates put an empty thought before the answer.
        whole = prompt + one["answer"] + (tokenizer.eos_token or "")
    before = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
    tokens = tokenizer(whole, add_special_tokens=False)["input_ids"]
    return (tokens, [IGNORED] * before + tokens[before:]) if len(tokens) <= longest else None


def padded(rows, torch, device):
    """Rows of unequal length as one batch."""
    length = max(len(tokens) for tokens, _ in rows)
    tokens = torch.tensor([t + [0] * (length - len(t)) for t, _ in rows], device=device)
    labels = torch.tensor([w + [IGNORED] * (length - len(w)) for _, w in rows], device=device)
    mask = torch.tensor([[1] * len(t) + [0] * (length - len(t)) for t, _ in rows], device=device)
    return {"input_ids": tokens, "labels": labels, "attention_mask": mask}


def loss_on(model, rows, torch, size):
    """Loss a token of the answers, nats."""
    model.eval()
    total = count = 0
    with torch.no_grad():
        for at in range(0, len(rows), size):
            batch = padded(rows[at : at + size], torch, model.device)
            tokens = sum(1 for _, wanted in rows[at : at + size] for token in wanted[1:] if token != IGNORED)
            total += model(**batch).loss.item() * tokens
            count += tokens
    return total / count


def load(given):
    """Tokenizer, model and torch; the imports take long, so slips above are told before them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place, more = given.base, {}
    if given.base.endswith(".gguf"):
        place, more = str(Path(given.base).parent), {"gguf_file": Path(given.base).name}
    tokenizer = AutoTokenizer.from_pretrained(place, **more)
    if given.four_bit:
        from transformers import BitsAndBytesConfig

        more["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        )
        more["device_map"] = "auto"
    kind = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    model = AutoModelForCausalLM.from_pretrained(place, dtype=kind, **more)
    if torch.cuda.is_available() and not given.four_bit:
        model = model.cuda()
    return tokenizer, model, torch


def train(given):
    """Everything, from the examples to the card."""
    read = examples(HERE / "data" / "train.jsonl")
    learnt, kept = divided(read, given.seed)
    write_questions(kept)
    tokenizer, model, torch = load(given)
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    random.seed(given.seed)
    torch.manual_seed(given.seed)
    rows = [row for one in learnt if (row := encoded(tokenizer, one, given.longest))]
    tests = [row for one in kept if (row := encoded(tokenizer, one, given.longest))]
    if not rows or not tests:
        sys.exit(f"No example fits into {given.longest} tokens. Shorten the passages, or raise --longest.")
    print(f"{len(rows)} examples to learn from, {len(tests)} kept away, {len(read) - len(rows) - len(tests)} too long")
    if given.four_bit:
        model = prepare_model_for_kbit_training(model)
    config = LoraConfig(
        r=given.rank, lora_alpha=2 * given.rank, target_modules="all-linear", bias="none", task_type="CAUSAL_LM"
    )
    model = get_peft_model(model, config)
    before = loss_on(model, tests, torch, given.batch)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=given.rate, weight_decay=0.0)
    steps = math.ceil(len(rows) / given.batch) * given.epochs
    step, started = 0, time.monotonic()
    for epoch in range(given.epochs):
        random.shuffle(rows)
        for at in range(0, len(rows), given.batch):
            model.train()
            loss = model(**padded(rows[at : at + given.batch], torch, model.device)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            step += 1
            for group in optimiser.param_groups:
                group["lr"] = given.rate * min(step / max(1, steps // 20), 0.5 + 0.5 * math.cos(math.pi * step / steps))
            optimiser.step()
            optimiser.zero_grad()
        took = time.monotonic() - started
        told = f"epoch {epoch + 1} of {given.epochs}: loss {loss.item():.3f}"
        print(f"{told}, kept away {loss_on(model, tests, torch, given.batch):.3f}, {took:.0f} s", flush=True)
    after = loss_on(model, tests, torch, given.batch)
    # Its page on the Hub is this folder's own README.md, and where the base lay here is nobody's business.
    model.peft_config["default"].base_model_name_or_path = Path(given.base).name
    model.save_pretrained(HERE / "peft", safe_serialization=True)
    (HERE / "peft" / "README.md").unlink(missing_ok=True)
    data = hashlib.sha256((HERE / "data" / "train.jsonl").read_bytes()).hexdigest()
    write_figures(
        {
            "base": Path(given.base).name,
            "examples": f"{len(rows)} learnt from, {len(tests)} kept away (seed {given.seed})",
            "examples' SHA-256": data,
            "rank, alpha": f"{given.rank}, {2 * given.rank}, on every linear map",
            "training": f"{'QLoRA' if given.four_bit else 'LoRA'}, {given.epochs} epochs, batch {given.batch}, "
            f"rate {given.rate:g}",
            "loss on those kept away": f"{before:.3f} before, {after:.3f} after",
        }
    )
    print(f"peft/ and README.md are written. Loss on the examples kept away: {before:.3f} -> {after:.3f}")
    print("Next: fieldpost-bundle check .")


def write_questions(kept):
    """The examples kept away, as an evaluation set."""
    lines = []
    for number, one in enumerate(kept, 1):
        asked = {"id": one.get("id", f"held-out-{number}"), "lang": one.get("lang", "en"), "question": one["question"]}
        # Marks are the model's way to say where; an answer is compared without them.
        answer = re.sub(r"\s*\[\d+\]", "", one["answer"])
        document = {"document": one["document"]} if one.get("document") else {}
        lines.append(json.dumps({**asked, "answer": answer, "answerable": True, **document}, ensure_ascii=False))
    (HERE / "evalset").mkdir(exist_ok=True)
    (HERE / "evalset" / "questions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_figures(figures):
    """Into the card, between its two marks."""
    card = HERE / "README.md"
    table = "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in figures.items())])
    first, last = "<!-- figures: train.py writes here -->", "<!-- end of figures -->"
    text = card.read_text(encoding="utf-8")
    if first not in text or last not in text:
        text += f"\n{first}\n{last}\n"
    before, _, rest = text.partition(first)
    card.write_text(f"{before}{first}\n{table}\n{last}{rest.partition(last)[2]}", encoding="utf-8")


def main():
    """The command line: see --help."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="the base model: a .gguf, a folder, or a name on the Hub")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=2e-4)
    parser.add_argument("--longest", type=int, default=1024, help="tokens of an example; longer ones are left out")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--four-bit", action="store_true", help="QLoRA: the base in 4 bits, on an NVIDIA card")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
