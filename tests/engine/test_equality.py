"""The engine's greedy answer is llama.cpp's own, token by token: asked another way, with nothing of ours in between."""

import ctypes
from pathlib import Path

import llama_cpp as c
import pytest

from appliance.engine.client import WorkerEngine
from appliance.engine.llama import Model
from appliance.engine.protocol import GenerationRequest, Message
from appliance.engine.settings import EngineSettings
from appliance.engine.template import ChatTemplate
from appliance.prompt import SYSTEM
from tests.engine.conftest import ROOT, ask
from tests.support.synthetic import make_model

pytestmark = pytest.mark.needs_shared
DEMO_MODEL = ROOT / "bundles/demo/model/fieldpost-demo.gguf"
DEMO_ADAPTER = ROOT / "bundles/demo/adapter/steps.gguf"
WATER = ROOT / "bundles/demo/docs/safe-water.md"
PROMPTS = ("How do I clean water?", "Once upon a time there was", "x " * 150)


def llamas_own(model: Model, tokens: list[int], count: int, adapter: Path | None = None) -> str:
    """The whole prompt in one decode, then llama.cpp's greedy sampler."""
    wanted = c.llama_context_default_params()
    wanted.n_ctx, wanted.n_batch, wanted.n_threads, wanted.n_threads_batch = 512, 512, 1, 1
    context = c.llama_init_from_model(model.handle, wanted)
    sampler = c.llama_sampler_init_greedy()
    lora = model.load_adapter(adapter) if adapter else None
    if lora is not None:
        c.llama_set_adapters_lora(context, (c.llama_adapter_lora_p_ctypes * 1)(lora), 1, (ctypes.c_float * 1)(1.0))
    answer = b""
    for _ in range(count):
        array = (c.llama_token * len(tokens))(*tokens)
        assert c.llama_decode(context, c.llama_batch_get_one(array, len(tokens))) == 0
        token = c.llama_sampler_sample(sampler, context, -1)
        if model.is_end(token):
            break
        answer += model.piece(token)
        tokens = [token]
    c.llama_sampler_free(sampler)
    c.llama_free(context)
    if lora is not None:
        model.free_adapter(lora)
    return answer.decode("utf-8", "replace")


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """A model with recurrent layers, random weights."""
    path = tmp_path_factory.mktemp("hybrid") / "hybrid.gguf"
    make_model(path, "hybrid-tiny", tokenizer=tiny)
    return path


def both(engine: WorkerEngine, model: Path, adapter: Path | None = None) -> None:
    reference = Model(model)
    name = "one" if adapter else None
    for prompt in PROMPTS:
        text, usage = ask(engine, messages=(), prompt=prompt, max_tokens=40, adapter=name)
        assert text == llamas_own(reference, reference.tokenize(prompt, special=False), 40, adapter)
        assert usage.generated_tokens > 5


@pytest.mark.parametrize("adapted", [False, True])
def test_a_small_llama(tiny: Path, tiny_lora: Path, adapted: bool) -> None:
    with WorkerEngine(tiny, {"one": tiny_lora}, threads=2) as engine:
        both(engine, tiny, tiny_lora if adapted else None)


@pytest.mark.skipif(not DEMO_MODEL.is_file(), reason="the demo model is not built here")
@pytest.mark.parametrize("adapted", [False, True])
def test_the_demo_model(adapted: bool) -> None:
    reference = Model(DEMO_MODEL)
    template = ChatTemplate(reference.chat_template, bos=reference.bos, eos=reference.eos)
    guide = WATER.read_text()[:800]
    with WorkerEngine(DEMO_MODEL, {"one": DEMO_ADAPTER}, threads=2) as engine:
        for question in ("How long do I boil water?", "How many drops of bleach?"):
            system = Message(role="system", content=SYSTEM)
            user = Message(role="user", content=f"[1] Safe water\n{guide}\n\nQuestion: {question}")
            tokens = reference.tokenize(template.render([system, user]))
            text, usage = ask(engine, messages=(system, user), max_tokens=40, adapter="one" if adapted else None)
            assert text == llamas_own(reference, tokens, 40, DEMO_ADAPTER if adapted else None)
            assert usage.generated_tokens > 5


def test_a_recurrent_hybrid(hybrid: Path) -> None:
    with WorkerEngine(hybrid, threads=2) as engine:
        both(engine, hybrid)


@pytest.mark.parametrize("cache_mb", [0, 64])
def test_a_seed_repeats_bit_by_bit_warm_and_cold(tiny: Path, cache_mb: int) -> None:
    def answers() -> list[object]:
        settings = EngineSettings(cache_mb=cache_mb)
        wanted = GenerationRequest(prompt=PROMPTS[2], max_tokens=60, temperature=1.5, seed=7, logprobs=3, user="ann")
        with WorkerEngine(tiny, threads=2, settings=settings) as engine:
            return [[p for p in engine.generate(wanted) if not hasattr(p, "total_s")] for _ in range(3)]

    first, *others = [*answers(), *answers()]
    assert all(other == first for other in others)  # with every logprob
