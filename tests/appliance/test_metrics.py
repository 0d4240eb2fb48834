"""Tests of appliance.metrics: what the machine tells, and what it does not."""

import os

from appliance.metrics import joules, vitals


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
