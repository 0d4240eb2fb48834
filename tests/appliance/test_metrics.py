"""Tests of appliance.metrics: what the machine tells, and what it does not."""

import os

import pytest

from appliance.metrics import Memory, joules, memory, vitals

MB = 1_000_000


def test_this_machine_can_be_looked_at():
    seen = vitals()
    assert seen.memory_available > 0
    assert seen.battery is None or 0 <= seen.battery <= 100


def test_a_kernel_without_pressure_tells_none(tmp_path):
    assert vitals(pressure=tmp_path / "none").memory_pressure is None


def test_pressure_is_the_share_of_the_last_ten_seconds(tmp_path):
    told = tmp_path / "memory"
    told.write_text("some avg10=12.50 avg60=1.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0 avg300=0 total=0\n")
    assert vitals(pressure=told).memory_pressure == 12.5


def test_a_charge_controller_writes_the_battery_into_a_file(tmp_path):
    file = tmp_path / "battery"
    file.write_text("73 charging\n")
    assert (vitals(file).battery, vitals(file).charging) == (73.0, True)
    file.write_text("12.5")
    assert (vitals(file).battery, vitals(file).charging) == (12.5, False)


def test_a_file_that_says_nothing_or_is_old_is_not_believed(tmp_path):
    file = tmp_path / "battery"
    assert vitals(file).battery is None
    for words in ("", "full", "130", "nan"):
        file.write_text(words)
        assert vitals(file).battery is None
    file.write_text("12")
    os.utime(file, (1, 1))
    assert vitals(file).battery is None


def test_energy_is_that_of_the_packages_and_not_of_their_parts(tmp_path):
    assert joules(tmp_path) is None
    for name, told in (("intel-rapl:0", "3000000"), ("intel-rapl:1", "500000"), ("intel-rapl:0:0", "9000000")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(told)
    assert joules(tmp_path) == 3.5


def groups(root, told, files):
    """Made-up control groups: what the kernel tells this process of its own, and files below sys/fs/cgroup."""
    for name, text in {"proc/self/cgroup": told, **{f"sys/fs/cgroup/{n}": t for n, t in files.items()}}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_limit_of_version_2_holds_for_all_groups_in_it_and_files_in_memory_can_be_freed(tmp_path):
    files = {
        "a/memory.max": f"{20 * MB}\n",
        "a/memory.current": f"{15 * MB}\n",
        "a/memory.stat": f"anon {9 * MB}\nfile {6 * MB}\ninactive_file {4 * MB}\nactive_file {2 * MB}\n",
        "a/b/memory.max": "max\n",
        "a/b/memory.current": "1\n",
    }
    assert memory(groups(tmp_path, "0::/a/b\n", files)) == Memory(total=20 * MB, available=11 * MB)


def test_a_limit_of_version_1_beside_an_empty_version_2(tmp_path):
    files = {
        "memory/x/memory.limit_in_bytes": f"{30 * MB}\n",
        "memory/x/memory.usage_in_bytes": f"{12 * MB}\n",
        "memory/x/memory.stat": f"active_file 1\ntotal_inactive_file {2 * MB}\ntotal_active_file {3 * MB}\n",
        "memory/memory.limit_in_bytes": f"{2**63 - 4096}\n",
    }
    told = "5:cpu,cpuacct:/other\n4:memory:/x\n0::/\n"
    assert memory(groups(tmp_path, told, files)) == Memory(total=30 * MB, available=23 * MB)


@pytest.mark.parametrize(
    ("told", "files"),
    [
        ("0::/\n", {"memory.max": f"{40 * MB}", "memory.current": f"{50 * MB}"}),
        ("0::/../..\n", {"memory.max": f"{40 * MB}", "memory.current": f"{50 * MB}"}),
        ("0::/outside/7f\n", {"unified/memory.max": f"{40 * MB}", "unified/memory.current": f"{50 * MB}"}),
        (
            "2:memory:/docker/7f\n",
            {"memory/memory.limit_in_bytes": f"{40 * MB}", "memory/memory.usage_in_bytes": f"{50 * MB}"},
        ),
    ],
)
def test_in_a_container_the_group_is_where_it_is_mounted_and_nothing_is_less_than_nothing(tmp_path, told, files):
    assert memory(groups(tmp_path, told, files)) == Memory(total=40 * MB, available=0)


@pytest.mark.parametrize(
    ("told", "files"),
    [
        ("", {}),
        ("0::/a\n", {"a/memory.max": "max", "a/memory.current": "1"}),
        ("4:memory:/\n", {"memory/memory.limit_in_bytes": str(2**63 - 4096), "memory/memory.usage_in_bytes": "1"}),
        ("0::/a\n", {"a/memory.max": str(2**50), "a/memory.current": "1"}),
    ],
)
def test_without_a_limit_or_with_one_beyond_it_the_machine_is_what_counts(tmp_path, told, files):
    assert memory(groups(tmp_path, told, files)).total == memory(tmp_path / "none").total > 100 * MB
