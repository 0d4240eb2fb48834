"""Renders a model's chat templates once, in a child that may die: run as a script, the templates as JSON on its input.

    python -I chat_template.py < {"tokenizer.chat_template": "..."}

A template is a program from somebody else. jinja2's immutable sandbox keeps it from the system (CVE-2024-34359) and
not from eating memory or never ending, so it sets limits on itself first. ``bundles.scan`` starts it; the box renders
in a process of its own again. Prints nothing and ends with 0 when each can be used, else with 1 and one line.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

try:
    import resource
except ImportError:  # Windows: only the caller's limit on time is left
    resource = None  # type: ignore[assignment]

MEMORY_BYTES = 256 << 20
CPU_SECONDS = 3
MAX_TEXT = 1 << 20
"""Bytes that a conversation of three short messages may become."""
QUESTION = "How long must water boil?"
_SHORT: Sequence[Mapping[str, str]] = ({"role": "user", "content": QUESTION},)
_LONG: Sequence[Mapping[str, str]] = (
    {"role": "user", "content": "Hello."},
    {"role": "assistant", "content": "Hello, how can I help?"},
    *_SHORT,
)


class UnusableError(Exception):
    """The template gives no prompt."""


def check(source: str) -> None:
    """Render one template as the box does.

    Raises:
        UnusableError: naming why.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols"],
        autoescape=False,
    )
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: "2026-11-24"
    environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
    try:
        template = environment.from_string(source)
        for messages in (_SHORT, _LONG):
            text = template.render(
                messages=[dict(message) for message in messages],
                add_generation_prompt=True,
                bos_token="<s>",  # noqa: S106 no secret
                eos_token="</s>",  # noqa: S106 no secret
            )
            if QUESTION not in text:
                raise UnusableError("it leaves the question out")
            if len(text) > MAX_TEXT:
                raise UnusableError(f"it makes {len(text):,} characters of a short conversation")
    except MemoryError:
        raise UnusableError(f"it takes more than {MEMORY_BYTES >> 20} MiB of memory") from None
    except RecursionError:
        raise UnusableError("it never ends") from None
    except (TemplateError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError, LookupError) as error:
        raise UnusableError(f"{type(error).__name__}: {str(error)[:200]}") from None


def _raise(message: Any) -> NoReturn:
    raise UnusableError(f"it refuses an ordinary conversation: {str(message)[:200]}")


def main() -> int:
    """Check every template on standard input."""
    templates = json.loads(sys.stdin.buffer.read())
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    for name, source in templates.items():
        try:
            check(source)
        except UnusableError as error:
            sys.stderr.write(f"{name}: {' '.join(str(error).split())}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
