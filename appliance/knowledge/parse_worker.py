"""The process that parses: for each file it forks a child that gives up its rights, reads that one file and ends.

The process itself never looks into a file, so it stays sound whatever was in one; its forks start within
milliseconds because every parser is loaded already. Started and spoken to by ``ingest``.
"""

import codecs
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from appliance import confine
from appliance.child import Wire, attach
from appliance.knowledge.draft import MAX_TEXT, Draft, Progress, Unreadable, plain
from appliance.knowledge.parse_epub import parse_epub
from appliance.knowledge.parse_html import parse_html
from appliance.knowledge.parse_office import parse_docx, parse_odt
from appliance.knowledge.parse_pdf import draw_page, parse_pdf
from appliance.knowledge.parse_table import parse_csv, parse_sheets
from appliance.knowledge.parse_text import parse_markdown, parse_plain

PARSERS: Mapping[str, Callable[[BinaryIO, Progress], Draft]] = {
    "csv": parse_csv,
    "docx": parse_docx,
    "epub": parse_epub,
    "html": parse_html,
    "markdown": parse_markdown,
    "odt": parse_odt,
    "pdf": parse_pdf,
    "sheets": parse_sheets,
    "text": parse_plain,
}

# A child that may open no file cannot load an encoding any more; these are what old pages are written in.
_ENCODINGS = """
    utf-8 utf-8-sig utf-16 utf-16-le utf-16-be utf-32 ascii cp437 latin-1
    cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 cp874 koi8-r
    iso8859-2 iso8859-5 iso8859-6 iso8859-7 iso8859-9 iso8859-15 gb18030 gbk gb2312 big5 shift_jis euc-jp euc-kr
""".split()  # noqa: SIM905  (read by people)
_OUT_BYTES = 6 * MAX_TEXT
_TELL_S = 0.2


def main() -> None:
    wire = attach()
    for name in _ENCODINGS:
        codecs.lookup(name)
    while (request := wire.receive()) is not None:
        wire.send(_run(wire, request))


def _run(wire: Wire, request: Mapping[str, Any]) -> dict[str, object]:
    """Let a child read one file, and tell how it ended and what it took."""
    progress_in, progress_out = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(progress_in)
            os.close(int(sys.argv[1]))  # the wire is ours alone
            _child(request, progress_out)
        finally:
            os._exit(70)
    os.close(progress_out)
    deadline = time.monotonic() + request["wall_s"]
    late = False
    with os.fdopen(progress_in, "rb", buffering=0) as pipe:
        while readable := select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
            said = readable[0].read(4096)
            if not said:
                break
            done, of = said.split()[-2:]  # the child writes whole lines, shorter than a pipe ever cuts
            wire.send({"done": int(done), "of": int(of)})
        else:
            os.kill(pid, signal.SIGKILL)
            late = True
    _, status, used = os.wait4(pid, 0)
    return {
        "status": os.waitstatus_to_exitcode(status),
        "late": late,
        "peak": used.ru_maxrss * 1024,
        "cpu_s": used.ru_utime + used.ru_stime,
    }


def _child(request: Mapping[str, Any], progress_out: int) -> None:
    confine.limit(cpu_s=request["cpu_s"], file_bytes=_OUT_BYTES * (10 if request["kind"] == "zim" else 1))
    if request["idle"]:
        confine.idle()
    path = Path(request["file"])
    answer: dict[str, object] = {}
    with path.open("rb") as file, Path(request["out"]).open("wb") as out:
        try:
            if request["kind"] == "zim":
                from appliance.knowledge.parse_zim import parse_zim

                confine.close_doors(readable=path)  # libzim opens its file itself
                for name, draft in parse_zim(path, _teller(progress_out)):
                    out.write(_line({"path": name, **plain(draft)}))
            elif request["kind"] == "picture":
                confine.close_doors()
                out.write(draw_page(file, request["page"]))
            else:
                confine.close_doors()
                answer = plain(PARSERS[request["kind"]](file, _teller(progress_out)))
        except ModuleNotFoundError:
            answer = {
                "why": "is a Kiwix file, and what reads those is not installed here",
                "todo": 'On the workstation, install it: pip install "fieldpost[zim]"; a box takes no Kiwix files.',
            }
        except Unreadable as error:
            answer = {"why": error.why, "todo": error.todo, "scanned": error.scanned}
        except (MemoryError, RecursionError):
            answer = {"why": "needs more memory to be read than a document should", "todo": "Split it."}
        except Exception as error:  # a parser's mistake about a file must not stop the other files
            answer = {"why": f"is not understood: {error!r:.200}", "todo": "Save it anew, or in another of the kinds."}
        if answer:
            out.write(_line(answer))
    os._exit(0)


def _teller(progress_out: int) -> Progress:
    """Tells how far it is, a few times a second."""
    told = time.monotonic()

    def progress(done: int, of: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= _TELL_S:
            told = now
            os.write(progress_out, b"%d %d\n" % (done, of))

    return progress


def _line(answer: dict[str, object]) -> bytes:
    return json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


if __name__ == "__main__":
    main()
