"""``fieldpost quantize`` and ``fieldpost perplexity``: what the bundler calls to shrink a model and tell the loss."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import click

from appliance.command import json_option

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
KINDS = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0")


@click.command("quantize")
@click.argument("source", type=_FILE)
@click.option("--to", "kind", required=True, type=click.Choice(KINDS))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The .gguf to write.")
def quantize_weights(source: Path, kind: str, out: Path) -> None:
    """Make the weights SOURCE smaller with llama.cpp's own quantizer. The bundler calls this.

    \b
    fieldpost quantize model-F16.gguf --to Q4_K_M --out model-Q4_K_M.gguf
    """
    from appliance.engine.quantize import quantize

    quantize(source, out, kind, threads=os.cpu_count() or 1)


@click.command("perplexity")
@click.argument("model", type=_FILE)
@click.option("--text", "texts", required=True, multiple=True, type=_FILE, help="May be given again.")
@json_option
def measure_perplexity(model: Path, texts: tuple[Path, ...], as_json: bool) -> None:
    """How well MODEL foresees a text: the lower, the better. The bundler calls this.

    \b
    fieldpost perplexity model-Q4_K_M.gguf --text guides/water.md --text guides/burns.md
    """
    from appliance.engine.quantize import perplexity

    text = "\n\n".join(path.read_text(encoding="utf-8") for path in texts)
    found = perplexity(model, text, threads=os.cpu_count() or 1)
    click.echo(json.dumps(asdict(found)) if as_json else f"{found.value:.4f} over {found.tokens} tokens")
