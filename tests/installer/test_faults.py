"""A sample of scripts/soak install: the plug pulled and the disk full at some moments; the whole is in the soak."""

import random

import pytest

from tests.soak.install import (
    Matrix,
    clocks,
    damages,
    ended_at_every_change,
    full_at_every_change,
    make_site,
    refused,
)
from tests.soak.install_power import snapshots


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return make_site(tmp_path_factory.mktemp("faults"))


@pytest.fixture
def matrix():
    made = Matrix()
    yield made
    for row in made.rows:
        print(*row, sep=" | ")
    assert made.failures == []


def test_an_update_that_is_ended_leaves_the_old_or_the_new_and_goes_on(site, matrix):
    ended_at_every_change(site, matrix, "update", 6)


def test_a_rollback_that_is_ended_leaves_the_one_or_the_other(site, matrix):
    ended_at_every_change(site, matrix, "rollback", 4)


def test_a_disk_that_gets_full_is_said_and_changes_nothing(site, matrix):
    full_at_every_change(site, matrix, "install", 4)


@pytest.mark.needs_root
def test_power_that_fails_leaves_a_disk_with_the_old_or_the_new(site, matrix):
    snapshots(site, matrix, 10, synced=True)


@pytest.mark.needs_root
def test_an_installer_that_syncs_nothing_would_be_caught(site, matrix):
    snapshots(site, matrix, 1, synced=False)


def test_a_clock_that_is_wrong_is_told_and_an_older_stick_refused(site, matrix):
    clocks(site, matrix)


def test_files_in_the_wrong_place_are_refused_by_name(site, matrix):
    kinds = damages(site, random.Random(1))
    for name in ("two files swapped", "metadata of an older stick beside newer files", "a flipped byte in install.sh"):
        refused(site, matrix, name, *kinds[name])
