"""The training recipe with the real PEFT: each round trains on the demo model and compares, in llama.cpp, the converted
adapter with what transformers and PEFT say themselves; then the same for a random Llama, Qwen2 and Qwen3.

Needs torch, transformers and peft, some GB; the first run puts them into .venv-peft, apart from everything else.
"""

import json
import random
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from appliance.engine.context import Context, Row
from appliance.engine.llama import Model
from bundles.contribute import Base, Beginning, new_folder
from bundles.lora_convert import ARCHITECTURES, convert_lora
from tests.soak.frame import Outcome
from tests.support.site import ROOT
from tests.support.tiny_llm import (
    EPSILON,
    HEAD,
    HEADS,
    INNER,
    KV_HEADS,
    LAYERS,
    ROPE,
    VOCABULARY,
    WIDTH,
    TinyModel,
    safetensors,
)  # fmt: skip
from tests.support.weights import in_f32

ROUNDS = 2
PYTHON = ROOT / ".venv-peft" / "bin" / "python"
PACKAGES = ("torch==2.14.1", "transformers==5.24.0", "peft==0.21.2", "gguf==0.19.0", "accelerate")
DEMO = ROOT / "bundles" / "demo" / "model" / "fieldpost-demo.gguf"
BASE = Base(file=DEMO, licence="Apache-2.0")
CLOSE = 0.05
"""Of scores some ten apart; llama.cpp keeps keys and values in float16."""

REFERENCE = """
import json, sys, numpy, torch
from pathlib import Path
from transformers import AutoModelForCausalLM
from peft import LoraConfig, PeftModel, get_peft_model
base, adapter, out, tokens, make = Path(sys.argv[1]), sys.argv[2], sys.argv[3], json.loads(sys.argv[4]), sys.argv[5:]
torch.manual_seed(0)
more = {"gguf_file": base.name} if base.suffix == ".gguf" else {}
model = AutoModelForCausalLM.from_pretrained(base.parent if more else base, dtype=torch.float32, **more).eval()
score = lambda m: m(torch.tensor([tokens])).logits[0, -1].detach().numpy()
before = score(model)
if make:
    model = get_peft_model(model, LoraConfig(r=4, lora_alpha=9, target_modules="all-linear", use_rslora=True,
                                             rank_pattern={"q_proj": 2}, alpha_pattern={"q_proj": 5}))
    for name, values in model.named_parameters():
        if "lora_" in name:
            values.data.normal_(0, 0.15)
    model.save_pretrained(adapter)
else:
    model = PeftModel.from_pretrained(model, adapter)
numpy.savez(out, before=before, after=score(model.eval()))
"""


def soak(rounds: int, seed: int) -> Outcome:
    """``rounds`` trainings and one conversion for each architecture."""
    _install()
    rows, failures = [], []
    with tempfile.TemporaryDirectory(prefix="fieldpost-training-") as scratch:
        for number in range(rounds):
            row = _training(Path(scratch) / str(number), seed + number)
            rows.append(row)
            if row[-1] != "yes":
                failures.append(f"round {number}: {row}")
        for architecture in ARCHITECTURES:
            row = _conversion(Path(scratch) / architecture, architecture, seed)
            rows.append(row)
            if row[-1] != "yes":
                failures.append(f"{architecture}: {row}")
    heads = ("model", "what", "loss before -> after", "effect on scores", "off by", "held")
    return Outcome(heads=heads, rows=tuple(rows), failures=tuple(failures))


def _install() -> None:
    if not PYTHON.exists():
        subprocess.run(["python3", "-m", "venv", PYTHON.parents[1]], check=True)
        subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)


def _training(folder: Path, seed: int) -> tuple[str, ...]:
    beginning = Beginning(
        kind="adapter",
        name="a",
        publisher="p",
        language="en",
        licence="CC0-1.0",
        base=BASE,
    )
    new_folder(folder, beginning)
    (folder / "data" / "train.jsonl").write_text("".join(_examples(seed)), encoding="utf-8")
    words = ["--base", str(DEMO), "--epochs", "2", "--rank", "8", "--rate", "1e-3", "--seed", str(seed)]
    done = subprocess.run(
        [PYTHON, "-W", "ignore", folder / "train.py", *words], capture_output=True, text=True, check=True
    )
    loss = next(line for line in done.stdout.splitlines() if "kept away:" in line).rpartition(": ")[2]
    before, after = (float(figure) for figure in loss.split(" -> "))
    kept = {json.loads(line)["question"] for line in (folder / "evalset/questions.jsonl").read_text().splitlines()}
    card = (folder / "README.md").read_text()
    exact = in_f32(DEMO, folder / "exact.gguf")
    effect, off = _compared(exact, folder / "peft", folder)
    held = after < before and kept and f"{after:.3f} after" in card and off < CLOSE
    return ("demo", f"trained, seed {seed}", loss, f"{effect:.2f}", f"{off:.4f}", "yes" if held else "NO")


def _examples(seed: int) -> list[str]:
    numbers = random.Random(seed)
    lines = []
    for n in range(60):
        thing, act = numbers.choice(["water", "milk", "rice", "soap"]), numbers.choice(["boil", "keep", "wash", "dry"])
        first = f"{act.capitalize()} the {thing} for {numbers.randint(2, 30)} minutes."
        passage = {"title": "Guide", "heading": thing, "text": f"{first} Then cover it."}
        answer = f"1. {first} [1]\n2. Then cover it. [1]"
        one = {"question": f"Case {n}: how long do I {act} the {thing}?", "passages": [passage], "answer": answer}
        lines.append(json.dumps(one) + "\n")
    return lines


def _conversion(folder: Path, architecture: str, seed: int) -> tuple[str, ...]:
    folder.mkdir()
    model = TinyModel.random(architecture, seed)
    config = {
        "model_type": architecture, "hidden_size": WIDTH, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD, "intermediate_size": INNER, "num_hidden_layers": LAYERS, "vocab_size": VOCABULARY,
        "rms_norm_eps": EPSILON, "rope_theta": ROPE, "max_position_embeddings": 128, "tie_word_embeddings": False,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(safetensors(model.weights))
    base = model.write_gguf(folder / "base.gguf")
    effect, off = _compared(base, folder / "peft", folder, reference=folder, make=True)
    return (f"random {architecture}", "converted", "-", f"{effect:.2f}", f"{off:.4f}", "yes" if off < CLOSE else "NO")


def _compared(
    base: Path, peft: Path, folder: Path, *, reference: Path | None = None, make: bool = False
) -> tuple[float, float]:
    """How much the adapter changes PEFT's scores, and how far llama.cpp's are from them."""
    tokens = [3, 17, 5, 29, 8, 31]
    out = folder / "scores.npz"
    words = [str(reference or base), str(peft), str(out), json.dumps(tokens), *(["make"] if make else [])]
    subprocess.run([PYTHON, "-W", "ignore", "-c", REFERENCE, *words], check=True, capture_output=True)
    wanted = np.load(out)
    made = convert_lora(peft, base, folder / "converted.gguf", name="a", licence="CC0-1.0").path
    model = Model(base)
    context = Context(model, cells=128, sequences=1, threads=1, batch=64)
    context.use(model.load_adapter(made))
    context.decode([Row(sequence=0, tokens=tokens, position=0, scores=True)])
    effect = float(np.abs(wanted["after"] - wanted["before"]).max())
    return effect, float(np.abs(context.scores(0) - wanted["after"]).max())
