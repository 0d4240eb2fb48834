"""Tests of installer.runtime and what is chosen: the programs of a box, and the model that its memory holds."""

import io
import json
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from bundles.format.errors import ScanRefused
from installer.errors import NotReady
from installer.install import install
from installer.machine import Python, look, memory
from tests.support.bundle_factory import adapter, docpack, make_bundle, model, part, runtime

BOX = look()
MANY = 64_000_000_000


@pytest.fixture
def take(keys, home, tmp_path):
    """Install these components on a machine, and return what came of it with everything that was told."""

    def act(*components, machine=None, version="0.1.0"):
        stick = make_bundle(tmp_path / f"stick-{version}", keys, components=components, version=version)
        told = []
        done = install(
            stick,
            home,
            confirm=lambda *_: None,
            progress=lambda *_: None,
            tell=told.append,
            machine=machine or replace(BOX, memory=MANY),
        )
        return done, [str(finding) for finding in told]

    return act


def kinds(home, kind):
    folder = home / "current" / f"{kind}s" / "fieldpost"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def measured(name: str, megabytes: int):
    return model(name.encode(), name, annotations={"org.fieldpost.memory-mb": str(megabytes)})


def test_the_command_of_the_release_runs_with_the_boxs_own_python(take, home):
    done, _ = take(model(), docpack(), runtime())
    assert done.command == home / "fieldpost"
    said = subprocess.run([done.command, "status", "--home", home], capture_output=True, text=True, check=True)
    assert "demo 0.1.0" in said.stdout
    assert (home / "current/runtime/bin/python").resolve() == BOX.pythons[0].path
    assert not list(home.rglob("*.tmp"))


def test_an_older_processor_gets_the_settings_that_it_needs_also_in_workers(take, home):
    older = replace(BOX, memory=MANY, processor="x86_64", cpu=frozenset({"sse4_2"}))
    code = "import os; print(os.environ.get('OPENBLAS_CORETYPE'))"
    words = [home / "current/runtime/bin/python", "-I", "-c", code]
    cpus = {"Nehalem": {"sse4_2"}, "Sandybridge": {"avx"}, "None": {"avx", "avx2"}}
    for expected, cpu in cpus.items():
        machine = replace(older, cpu=frozenset(cpu))
        here = runtime(platform=f"linux-x86_64-cp3{BOX.pythons[0].minor}")
        take(model(expected.encode()), here, machine=machine, version=f"0.1.{len(expected)}")
        said = subprocess.run(words, capture_output=True, text=True, check=True, env={})
        assert said.stdout.strip() == expected


def test_a_rotten_file_of_the_programs_is_mended_where_it_lies(take, home):
    components = (model(), runtime(entries={"lib/a.py": b"good", "lib/deep/b.py": b"good too"}))
    first, _ = take(*components)
    lying = home / "current/runtime/lib"
    (lying / "a.py").write_bytes(b"goop")
    (lying / "deep/b.py").unlink()
    again, _ = take(*components, version="0.1.1")
    assert (lying / "a.py").read_bytes() == b"good"
    assert (lying / "deep/b.py").read_bytes() == b"good too"
    assert again.release == first.release + 1
    assert len(list((home / "runtimes").iterdir())) == 1, "both releases share it"


def test_programs_that_lead_outside_are_never_unpacked(take, home, tmp_path):
    link = tarfile.TarInfo("lib/way-out")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    sparse = tarfile.TarInfo("lib/sparse")
    sparse.type = tarfile.GNUTYPE_SPARSE
    twice = tarfile.TarInfo("LIB/A.py")
    for number, entry in enumerate((link, tarfile.TarInfo("../out.py"), tarfile.TarInfo("/out.py"), sparse, twice)):
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("lib/a.py"))
            archive.addfile(entry)
        usual = runtime()
        bad = replace(usual, files={next(iter(usual.files)): raw.getvalue()})
        with pytest.raises(ScanRefused, match=r"plain file|leads outside|twice|plain tar"):
            take(model(), bad, version=f"0.{number}.0")
        assert not (home / "current").exists()
        assert not list(tmp_path.rglob("out.py"))


