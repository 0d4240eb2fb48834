"""How an exchange is written into the log: redacted before anything is stored, queued or sent."""

from collections.abc import Sequence
from typing import Any

from appliance.exchange import Exchange
from appliance.safety import redact
from appliance.safety.whereabouts import NOBODY, Names


def record_of(exchange: Exchange, phone_regions: Sequence[str], names: Names = NOBODY) -> dict[str, Any]:
    """The exchange as the log keeps it: every text redacted, and what was taken out counted."""
    texts = {}
    found: dict[str, int] = {}
    for name in ("question", "question_working", "answer", "answer_working"):
        redacted = redact.redact(getattr(exchange, name), phone_regions, names)
        texts[name] = redacted.text
        for kind, number in redacted.found.items():
            found[kind] = max(found.get(kind, 0), number)
    return {
        "v": 1,
        "id": exchange.id,
        "lang": exchange.lang,
        "working_lang": exchange.working_lang,
        **texts,
        "passages": [passage.id for passage in exchange.passages],
        "cited": list(exchange.cited),
        "abstained": exchange.abstained,
        "model": exchange.model,
        "adapter": exchange.adapter,
        "usage": {
            "prompt_tokens": exchange.usage.prompt_tokens,
            "generated_tokens": exchange.usage.generated_tokens,
            "total_ms": round(exchange.usage.total_s * 1000),
            "finish": exchange.usage.finish,
        },
        "flags": list(exchange.flags),
        "policy": redact.POLICY,
        "found": found,
    }
