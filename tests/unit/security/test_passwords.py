"""Passwords: what is kept of them, and what a weaker way of keeping becomes."""

from abidance.security.passwords import Passwords

PASSWORD = "four unrelated words"
COST = "$argon2id$v=19$m=65536,t=3,p=4$"


def test_a_password_is_kept_as_argon2id_with_a_salt_of_its_own() -> None:
    passwords = Passwords()

    first, second = passwords.hash(PASSWORD), passwords.hash(PASSWORD)

    assert first.startswith(COST)
    assert second.startswith(COST)
    assert first != second
    assert passwords.verify(PASSWORD, first) == (True, None)
    assert passwords.verify(f"{PASSWORD}!", first) == (False, None)


def test_a_password_that_was_kept_at_a_lower_cost_is_kept_anew_when_it_is_next_shown() -> None:
    weak = Passwords(memory_kib=8, rounds=1, lanes=1).hash(PASSWORD)

    is_right, fresh = Passwords().verify(PASSWORD, weak)

    assert is_right
    assert fresh is not None
    assert fresh.startswith(COST)
