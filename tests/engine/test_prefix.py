"""appliance.engine.prefix and spill: what is found is a true beginning, nobody finds another's, budgets hold."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.engine.prefix import PrefixCache, Saved
from appliance.engine.reading import LEAST, common
from appliance.engine.spill import DiskSpill, Identity

TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=40).map(lambda tail: [7] * LEAST + tail)


def saved(tokens: Sequence[int], *, adapter: str | None = None, owner: str | None = None, size: int = 10) -> Saved:
    return Saved(adapter=adapter, owner=owner, tokens=np.array(tokens, np.int32), state=b"s" * size)


@given(
    st.lists(st.tuples(TOKENS, st.sampled_from([None, "a"]), st.sampled_from([None, "ann", "ben"])), max_size=8),
    TOKENS,
    st.sampled_from([None, "a"]),
    st.sampled_from(["", "ann", "ben"]),
    st.booleans(),
)
def test_the_longest_true_beginning_of_ones_own_is_found(
    kept: list[tuple[list[int], str | None, str | None]], prompt: list[int], adapter: str | None, user: str, cut: bool
) -> None:
    cache = PrefixCache(1 << 30, cut=cut)
    for tokens, through, owner in kept:
        cache.save(saved(tokens, adapter=through, owner=owner))
    found = cache.find(prompt, adapter=adapter, user=user)
    most = 0
    for tokens, through, owner in kept:
        if through == adapter and owner in (None, user):
            same = min(common(tokens, prompt), len(prompt) - 1)
            most = max(most, same if cut or same == len(tokens) else 0)
    assert (found.tokens if found else 0) == (most if most >= LEAST else 0)
    assert found is None or found.tokens < len(prompt)


@given(st.lists(st.tuples(TOKENS, st.integers(1, 400)), max_size=20), st.integers(0, 1000))
def test_the_budget_is_never_passed(kept: list[tuple[list[int], int]], budget: int) -> None:
    cache = PrefixCache(budget, cut=True)
    for tokens, size in kept:
        cache.save(saved(tokens, size=size))
        assert 0 <= cache.bytes <= budget


def test_what_is_used_least_goes_first() -> None:
    one, two, three = ([n] * 20 for n in (1, 2, 3))
    cache = PrefixCache(2 * saved(one).size, cut=True)
    cache.save(saved(one))
    cache.save(saved(two))
    assert cache.find([*one, 9], adapter=None, user="")
    cache.save(saved(three))
    assert cache.find([*one, 9], adapter=None, user="") and not cache.find([*two, 9], adapter=None, user="")


def test_a_longer_turn_takes_the_place_of_the_shorter_one_of_the_same_user_only() -> None:
    cache = PrefixCache(1 << 20, cut=True)
    for owner in (None, "ann", "ben"):
        cache.save(saved([1] * 20, owner=owner))
    cache.save(saved([1] * 30, owner="ann"))
    assert [cache.holds([1] * 20, adapter=None, owner=owner) for owner in (None, "ann", "ben")] == [True, False, True]


def test_only_at_takes_whole_states_at_these_places_alone() -> None:
    cache = PrefixCache(1 << 20, cut=True)
    cache.save(saved([1] * 20))
    assert not cache.find([1] * 30, adapter=None, user="", only_at=(25,))
    found = cache.find([1] * 30, adapter=None, user="", only_at=(20, 25))
    assert found and found.tokens == 20 and found.whole
    assert not cache.find([1] * 18 + [2] * 9, adapter=None, user="", only_at=(18,))


@pytest.fixture
def identity() -> Identity:
    return Identity(model="sha256:m", runtime="r", adapters={"a": "sha256:a", "nameless": ""})


def test_shared_states_outlive_the_process_and_only_for_the_same_model_and_adapter(
    tmp_path: Path, identity: Identity
) -> None:
    first = PrefixCache(1 << 20, cut=True, spill=(spill := DiskSpill(tmp_path / "s", identity, 1 << 20)))
    first.save(saved([1] * 20, size=1000))
    first.save(saved([2] * 20, adapter="a"))
    first.save(saved([3] * 20, adapter="nameless"))
    first.save(saved([4] * 20, owner="ann"))
    spill.flush()
    assert len(list((tmp_path / "s").iterdir())) == 2  # a person's turns, and an unknown adapter's, are not written
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700

    def again(**other: object) -> PrefixCache:
        changed = Identity(**{"model": "sha256:m", "runtime": "r", "adapters": identity.adapters, **other})
        return PrefixCache(1 << 20, cut=True, spill=DiskSpill(tmp_path / "s", changed, 1 << 20))

    found = again().find([1] * 30, adapter=None, user="")
    assert found and (found.tokens, found.state) == (20, b"s" * 1000)
    assert again().find([2] * 30, adapter="a", user="")
    assert not again().find([1] * 30, adapter="a", user="")
    assert not again().find([4] * 30, adapter=None, user="ann")
    assert not again(model="sha256:other").find([1] * 30, adapter=None, user="")
    assert not again(runtime="other").find([1] * 30, adapter=None, user="")
    assert not again(adapters={"a": "sha256:b"}).find([2] * 30, adapter="a", user="")


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_damaged_file_is_never_restored(tmp_path_factory: pytest.TempPathFactory, at: int, flip: int) -> None:
    folder = tmp_path_factory.mktemp("spill")
    identity = Identity(model="m", runtime="r", adapters={})
    spill = DiskSpill(folder, identity, 1 << 20)
    spill.keep(saved([1] * 20, size=200))
    spill.flush()
    (path,) = folder.iterdir()
    raw = bytearray(path.read_bytes())
    raw[at % len(raw)] ^= flip
    path.write_bytes(raw)
    cache = PrefixCache(1 << 20, cut=True, spill=DiskSpill(folder, identity, 1 << 20))
    assert cache.find([1] * 30, adapter=None, user="") is None
    path.write_bytes(raw[: at % len(raw)])
    cache = PrefixCache(1 << 20, cut=True, spill=DiskSpill(folder, identity, 1 << 20))
    assert cache.find([1] * 30, adapter=None, user="") is None


def test_files_keep_within_their_budget_and_the_last_used_stay(tmp_path: Path, identity: Identity) -> None:
    spill = DiskSpill(tmp_path, identity, 3500)
    for number in range(6):
        spill.keep(saved([number] * 20, size=800))
        spill.flush()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3500
    kept = {int(one.tokens[0]) for one in DiskSpill(tmp_path, identity, 3500).stored()}
    assert kept == {int(one.tokens[0]) for one in spill.stored()} and len(kept) == 3