def test_the_runtime_of_this_machine_is_taken_and_no_other(take, home):
    here, other = runtime("here"), runtime("other", platform="linux-riscv64-cp311")
    take(model(), other, here)
    assert kinds(home, "runtime") == ["here"]


def test_all_that_stands_in_the_way_is_told_at_once(take, home):
    small = replace(BOX, memory=1_000_000_000, pythons=(Python(path=Path("/usr/bin/python3"), minor=99),))
    with pytest.raises(NotReady) as refused:
        take(measured("huge", 9_000), runtime(), machine=small)
    assert "2 things stand in the way" in str(refused.value)
    assert "Python 3.99" in str(refused.value)
    assert "The smallest model on this stick needs 9,400 MB" in str(refused.value)
    assert not (home / "blobs/sha256").exists() or not list((home / "blobs/sha256").iterdir())


def test_the_largest_model_that_the_memory_holds_answers_and_larger_ones_stay_on_the_stick(take, home):
    parts = (
        measured("small", 700),
        measured("middle", 1_400),
        measured("large", 3_000),
        model(b"vectors", "meaning", annotations={"org.fieldpost.task": "embed"}),
        adapter(name="for-small", base=b"small"),
        adapter(name="for-middle", base=b"middle"),
        adapter(name="for-large", base=b"large"),
        docpack(),
    )
    done, told = take(*parts, machine=replace(BOX, memory=2_000_000_000))
    assert kinds(home, "model") == ["meaning", "middle", "small"]
    assert kinds(home, "adapter") == ["for-middle", "for-small"]
    facts = json.loads((home / "current/release.json").read_bytes())
    assert facts["components"][0]["name"] == "middle", "the box asks the first"
    assert "middle answers: it needs 1,800 MB of memory, and this box has 2,000 MB" in done.why
    assert "large needs 3,400 MB" in done.why
    assert told == []


def test_where_no_model_fits_the_box_answers_from_documents_alone_and_says_so(take, home):
    done, told = take(measured("large", 3_000), adapter(base=b"large"), docpack(), machine=replace(BOX, memory=10**9))
    assert (kinds(home, "model"), kinds(home, "adapter")) == ([], [])
    assert "No model answers" in done.why
    assert any("answer from documents alone" in words for words in told)


def test_what_is_good_to_know_is_told_and_stops_nothing(take):
    odd = replace(
        BOX,
        memory=MANY,
        processor="x86_64",
        cpu=frozenset({"sse4_2"}),
        now=BOX.now.replace(year=1970),
        port_taken=True,
        battery=12,
        under_voltage=True,
    )
    done, told = take(model(), machine=odd)
    assert done.changed
    for words in ("no AVX2", "clock says 1970", "port 7860", "battery is at 12 %", "under-voltage"):
        assert any(words in finding for finding in told), words


@pytest.mark.parametrize(
    ("cgroup", "limits", "expected"),
    [
        ("0::/a/b\n", {"a/memory.max": "2000000000", "a/b/memory.max": "max"}, 2_000_000_000),
        ("0::/\n", {}, 8_000_000 << 10),
        ("4:memory:/x\n", {"memory/x/memory.limit_in_bytes": "1500000000"}, 1_500_000_000),
        ("4:memory:/x\n", {"memory/x/memory.limit_in_bytes": str(2**63 - 4096)}, 8_000_000 << 10),
    ],
)
def test_memory_is_what_the_control_group_lets_it_be(tmp_path, cgroup, limits, expected):
    files = {"proc/meminfo": "MemTotal:        8000000 kB\n", "proc/self/cgroup": cgroup}
    files |= {f"sys/fs/cgroup/{name}": text for name, text in limits.items()}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory(tmp_path) == expected


def test_a_runtime_without_its_tar_is_refused(take):
    empty = part("runtime", "box", {"x.txt": b""}, annotations=runtime().annotations)
    with pytest.raises(Exception, match="holds 0 tar files"):
        take(model(), empty)
