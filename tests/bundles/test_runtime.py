"""Tests of bundles.runtime: the same wheels give the same bytes, and nothing of this machine is in them."""

import re
import tarfile
import tomllib
import zipfile

import pytest

from bundles.errors import RuntimeFailed
from bundles.format.runtime_archive import parse_platform
from bundles.runtime import make_runtime
from tests.support.site import ROOT, run


def wheel(folder, name, tag="py3-none-any"):
    """A wheel with one module, a script and a folder of compiled modules."""
    path = folder / f"{name}-1.0-{tag}.whl"
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}/__init__.py": "value = 1\n",
        f"{name}/__pycache__/stale.pyc": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in files.items():
            archive.writestr(inside, text)
    return path


@pytest.fixture
def none_locked(tmp_path):
    path = tmp_path / "requirements.lock"
    path.write_text("# nothing\n")
    return path


def test_the_same_wheels_give_the_same_bytes_and_name_nothing_of_this_machine(tmp_path, none_locked):
    wheels = [wheel(tmp_path, "alpha"), wheel(tmp_path, "beta")]
    platform = parse_platform("linux-aarch64-cp311")
    made = [
        make_runtime(tmp_path / name, platform, requirements=none_locked, wheels=wheels) for name in ("a.tar", "b.tar")
    ]
    data = made[0].path.read_bytes()
    assert data == made[1].path.read_bytes()
    assert made[0].packages == ("alpha-1.0", "beta-1.0")
    assert str(tmp_path).encode() not in data
    with tarfile.open(made[0].path, "r:") as archive:
        entries = archive.getmembers()
    names = [entry.name for entry in entries]
    assert "lib/python3.11/site-packages/alpha/__init__.py" in names
    assert not [name for name in names if "__pycache__" in name or "/bin" in name or "RECORD" in name]
    assert {(entry.mtime, entry.uid, entry.gid, entry.uname) for entry in entries} == {(0, 0, 0, "")}
    assert {entry.mode for entry in entries if entry.isfile()} == {0o644}


def test_a_wheel_for_another_machine_is_refused(tmp_path, none_locked):
    wrong = wheel(tmp_path, "alpha", "cp311-cp311-manylinux_2_28_x86_64")
    with pytest.raises(RuntimeFailed, match="alpha"):
        make_runtime(
            tmp_path / "a.tar", parse_platform("linux-aarch64-cp311"), requirements=none_locked, wheels=[wrong]
        )
    assert not (tmp_path / "a.tar").exists()


def test_the_command_refuses_what_is_no_platform(tmp_path, none_locked):
    done = run("fieldpost-bundle", "runtime", "--out", tmp_path / "a.tar", "--requirements", none_locked,
               "--platform", "raspberry", check=False)  # fmt: skip
    assert done.returncode == 1
    assert "linux-x86_64-cp311" in done.stderr


def test_the_lock_of_a_box_has_all_that_a_box_needs_in_the_versions_of_the_other_lock():
    pins = {
        name: dict(re.findall(r"^([\w.-]+)==([\w.+!-]+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements.lock", "requirements-box.lock")
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        re.split(r"[\s\[<>=!~;]", line)[0].lower().replace("_", "-")
        for line in (*project["dependencies"], *project["optional-dependencies"]["box"])
    }
    assert wanted - set(pins["requirements-box.lock"]) == set(), "run scripts/lock"
    assert set(pins["requirements-box.lock"].items()) <= set(pins["requirements.lock"].items()), "run scripts/lock"
