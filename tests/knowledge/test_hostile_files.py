"""A sample of the malformed files that others collected: each is read or refused with a reason, within its limits."""

import random
from itertools import groupby
from pathlib import Path

import pytest

from tests.soak.ingest import mutated, mutated_inside, read_all, shared_files, well_files


@pytest.mark.needs_shared
def test_shared_malformed_files_are_read_or_refused_with_a_reason(shared: Path) -> None:
    sample = []
    for corpus, cases in groupby(shared_files(shared), key=lambda case: case[0]):
        found = list(cases)
        sample += found if "pdf" in corpus else found[:: max(1, len(found) // 40)]
    outcome = read_all(sample)
    assert outcome.failures == ()
    assert {row[0] for row in outcome.rows} >= {"malformed/pdf_pypdf", "malformed/archives_fuzz", "malformed/zip_slip"}


def test_files_of_ours_that_were_hurt_are_read_or_refused_with_a_reason() -> None:
    order = random.Random(20)
    cases = []
    for corpus, name, data in well_files(Path("/nonexistent")):
        assert isinstance(data, bytes)
        for _ in range(6):
            cases.append((corpus, name, mutated(data, order)))
            if data.startswith(b"PK"):
                cases.append((corpus, name, mutated_inside(data, order)))
    outcome = read_all(cases)
    assert outcome.failures == ()
    assert sum(int(row[3]) for row in outcome.rows) > 20  # most are refused
