"""Translator on real Argos packages, in its own process, without a network."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from appliance.confine import available
from appliance.errors import LanguageError
from appliance.language.translate import MAX_TEXT, MEMORY, Translator
from tests.support.scripted import eventually

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "bundles" / "demo"
LANGPACK = DEMO / "langpack"

needs_langpack = pytest.mark.skipif(not [*LANGPACK.glob("*.argosmodel")], reason="the demo langpack is not built here")


def unpack(archive: Path, into: Path) -> Path:
    with zipfile.ZipFile(archive) as file:
        file.extractall(into)
    return next(into.glob("*/metadata.json")).parent


@pytest.fixture(scope="module")
def demo_packs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    packs = {}
    for source, target in (("en", "sw"), ("sw", "en")):
        (archive,) = LANGPACK.glob(f"*{source}_{target}*.argosmodel")
        packs[source, target] = unpack(archive, tmp_path_factory.mktemp(f"{source}_{target}"))
    return packs


@pytest.fixture(scope="module")
def swahili(demo_packs: dict[tuple[str, str], Path]) -> Iterator[Translator]:
    with Translator(demo_packs, threads=1) as translator:
        yield translator


@pytest.fixture(scope="module")
def arabic_pack(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(shared / "models" / "translit-ar_en-1_0.argosmodel", tmp_path_factory.mktemp("ar_en"))


def worker(translator: Translator) -> int:
    assert translator._child is not None
    return translator._child.pid


@needs_langpack
def test_its_process_is_caged_before_it_opens_a_package(swahili: Translator) -> None:
    if "no-network" not in available():
        pytest.skip("this kernel has no seccomp filters")
    swahili.translate("Boil the water.", "en", "sw")
    for status in Path(f"/proc/{worker(swahili)}/task").glob("*/status"):
        assert "Seccomp:\t2" in status.read_text(), status


@needs_langpack
def test_its_process_cannot_take_all_memory(swahili: Translator) -> None:
    swahili.translate("Boil the water.", "en", "sw")
    limits = Path(f"/proc/{worker(swahili)}/limits").read_text()
    assert f"Max address space         {MEMORY} " in limits


@needs_langpack
def test_most_of_the_demo_sentences_are_translated_as_people_did(swahili: Translator) -> None:
    rows = [line.split("\t") for line in (DEMO / "training" / "parallel.tsv").read_text().splitlines()]
    columns = {name: n for n, name in enumerate(rows[0])}
    pairs = [(r[columns["en"]], r[columns["sw"]]) for r in rows[1:] if r[columns["kind"]] == "sentence"][:40]
    assert len(pairs) == 40
    to_swahili = [swahili.translate(en, "en", "sw") for en, _ in pairs]
    assert sum(t.text == sw for t, (_, sw) in zip(to_swahili, pairs, strict=True)) >= 30
    back = [swahili.translate(sw, "sw", "en") for _, sw in pairs]
    assert sum(t.text == en for t, (en, _) in zip(back, pairs, strict=True)) >= 30


@needs_langpack
def test_white_space_line_ends_and_signs_stay(swahili: Translator) -> None:
    one = swahili.translate("Boil the water.", "en", "sw").text
    assert one and one == one.strip()
    text = "  Boil the water.\n\n- Boil the water.  Boil the water.\n[1]\n 12 — …\n"
    out = swahili.translate(text, "en", "sw").text
    assert [line == "" for line in out.split("\n")] == [line == "" for line in text.split("\n")]
    assert out.startswith(f"  {one}\n\n")
    assert f"  {one}\n[1]\n 12 — …\n" in out


@needs_langpack
def test_threads_get_their_own_translations(swahili: Translator) -> None:
    texts = ["Boil the water.", "Wash your hands.", "Keep the door closed.", "Zinc."] * 5
    alone = [swahili.translate(text, "en", "sw").text for text in texts]
    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(lambda text: swahili.translate(text, "en", "sw").text, texts)) == alone


@pytest.mark.needs_shared
def test_a_real_package_translates_and_lost_numbers_are_flagged(arabic_pack: Path) -> None:
    with Translator({("ar", "en"): arabic_pack}) as translator:
        name = translator.translate("محمد", "ar", "en")
        assert name.text.startswith("m")
        assert (name.source, name.target, name.flags) == ("ar", "en", ())
        assert "numbers-differ" in translator.translate("احمد ٥", "ar", "en").flags


def test_the_same_language_and_no_text_need_no_process(tmp_path: Path) -> None:
    with Translator({("en", "sw"): tmp_path}) as translator:
        assert translator.translate("Maji.\n", "sw", "sw").text == "Maji.\n"
        assert translator.translate(" \n", "en", "sw").text == " \n"
        assert translator._child is None
        assert translator.can("sw", "sw") and translator.can("en", "sw") and not translator.can("sw", "en")


@pytest.mark.needs_shared
def test_a_sentence_is_translated_once_and_then_remembered(arabic_pack: Path) -> None:
    with Translator({("ar", "en"): arabic_pack}) as translator:
        first = translator.translate("محمد. كتاب", "ar", "en")
        os.kill(worker(translator), signal.SIGKILL)
        dead = translator._child
        assert translator.translate("كتاب", "ar", "en").text in first.text
        assert translator._child is dead, "nothing was asked of the process"


def test_a_way_may_lead_through_other_languages(tmp_path: Path) -> None:
    packs = {("ha", "en"): tmp_path, ("en", "fr"): tmp_path, ("fr", "en"): tmp_path, ("en", "ha"): tmp_path}
    with Translator(packs) as translator:
        assert translator.route("ha", "fr") == [("ha", "en"), ("en", "fr")]
        assert translator.route("en", "ha") == [("en", "ha")]
        assert translator.can("fr", "ha") and not translator.can("ha", "sw") and not translator.can("sw", "ha")


def test_no_pair_and_too_long_a_text_are_refused(tmp_path: Path) -> None:
    with Translator({("en", "sw"): tmp_path}) as translator:
        with pytest.raises(LanguageError, match="from sw to en") as caught:
            translator.translate("Maji", "sw", "en")
        assert "en to sw" in caught.value.needed
        with pytest.raises(LanguageError, match=str(MAX_TEXT + 1)):
            translator.translate("x" * (MAX_TEXT + 1), "en", "sw")


@pytest.mark.needs_shared
@pytest.mark.parametrize("damage", ["no-metadata", "no-model", "cut-model", "no-tokenizer", "other-pair", "not-json"])
def test_a_damaged_package_is_refused_and_the_process_lives(arabic_pack: Path, tmp_path: Path, damage: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(arabic_pack, broken)
    metadata, model = broken / "metadata.json", broken / "model" / "model.bin"
    match damage:
        case "no-metadata":
            metadata.unlink()
        case "no-model":
            model.unlink()
        case "cut-model":
            model.write_bytes(model.read_bytes()[:1000])
        case "no-tokenizer":
            (broken / "sentencepiece.model").unlink()
        case "other-pair":
            metadata.write_text(json.dumps({**json.loads(metadata.read_text()), "to_code": "fr"}))
        case "not-json":
            metadata.write_text("{")
    with Translator({("ar", "en"): broken}) as translator:
        with pytest.raises(LanguageError, match="broken"):
            translator.translate("محمد", "ar", "en")
        alive = worker(translator)
        with pytest.raises(LanguageError, match="broken"):
            translator.translate("محمد", "ar", "en")
        assert worker(translator) == alive


@pytest.mark.needs_shared
def test_a_killed_translator_comes_back_for_the_next_text(arabic_pack: Path) -> None:
    with Translator({("ar", "en"): arabic_pack}) as translator:
        translator.translate("كتاب", "ar", "en")
        dead = worker(translator)
        os.kill(dead, signal.SIGKILL)
        assert translator.translate("محمد", "ar", "en").text.startswith("m")
        assert worker(translator) != dead


@pytest.mark.needs_shared
def test_killed_at_work_it_tries_once_more(arabic_pack: Path) -> None:
    with Translator({("ar", "en"): arabic_pack}) as translator, ThreadPoolExecutor(1) as threads:
        translator.translate("كتاب", "ar", "en")
        dead = worker(translator)
        os.kill(dead, signal.SIGSTOP)  # so that it surely dies with the text in its hands
        answer = threads.submit(translator.translate, "محمد", "ar", "en")
        eventually(translator._lock.locked)
        os.kill(dead, signal.SIGKILL)
        assert answer.result(60).text.startswith("m")


def test_killed_at_work_twice_it_says_so(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "metadata.json")  # opening a pipe nobody writes to waits for ever
    killed: set[int] = set()

    def kill_next() -> None:
        eventually(lambda: translator._child is not None and translator._child.pid not in killed)
        killed.add(worker(translator))
        os.kill(worker(translator), signal.SIGKILL)

    with Translator({("ar", "en"): tmp_path}) as translator, ThreadPoolExecutor(1) as threads:
        answer = threads.submit(translator.translate, "كتاب", "ar", "en")
        kill_next()
        kill_next()
        with pytest.raises(LanguageError, match=r"SIGKILL.*2 times in a row"):
            answer.result(60)


@pytest.mark.needs_shared
def test_a_translator_that_hangs_is_ended_in_time(arabic_pack: Path) -> None:
    with Translator({("ar", "en"): arabic_pack}, timeout_s=5) as translator:
        translator.translate("كتاب", "ar", "en")
        stopped = worker(translator)
        os.kill(stopped, signal.SIGSTOP)
        with pytest.raises(LanguageError, match="more than 5 seconds"):
            translator.translate("محمد", "ar", "en")
        assert translator.translate("محمد", "ar", "en").text.startswith("m")


@pytest.mark.needs_shared
def test_closing_does_not_wait_for_a_text_in_work(arabic_pack: Path) -> None:
    translator = Translator({("ar", "en"): arabic_pack})
    translator.translate("كتاب", "ar", "en")
    os.kill(worker(translator), signal.SIGSTOP)
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(translator.translate, "محمد", "ar", "en")
        eventually(translator._lock.locked)
        closer = threading.Thread(target=translator.close)
        closer.start()
        with pytest.raises(LanguageError):
            answer.result(20)
        closer.join(20)
        assert not closer.is_alive()
    with pytest.raises(LanguageError, match="closed"):
        translator.translate("محمد", "ar", "en")


OFFLINE = """
import json, os, sys
heard = []
sys.addaudithook(lambda event, _: heard.append(event) if event.startswith(
    ("socket.connect", "socket.getaddrinfo", "socket.gethostby", "urllib.", "subprocess.", "os.system")) else None)
from pathlib import Path
from appliance.language.argos import Pair
import appliance.language.worker
text = Pair(Path(sys.argv[1]), "ar", "en").sentence("محمد. كتاب")
loaded = [name for name in ("stanza", "minisbd", "spacy", "torch") if getattr(sys.modules.get(name), "__file__", None)]
print(json.dumps({"heard": heard, "text": text, "loaded": loaded, "written": sorted(
    str(p.relative_to(os.environ["HOME"])) for p in Path(os.environ["HOME"]).rglob("*") if p.is_file())}))
"""


@pytest.mark.needs_shared
def test_translating_asks_no_network_and_writes_no_file(arabic_pack: Path, tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, str(arabic_pack)], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    assert len(told["text"]) > 5
    assert told["heard"] == []
    assert told["loaded"] == []
    assert told["written"] == []


@pytest.mark.needs_shared
def test_nothing_is_left_behind(arabic_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = sorted(path.name for path in arabic_pack.rglob("*"))
    with Translator({("ar", "en"): arabic_pack}) as translator:
        translator.translate("كتاب", "ar", "en")
        assert [*tmp_path.iterdir()]
    assert [*tmp_path.iterdir()] == []
    assert sorted(path.name for path in arabic_pack.rglob("*")) == before
