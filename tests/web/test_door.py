"""Tests of appliance.web.door: the access code."""

from appliance.web.door import FREE_TRIES, LONGEST_WAIT_S, SESSION_S, Door, load_or_make_code


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_a_box_makes_its_own_code_and_keeps_it(tmp_path):
    code = load_or_make_code(tmp_path / "code")
    assert len(code) == 8
    assert code.isdecimal()
    assert load_or_make_code(tmp_path / "code") == code
    assert load_or_make_code(tmp_path / "other") != code
    assert (tmp_path / "code").stat().st_mode & 0o777 == 0o600


def test_the_right_code_opens_in_any_scripts_digits():
    door = Door("01234567")
    assert door.admits(door.enter("0123 4567"))
    assert door.admits(door.enter("٠١٢٣٤٥٦٧"))
    assert door.enter("01234568") is None
    assert not door.admits("guessed")


def test_guessing_gets_slower_and_a_right_code_waits_too():
    clock = Clock()
    door = Door("01234567", clock=clock)
    for _ in range(FREE_TRIES):
        door.enter("00000000")
    assert door.wait_s() == 1
    assert door.enter("01234567") is None
    clock.now += 1
    door.enter("00000000")
    assert door.wait_s() == 2
    clock.now += 2
    assert door.enter("01234567") is not None
    assert door.wait_s() == 0


def test_the_brake_holds_however_long_somebody_tries():
    clock = Clock()
    door = Door("01234567", clock=clock)
    for _ in range(2000):
        door.enter("00000000")
        clock.now += door.wait_s()
    door.enter("00000000")
    assert door.wait_s() == LONGEST_WAIT_S


def test_an_unused_session_ends():
    clock = Clock()
    door = Door("01234567", clock=clock)
    token = door.enter("01234567")
    clock.now += SESSION_S - 1
    assert door.admits(token)
    clock.now += SESSION_S + 1
    assert not door.admits(token)
