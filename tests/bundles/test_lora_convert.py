"""A converted PEFT adapter does in llama.cpp what PEFT says: W + B A scaled, on every map, for every architecture."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.engine.context import Context, Row
from appliance.engine.llama import Model
from bundles.format.errors import ScanRefused
from bundles.lora_convert import ARCHITECTURES, convert_lora
from bundles.safetensors_file import read_safetensors
from bundles.scan import read_layout, scan_weights
from tests.support import tiny_llm
from tests.support.tiny_llm import TinyModel, random_lora, safetensors, write_peft
from tests.support.weights import in_f32, weights_of

TOKENS = [3, 17, 5, 29, 8, 8, 31]
CLOSE = 0.03
"""Of scores between -10 and 10: llama.cpp keeps keys and values in float16. A wrong order of rows is off by 3."""
SHAPES = {name: (rows, columns) for name, (_, rows, columns) in tiny_llm.modules().items()}
DEMO = Path(__file__).parents[2] / "bundles" / "demo"


def scores(path: Path, tokens: list[int], adapter: Path | None = None) -> np.ndarray:
    """Logits after the last token, out of llama.cpp."""
    model = Model(path)
    context = Context(model, cells=128, sequences=1, threads=1, batch=64)
    context.use(model.load_adapter(adapter) if adapter else None)
    context.decode([Row(sequence=0, tokens=tokens, position=0, scores=True)])
    return context.scores(0).copy()


def half(lora: tiny_llm.Lora) -> tiny_llm.Lora:
    """Numbers that float16 holds exactly, so that only the arithmetic is compared."""
    return {
        name: (a.astype(np.float16).astype(np.float32), b.astype(np.float16).astype(np.float32))
        for name, (a, b) in lora.items()
    }


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_llama_cpp_with_the_converted_adapter_scores_as_transformers_with_merged_weights(architecture, tmp_path):
    model = TinyModel.random(architecture)
    base = model.write_gguf(tmp_path / "base.gguf")
    # Without this the comparison below could hold for two wrong things.
    assert scores(base, TOKENS) == pytest.approx(model.logits(TOKENS), abs=CLOSE)
    lora = half(random_lora(SHAPES))
    convert_lora(write_peft(tmp_path / "peft", lora), base, tmp_path / "out.gguf", name="x", licence="MIT")
    wanted = model.merged({name: b @ a * (6.0 / 3) for name, (a, b) in lora.items()}).logits(TOKENS)
    assert np.abs(wanted - model.logits(TOKENS)).max() > 1, "the adapter changes too little to be seen"
    assert scores(base, TOKENS, tmp_path / "out.gguf") == pytest.approx(wanted, abs=CLOSE)


def scaled(name: str, rank: int, alphas: dict[str, float], *, rslora: bool) -> float:
    alpha = next((a for key, a in alphas.items() if name.endswith(key)), 6.0)
    return alpha / (math.sqrt(rank) if rslora else rank)


@pytest.mark.parametrize("rslora", [False, True])
def test_scalings_of_its_own_for_some_modules(rslora, tmp_path):
    model = TinyModel.random("llama", seed=5)
    base = model.write_gguf(tmp_path / "base.gguf")
    some = {name: shape for name, shape in SHAPES.items() if "q_proj" in name or "layers.1.mlp" in name}
    lora = random_lora(some, rank=4) | random_lora({n: s for n, s in some.items() if "down" in n}, rank=2, seed=9)
    lora, alphas = half(lora), {"down_proj": 3.0, r"layers.0.self_attn.q_proj": 11.0}
    peft = write_peft(
        tmp_path / "peft", lora, use_rslora=rslora, alpha_pattern=alphas, rank_pattern={"down_proj": 2}, r=4
    )
    convert_lora(peft, base, tmp_path / "out.gguf", name="x", licence="MIT")
    changes = {n: b @ a * scaled(n, a.shape[0], alphas, rslora=rslora) for n, (a, b) in lora.items()}
    wanted = model.merged(changes).logits(TOKENS)
    assert scores(base, TOKENS, tmp_path / "out.gguf") == pytest.approx(wanted, abs=CLOSE)


def test_on_the_demo_model(tmp_path):
    """Real shapes and a real tokenizer; weights unpacked to F32, since Q8_0 rounds the two sides differently."""
    source = DEMO / "model" / "fieldpost-demo.gguf"
    weights = weights_of(source)
    base = in_f32(source, tmp_path / "base.gguf")
    shapes = {
        hf: weights[short].shape
        for n in range(read_layout(source).counts["qwen2.block_count"])
        for hf, short in ((f"model.layers.{n}.{m}", f"blk.{n}.{s}.weight") for m, (s, _, _) in tiny_llm.MODULES.items())
    }
    lora = half(random_lora(shapes, rank=8, size=0.08))
    convert_lora(write_peft(tmp_path / "peft", lora, alpha=16), base, tmp_path / "x.gguf", name="x", licence="MIT")
    for name, (a, b) in lora.items():
        layer, _, module = name.removeprefix("model.layers.").partition(".")
        weights[f"blk.{layer}.{tiny_llm.MODULES[module][0]}.weight"] += b @ a * 2
    merged = in_f32(source, tmp_path / "merged.gguf", weights)
    tokens = Model(base).tokenize("How long do I boil water?")
    plain, wanted = scores(base, tokens), scores(merged, tokens)
    assert np.abs(wanted - plain).max() > 1
    assert scores(base, tokens, tmp_path / "x.gguf") == pytest.approx(wanted, abs=CLOSE)


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_the_same_adapter_gives_the_same_bytes_and_passes_the_scan(kind, tmp_path):
    base = TinyModel.random("qwen3").write_gguf(tmp_path / "base.gguf")
    peft = write_peft(tmp_path / "peft", random_lora(SHAPES), kind=kind)
    made = [convert_lora(peft, base, tmp_path / f"{n}.gguf", name="x", licence="MIT").path for n in (1, 2)]
    assert made[0].read_bytes() == made[1].read_bytes()
    assert scan_weights(made[0], adapter=True).architecture == "qwen3"
    assert {path.name for path in tmp_path.iterdir()} == {"base.gguf", "peft", "1.gguf", "2.gguf"}


def test_bf16_is_read_as_the_upper_half_of_float32(tmp_path):
    values = np.array([[1.0, -2.5, 0.15625, 3e38]], np.float32)
    (tmp_path / "x.safetensors").write_bytes(safetensors({"x": values}, "BF16"))
    assert read_safetensors(tmp_path / "x.safetensors")["x"] == pytest.approx(values, rel=1e-2)


@pytest.mark.parametrize(
    ("change", "needle"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"peft_type": "IA3"}, "peft_type"),
        ({"bias": "all"}, "bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"lora_alpha": 0}, "lora_alpha 0"),
        ({"r": "three"}, "cannot be used"),
        ({"alpha_pattern": {"(": 1}}, "cannot be used"),
    ],
)
def test_what_a_gguf_lora_cannot_say_is_refused_by_name(change, needle, tmp_path):
    base = TinyModel.random("qwen2").write_gguf(tmp_path / "base.gguf")
    peft = write_peft(tmp_path / "peft", random_lora(SHAPES), **change)
    with pytest.raises(ScanRefused, match=needle):
        convert_lora(peft, base, tmp_path / "out.gguf", name="x", licence="MIT")
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.parametrize(
    ("shapes", "needle"),
    [
        ({"model.layers.7.self_attn.q_proj": (32, 32)}, "layers.7.self_attn.q_proj, which the base does not have"),
        ({"model.layers.0.self_attn.q_proj": (32, 64)}, "maps 64 to 32, the base's 32 to 32"),
        ({"model.nonsense": (32, 32)}, "model.nonsense"),
    ],
)
def test_an_adapter_of_another_model_is_refused(shapes, needle, tmp_path):
    base = TinyModel.random("llama").write_gguf(tmp_path / "base.gguf")
    with pytest.raises(ScanRefused, match=needle):
        convert_lora(write_peft(tmp_path / "p", random_lora(shapes)), base, tmp_path / "o", name="x", licence="MIT")


def test_a_pickle_is_named_and_not_read(tmp_path):
    write_peft(tmp_path / "peft", random_lora(SHAPES))
    (tmp_path / "peft/adapter_model.safetensors").rename(tmp_path / "peft/adapter_model.bin")
    with pytest.raises(ScanRefused, match="pickle"):
        convert_lora(tmp_path / "peft", tmp_path, tmp_path / "out", name="x", licence="MIT")


SOUND = safetensors({"a": np.ones((2, 3), np.float32), "b": np.ones(4, np.float32)}, "F16")


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=64), st.integers(0, len(SOUND)), st.integers(0, 8))
def test_broken_safetensors_are_refused(tmp_path_factory, noise, at, cut):
    path = tmp_path_factory.mktemp("s") / "x.safetensors"
    path.write_bytes(SOUND[:at] + noise + SOUND[at + cut :])
    try:
        read = read_safetensors(path)
    except ScanRefused:
        return
    assert all(values.dtype == np.float32 for values in read.values())
