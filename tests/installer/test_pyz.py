"""Tests of installer.pyz itself: bare Python, real processes, and pulled plugs."""

import json
import os
import pty
import random
import shutil
import subprocess
import sys
import time
import zipfile
from collections import Counter
from datetime import datetime

import pytest

from tests.installer.test_install import SEED, assert_release_is_whole
from tests.support.bundle_factory import make_bundle, model
from tests.support.site import ROOT, installer, run

PYZ = ROOT / "dist" / "installer.pyz"


def test_it_is_the_same_bytes_every_time(tmp_path):
    for name in ("a", "b"):
        run(sys.executable, "-m", "installer.build_pyz", tmp_path / name, env={"PYTHONPATH": str(ROOT)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").stat().st_size < 1_500_000


def test_it_carries_its_parts_licences_and_nothing_of_the_box():
    names = zipfile.ZipFile(PYZ).namelist()
    for package in ("tuf", "securesystemslib", "urllib3"):
        assert any(n.startswith(f"{package}-") and "LICEN" in n.upper() for n in names), package
    assert not [n for n in names if n.startswith(("appliance", "bundles/build"))]


def test_the_wheel_has_no_top_level_installer(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], cwd=ROOT, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {"appliance", "bundles"} <= tops
    assert "installer" not in tops


def test_bare_python_installs_and_tells_the_status(made_stick, home, keys):
    done = installer("install", "--from", made_stick, "--home", home, "--fingerprint", keys.fingerprint)
    assert "demo 0.1.0 is now in use" in done.stdout
    assert_release_is_whole(home)
    again = installer("install", "--from", made_stick, "--home", home)
    assert "nothing to do" in again.stdout
    facts = json.loads(installer("status", "--home", home, "--json").stdout)
    assert (facts["release"], facts["root"]) == (1, keys.fingerprint)


def test_nobody_to_ask_means_no_install(made_stick, home, keys):
    done = installer("install", "--from", made_stick, "--home", home, check=False)
    assert done.returncode == 1
    assert "Add: --fingerprint SHA256:... (from your paper)" in done.stderr
    assert f"--fingerprint {keys.fingerprint}" not in done.stderr, "that would hand over the value to be checked"
    assert not (home / "current").exists()


SAYS_WHO_RAN = b"import sys; sys.exit('the stick ran its own program')\n"


def test_an_update_runs_the_boxs_installer_and_never_the_sticks(tmp_path, home, keys):
    """Through install.sh and as the field guide says; the box's own is replaced while it runs, and ends well."""
    old = make_bundle(tmp_path / "old", keys, version="3.0.0", components=[model(b"3")], installer=PYZ.read_bytes())
    new = make_bundle(tmp_path / "new", keys, version="3.1.0", components=[model(b"31")], installer=SAYS_WHO_RAN)
    first = run("sh", old / "install.sh", home, "--fingerprint", keys.fingerprint)
    assert f"Update with: python3 {home}/installer.pyz install --from STICK --home {home}" in first.stdout
    by_hand = shutil.copytree(home, tmp_path / "by hand", symlinks=True)

    done = run("sh", new / "install.sh", home)
    assert "demo 3.1.0 is now in use (release 2" in done.stdout
    assert (home / "installer.pyz").read_bytes() == SAYS_WHO_RAN
    assert_release_is_whole(home)

    done = run(sys.executable, by_hand / "installer.pyz", "install", "--from", new, "--home", by_hand)
    assert "demo 3.1.0 is now in use" in done.stdout
    # And without one on the box it is the stick's: the first install trusts the stick, as the field guide says.
    bare = run("sh", new / "install.sh", tmp_path / "bare", check=False)
    assert "the stick ran its own program" in bare.stderr


def test_a_false_stick_runs_nothing_and_changes_nothing(tmp_path, home, keys):
    old = make_bundle(tmp_path / "old", keys, version="3.2.0", components=[model(b"3")], installer=PYZ.read_bytes())
    run("sh", old / "install.sh", home, "--fingerprint", keys.fingerprint)
    (old / "installer.pyz").write_bytes(SAYS_WHO_RAN)
    done = run("sh", old / "install.sh", home, check=False)
    assert done.returncode == 1
    assert "installer.pyz is damaged or was changed" in done.stderr
    assert "the stick ran" not in done.stderr
    assert (home / "installer.pyz").read_bytes() == PYZ.read_bytes()


def test_only_an_install_says_that_what_was_copied_is_kept(made_stick, home, keys):
    home.write_text("a file where the folder should be")
    current = home.with_name("other") / "current"
    current.mkdir(parents=True)
    (current.parent / "releases").write_text("a file, so that the disk's own error comes up")
    done = installer("status", "--home", current.parent, check=False)
    assert done.returncode == 1
    assert "Mend this" in done.stderr
    assert "copied" not in done.stderr
    release = home.with_name("third") / "releases"
    release.parent.mkdir()
    release.write_text("the same")
    done = installer(
        "install", "--from", made_stick, "--home", release.parent, "--fingerprint", keys.fingerprint, check=False
    )
    assert "What was copied is kept. Mend this and run the same again." in done.stderr


def test_a_wrong_fingerprint_is_refused(made_stick, home):
    done = installer("install", "--from", made_stick, "--home", home, "--fingerprint", "SHA256:no", check=False)
    assert done.returncode == 1
    assert "ask your organisation" in done.stderr


@pytest.mark.parametrize(("typed", "code"), [("right", 0), ("wrong", 1)])
def test_on_a_terminal_a_person_is_asked(made_stick, home, keys, typed, code):
    leader, follower = pty.openpty()
    command = [sys.executable, "-I", "-S", PYZ, "install", "--from", made_stick, "--home", home]
    process = subprocess.Popen(command, stdin=follower, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    os.write(leader, f"{keys.fingerprint[-8:] if typed == 'right' else 'maybe'}\n".encode())
    out, _ = process.communicate(timeout=60)
    os.close(leader)
    os.close(follower)
    assert process.returncode == code
    assert keys.fingerprint in out
    assert (home / "current").exists() == (code == 0)


@pytest.mark.parametrize(
    "mistake",
    [
        ["install"],
        ["install", "--from", "x"],
        ["install", "--from", "x", "--home", "y", "--force"],
        ["install", "--from", "x", "--home", "y", "--finger", "z"],
        ["remove"],
        [],
    ],
)
def test_mistakes_in_the_command_line_are_exit_2(mistake):
    assert installer(*mistake, check=False).returncode == 2


def test_a_stick_that_is_no_folder_is_said_in_words(tmp_path):
    done = installer("install", "--from", tmp_path / "none", "--home", tmp_path / "home", check=False)
    assert done.returncode == 1
    assert "where the stick is mounted" in done.stderr


def test_pulled_plugs_leave_the_old_release_or_the_new_one_and_the_next_run_ends_well(tmp_path, keys):
    """Real processes, killed at seeded moments spread over a whole update."""
    chance = random.Random(SEED)
    big = [model(chance.randbytes(24 << 20))]
    old = make_bundle(tmp_path / "old", keys, version="7.0.0", components=[model(b"old")])
    new = make_bundle(tmp_path / "new", keys, version="7.1.0", components=big)
    home = tmp_path / "home"
    installer("install", "--from", old, "--home", home, "--fingerprint", keys.fingerprint)
    command = [sys.executable, "-I", "-S", PYZ, "install", "--from", new, "--home", home]

    began = time.monotonic()
    trial = tmp_path / "trial"
    installer("install", "--from", new, "--home", trial, "--fingerprint", keys.fingerprint)
    whole_run = time.monotonic() - began

    outcomes = set()
    for number in range(10):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=whole_run * (number + chance.random()) / 10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        version = assert_release_is_whole(home)["version"]
        assert version in ("7.0.0", "7.1.0")
        outcomes.add(version)
        for release in (home / "releases").iterdir():
            if release.name.isdigit():
                assert (release / "release.json").exists()
    installer("install", "--from", new, "--home", home)
    assert assert_release_is_whole(home)["version"] == "7.1.0"
    assert list((home / "staging").iterdir()) == []
    assert "7.0.0" in outcomes, "no run was killed before its switch: the moments prove nothing"


def test_the_disk_is_synced_before_each_name_that_counts(made_stick, home, keys, tmp_path):
    """Power cuts cannot be had here; what can be seen is the order of the calls: fsync before rename."""
    trace = tmp_path / "trace"
    command = [sys.executable, "-I", "-S", PYZ, "install", "--from", made_stick, "--home", home]
    run("strace", "-f", "-y", "-o", trace, "-e", "trace=fsync,fdatasync,rename,renameat,renameat2",
        *command, "--fingerprint", keys.fingerprint)  # fmt: skip
    synced: set[str] = set()
    renames = 0
    for line in trace.read_text().splitlines():
        if "sync(" in line and line.endswith("= 0"):
            synced.add(line.split("<", 1)[1].split(">", 1)[0])
        elif "rename" in line and line.endswith("= 0"):
            source = line.split('"')[1]
            renames += 1
            if source.endswith((".part", "state.json.tmp", "release.json.tmp", "installer.pyz.tmp", "/1.tmp")):
                assert source in synced, f"{source} was named before it was on the disk"
    assert renames > 10
    assert str(home / "blobs" / "sha256") in synced


def test_killed_at_any_call_that_changes_the_disk_it_leaves_old_or_new(tmp_path, keys):
    """A SIGKILL at the entry of a rename, link, removal or sync of a whole update: twelve seeded ones."""
    old = make_bundle(tmp_path / "old", keys, version="9.0.0", components=[model(b"old")])
    new = make_bundle(tmp_path / "new", keys, version="9.1.0", components=[model(b"new")])
    before = tmp_path / "before"
    installer("install", "--from", old, "--home", before, "--fingerprint", keys.fingerprint)
    calls = "rename,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,rmdir,chmod,fchmod,fsync,fdatasync"

    def update(home, *strace):
        command = [sys.executable, "-I", "-S", PYZ, "install", "--from", new, "--home", home]
        return subprocess.run(["strace", "-f", "-qq", *strace, *command], capture_output=True).returncode

    trial = shutil.copytree(before, tmp_path / "trial", symlinks=True)
    trace = tmp_path / "trace"
    assert update(trial, "-o", trace, "-e", f"trace={calls}") == 0
    counts = Counter(line.split("(")[0].split()[-1] for line in trace.read_text().splitlines() if "(" in line)
    points = [(call, number) for call, total in sorted(counts.items()) for number in range(1, total + 1)]
    assert counts["fsync"] > 10
    assert counts["rename"] > 5

    outcomes = Counter()
    switches = [point for point in points if point[0] in ("rename", "symlink")]  # most of these, and some others
    others = [point for point in points if point not in switches]
    chance = random.Random(SEED)
    last = ("rename", counts["rename"])  # the switch of current itself
    switches.remove(last)
    for call, number in [last, *chance.sample(switches, 7), *chance.sample(others, 4)]:
        home = shutil.copytree(before, tmp_path / "home", symlinks=True)
        status = update(
            home, "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"
        )
        assert status in (-9, 137), f"{call} {number} did not end it"
        version = assert_release_is_whole(home)["version"]
        outcomes[version] += 1
        installer("install", "--from", new, "--home", home)
        assert assert_release_is_whole(home)["version"] == "9.1.0", (call, number)
        assert not list((home / "staging").iterdir()), (call, number)
        assert not list((home / "releases").glob("*.tmp")), (call, number)
        shutil.rmtree(home)
    assert outcomes["9.0.0"] > 4


@pytest.mark.parametrize("second", ["1970-01-01 00:00:10", "2100-06-01 12:00:00"])
def test_the_boxs_clock_is_never_asked(made_stick, home, keys, tmp_path, second):
    """A box whose battery died, and a bundle long past its expiry; the clock itself is what is changed."""
    source = tmp_path / "clock.c"
    told = int(datetime.fromisoformat(f"{second}+00:00").timestamp())
    source.write_text(CLOCK % {"told": told})
    subprocess.run(["g++", "-shared", "-fPIC", "-x", "c", source, "-o", tmp_path / "clock.so"], check=True)
    env = {**os.environ, "LD_PRELOAD": str(tmp_path / "clock.so")}
    year = [sys.executable, "-I", "-S", "-c", "import datetime; print(datetime.datetime.now().year)"]
    assert subprocess.run(year, env=env, capture_output=True, text=True).stdout.strip() == second[:4]
    command = [sys.executable, "-I", "-S", PYZ, "install", "--from", made_stick, "--home", home]
    done = subprocess.run([*command, "--fingerprint", keys.fingerprint], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert_release_is_whole(home)


CLOCK = """
#define _GNU_SOURCE
#include <time.h>
#include <sys/time.h>
#include <sys/syscall.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *t) {
  long code = syscall(SYS_clock_gettime, id, t);
  if (id == CLOCK_REALTIME) { t->tv_sec = %(told)d; t->tv_nsec = 0; }
  return (int)code;
}
time_t time(time_t *t) { if (t) *t = %(told)d; return %(told)d; }
int gettimeofday(struct timeval *t, void *z) { t->tv_sec = %(told)d; t->tv_usec = 0; return 0; }
"""


def test_an_older_python_is_told_so_and_not_shown_a_traceback():
    program = f"import runpy, sys; sys.version_info = (3, 9, 2); runpy.run_path({str(PYZ)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Python 3.11 or newer is needed" in done.stderr


def test_a_wrong_fingerprint_is_refused_also_by_a_box_that_trusts_the_stick(made_stick, home, keys):
    installer("install", "--from", made_stick, "--home", home, "--fingerprint", keys.fingerprint)
    done = installer("install", "--from", made_stick, "--home", home, "--fingerprint", "SHA256:no", check=False)
    assert done.returncode == 1
    assert "SHA256:no was expected" in done.stderr


def test_status_of_a_rotten_release_is_said_in_words(made_stick, home, keys):
    installer("install", "--from", made_stick, "--home", home, "--fingerprint", keys.fingerprint)
    (home / "releases" / "1" / "release.json").write_bytes(b"")
    done = installer("status", "--home", home, check=False)
    assert done.returncode == 1
    assert "release.json cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_closing_the_terminal_at_the_question_installs_nothing(made_stick, home):
    leader, follower = pty.openpty()
    command = [sys.executable, "-I", "-S", PYZ, "install", "--from", made_stick, "--home", home]
    process = subprocess.Popen(command, stdin=follower, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    os.write(leader, b"\x04")
    _, err = process.communicate(timeout=60)
    os.close(leader)
    os.close(follower)
    assert process.returncode == 1
    assert "Nothing was installed" in err
    assert "Traceback" not in err
    assert not (home / "current").exists()


def test_without_cryptography_the_vendored_ed25519_is_what_verifies(made_stick, home, keys):
    program = (
        f"import runpy, sys; sys.path.insert(0, {str(PYZ)!r}); sys.argv = ['installer.pyz', 'install', '--from',"
        f" {str(made_stick)!r}, '--home', {str(home)!r}, '--fingerprint', {keys.fingerprint!r}]\n"
        "from installer.cli import main\n"
        "assert main() == 0\n"
        "assert 'cryptography' not in sys.modules\n"
        "assert any(name.startswith('securesystemslib._vendor.ed25519') for name in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
