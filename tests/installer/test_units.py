"""The service's units: systemd itself reads them and scores them; and a box's Wi-Fi."""

import configparser
import pwd
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from installer.cli import main
from installer.errors import HomeRefused
from installer.units import UPDATER, USER, units
from installer.wifi import profile
from tests.support.site import ROOT

HOME = Path("/srv/fieldpost")
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze, of Debian's systemd"
)


@pytest.fixture
def written(tmp_path):
    """The units in a folder of their own, with the page for phones."""
    for unit in units(HOME, Path("/usr/bin/python3"), {"--host": "0.0.0.0", "--port": "7860"}):
        (tmp_path / unit.path.name).write_text(unit.text)
    return tmp_path


@needs_systemd
@pytest.mark.parametrize("name", ["fieldpost.service", "fieldpost-update.service"])
def test_systemd_finds_little_to_attack(written, name):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", f"./{name}"],
        cwd=written, capture_output=True, text=True,
    )  # fmt: skip
    score = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert score, done.stdout + done.stderr
    assert float(score[1]) <= 1.5
    assert done.returncode == 0


@needs_systemd
def test_systemd_understands_every_line(written):
    done = subprocess.run(
        ["systemd-analyze", "verify", "./fieldpost.service", "./fieldpost-update.path"],
        cwd=written, capture_output=True, text=True,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if "is not executable" not in line and str(written) in line]
    assert said == []
    assert "Unknown" not in done.stderr


def test_who_serves_can_write_nothing_that_it_runs(written):
    web = (written / "fieldpost.service").read_text()
    assert f"\nUser={USER}\n" in web
    assert "\nProtectSystem=strict\n" in web
    writable = re.findall(r"^ReadWritePaths=(.*)$", web, re.M)
    assert writable == ["/srv/fieldpost/data", "-/media -/mnt"]


def test_root_runs_nothing_but_the_counting_as_the_updater_and_systemd_s_own_programs(written):
    lines = "\n".join((written / name).read_text() for name in ("fieldpost.service", "fieldpost-update.service"))
    as_root = re.findall(r"^Exec\w+=\+(.*)$", lines, re.M)
    own = [line for line in as_root if "python" in line]
    assert own
    assert all(line.startswith(f"/sbin/runuser -u {UPDATER} -- ") for line in own)
    assert {line.split()[0] for line in as_root} <= {"/sbin/runuser", "/usr/bin/install", "/bin/systemctl", "/bin/rm"}


@pytest.mark.parametrize("home", ["/srv/my box", "/srv/100%", "/home/amina/box", "/root/box"])
def test_a_home_that_a_service_cannot_use_is_refused(home):
    with pytest.raises(HomeRefused):
        units(Path(home), Path("/usr/bin/python3"), {})


def test_the_units_can_be_looked_at_without_root(capsys):
    assert main(["service", "--home", str(HOME), "--print"]) == 0
    assert "[Service]" in capsys.readouterr().out


def test_a_wifi_is_what_network_manager_reads():
    said = configparser.RawConfigParser()
    said.read_string(profile("Clinic", "wlan0", "abcdefgh2345"))
    assert said["wifi"]["mode"] == "ap"
    assert (said["wifi-security"]["key-mgmt"], said["wifi-security"]["psk"]) == ("wpa-psk", "abcdefgh2345")
    assert said["ipv4"]["method"] == "shared"


@pytest.mark.parametrize("name", ["", "x" * 33, "two\nlines", "ክሊኒክ ክሊኒክ ክሊኒ"])
def test_a_name_that_no_wifi_can_have_is_refused(name):
    with pytest.raises(HomeRefused):
        profile(name, "wlan0", "abcdefgh2345")


def test_each_wifi_has_a_password_of_its_own(capsys):
    said = set()
    for _ in range(3):
        assert main(["wifi", "--name", "Clinic"]) == 0
        said.add(re.search(r"^psk=([a-z2-9]{12})$", capsys.readouterr().out, re.M)[1])
    assert len(said) == 3


@pytest.mark.needs_root
def test_root_becomes_whoever_home_belongs_to(tmp_path):
    nobody = pwd.getpwnam("nobody")
    home = tmp_path / "home"
    home.mkdir()
    shutil.chown(home, nobody.pw_uid, nobody.pw_gid)
    code = (
        "import os, sys; from pathlib import Path; from installer.owner import act_as_owner\n"
        "act_as_owner(Path(sys.argv[1])); print(os.getuid(), os.getgid(), os.getgroups())"
    )
    done = subprocess.run([sys.executable, "-c", code, home], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split()[:2] == [str(nobody.pw_uid), str(nobody.pw_gid)]
    assert done.stdout.strip().endswith("[]")
