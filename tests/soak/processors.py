"""One build on processors that this machine does not have: which variant of llama.cpp each loads, and the same answer.

qemu-user is the processor; the demo's model decodes one prompt. Rounds are not used.
"""

import json
import subprocess
import sys

from tests.soak.frame import Outcome
from tests.support.site import DEMO_RECIPE, ROOT

ROUNDS = 1
# With what the installer sets where /proc/cpuinfo has no AVX2; qemu-user shows this machine's own.
PROCESSORS = {
    "Nehalem (2008, no AVX)": ("Nehalem", {"OPENBLAS_CORETYPE": "Nehalem"}, "sse42"),
    "Sandy Bridge (2011, no AVX2)": ("SandyBridge", {"OPENBLAS_CORETYPE": "Sandybridge"}, "sandybridge"),
    "Ivy Bridge (2012, no AVX2)": ("IvyBridge", {"OPENBLAS_CORETYPE": "Sandybridge"}, "ivybridge"),
    "Haswell (2013, AVX2)": ("Haswell", {}, "haswell"),
}
_CODE = """
import json, sys
from pathlib import Path
import llama_cpp as c, numpy
from appliance.engine.llama import Model
model = Model(Path(sys.argv[1]))
numpy.ones((8, 8)) @ numpy.ones((8, 8))
settings = c.llama_context_default_params()
settings.n_ctx, settings.n_threads, settings.n_threads_batch = 64, 1, 1
context = c.llama_init_from_model(model.handle, settings)
tokens = model.tokenize("Boil the water for")
kept = (c.llama_token * len(tokens))(*tokens)  # the batch points into it
assert c.llama_decode(context, c.llama_batch_get_one(kept, len(tokens))) == 0
logits = c.llama_get_logits_ith(context, -1)
best = max(range(model.vocabulary_size), key=lambda token: logits[token])
mapped = {line.rpartition("libggml-cpu-")[2].removesuffix(".so") for line in open("/proc/self/maps").read().split()
          if "libggml-cpu-" in line}
print(json.dumps({"variants": sorted(mapped), "next": model.piece(best).decode()}))
"""


def soak(rounds: int, seed: int) -> Outcome:
    """One row a processor."""
    rows: list[tuple[str, ...]] = []
    failures: list[str] = []
    expected = _decode([])["next"]
    rows.append(("this machine", ", ".join(_decode([])["variants"]), expected))
    for name, (cpu, variables, variant) in PROCESSORS.items():
        settings = [word for key, value in variables.items() for word in ("-E", f"{key}={value}")]
        try:
            came = _decode(["qemu-x86_64", *settings, "-cpu", cpu])
            if came != {"variants": [variant], "next": expected}:
                failures.append(f"{name}: {came}")
            rows.append((name, ", ".join(came["variants"]), came["next"]))
        except subprocess.CalledProcessError as error:
            failures.append(f"{name}: {error.stderr[-300:]}")
            rows.append((name, "", "does not run"))
    return Outcome(heads=("processor", "variant", "next token"), rows=tuple(rows), failures=tuple(failures))


def _decode(prefix: list[str]) -> dict:
    weights = DEMO_RECIPE.parent / "model" / "fieldpost-demo.gguf"
    words = [*prefix, sys.executable, "-c", _CODE, str(weights)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    return json.loads(done.stdout)
