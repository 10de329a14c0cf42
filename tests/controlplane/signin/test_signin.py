"""How often a password may be tried, and what checking one may cost."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.hashers import check_password, get_hashers, make_password
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.db.models import F
from django.test import Client, override_settings

from controlplane import settings
from controlplane.signin import throttle
from controlplane.signin.hashing import WAITING, Busy, apart
from controlplane.signin.models import SignInTries
from controlplane.signin.throttle import TooManyTries, Tries, wait_after

if TYPE_CHECKING:
    from collections.abc import Callable

PASSWORD = "a-long-password"
HOME, ELSEWHERE, THIRD = "192.0.2.1", "198.51.100.7", "203.0.113.9"
QUICK = override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])


@pytest.fixture
def sign_in(db: None) -> Any:
    """`sign_in(password, address, name)`: the answer of the sign-in page."""
    with QUICK:
        User.objects.create_superuser("ada", password=PASSWORD)

        def post(password: str = "wrong", address: str = HOME, name: str = "ada") -> Any:
            form = {"username": name, "password": password}
            return Client().post("/admin/login/", form, REMOTE_ADDR=address)

        yield post


def later(**time: float) -> None:
    """So much time passes for all counts."""
    gone = timedelta(**time)
    SignInTries.objects.update(last_at=F("last_at") - gone, closed_until=F("closed_until") - gone)


@pytest.mark.pure
def test_waits_grow_and_end() -> None:
    minutes = [wait_after(failures).total_seconds() / 60 for failures in range(4, 12)]
    assert minutes == [0, 1, 2, 4, 8, 15, 15, 15]
    assert wait_after(10**6) == wait_after(12)


def test_five_tries_are_free_and_then_the_right_one_has_to_wait_too(sign_in: Any) -> None:
    wrong = [sign_in() for _ in range(5)]

    sixth = sign_in(PASSWORD)

    assert [answer.status_code for answer in wrong] == [200] * 5
    assert sixth.status_code == 429
    assert 1 <= int(sixth.headers["Retry-After"]) <= 61
    assert "Too many wrong passwords" in sixth.content.decode()
    assert "Try again in a minute" in sixth.content.decode()
    later(seconds=61)
    assert sign_in(PASSWORD).status_code == 302


def test_who_tries_on_waits_longer_and_hammering_adds_nothing(sign_in: Any) -> None:
    for _ in range(5):
        sign_in()
    for _ in range(20):
        assert sign_in().status_code == 429
    later(seconds=61)
    assert sign_in().status_code == 200

    assert 61 < int(sign_in().headers["Retry-After"]) <= 121


def test_nobody_is_locked_out_by_others(sign_in: Any) -> None:
    for _ in range(30):
        sign_in(address=ELSEWHERE)

    assert sign_in(address=ELSEWHERE).status_code == 429
    assert sign_in(PASSWORD, HOME).status_code == 302


def test_many_addresses_have_few_tries_each_for_one_account(sign_in: Any) -> None:
    for _ in range(5):
        sign_in(address=ELSEWHERE)

    statuses = [sign_in(address=THIRD).status_code for _ in range(4)]

    assert statuses == [200, 200, 429, 429]
    assert sign_in(address=THIRD, name="grace").status_code == 200  # the address is open


def test_one_address_has_few_tries_for_all_accounts(sign_in: Any) -> None:
    statuses = [sign_in(name=f"user{number}").status_code for number in range(7)]

    assert statuses == [200] * 5 + [429] * 2


def test_a_good_account_does_not_open_its_address_for_others(sign_in: Any) -> None:
    User.objects.create_superuser("mallory", password=PASSWORD)
    for _ in range(4):
        sign_in()
    assert sign_in(PASSWORD, name="mallory").status_code == 302
    assert sign_in().status_code == 200

    assert sign_in().status_code == 429


def test_who_signs_in_begins_anew(sign_in: Any) -> None:
    for _ in range(4):
        sign_in(address=ELSEWHERE)
    assert sign_in(PASSWORD).status_code == 302

    assert not SignInTries.objects.filter(about__startswith="a:").exists()


def test_it_is_forgotten_after_a_while(sign_in: Any) -> None:
    for _ in range(5):
        sign_in()
    later(minutes=17)

    assert [sign_in().status_code for _ in range(5)] == [200] * 5


def test_unknown_names_are_answered_as_known_ones_and_hash_as_much(sign_in: Any) -> None:
    known, unknown = sign_in(name="ada"), sign_in(name="nobody", address=ELSEWHERE)

    def said(answer: Any) -> list[str]:
        return answer.context["form"].non_field_errors()

    assert said(known) == said(unknown)
    for _ in range(5):
        unknown = sign_in(name="nobody", address=ELSEWHERE)
    assert unknown.status_code == 429


def test_the_table_is_bounded(sign_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MOST", 40)
    monkeypatch.setattr(throttle, "AT_A_TIME", 5)
    for number in range(60):
        Tries(f"user{number}", f"10.0.0.{number}").take()

    assert SignInTries.objects.count() <= 42


@pytest.mark.django_db
def test_an_address_of_ipv6_is_its_network() -> None:
    for number in range(5):
        Tries(f"user{number}", f"2001:db8::{number}").take()

    with pytest.raises(TooManyTries):
        Tries("other", "2001:db8::ffff:1").take()
    Tries("other", "2001:db8:0:1::1").take()


@pytest.mark.django_db(transaction=True)
def test_tries_at_once_are_counted_one_by_one() -> None:
    def one(_number: int) -> bool:
        try:
            while True:
                try:
                    Tries("ada", HOME).take()
                except OperationalError:
                    continue  # the tests' database, in memory, does not wait for its writer
                return True
        except TooManyTries:
            return False
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(one, range(24))) == 5


# Hashing


def test_one_password_is_hashed_at_a_time_a_few_wait_and_the_rest_is_told() -> None:
    running, most, let_go = 0, 0, threading.Event()

    def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        let_go.wait(10)
        running -= 1

    def one(_number: int) -> bool:
        try:
            apart(work)
        except Busy:
            return False
        return True

    with ThreadPoolExecutor(40) as threads:
        answers = [threads.submit(one, number) for number in range(40)]
        refused = [a for a in answers if wait_until_refused_or_not(a)]
        let_go.set()
        done = [answer.result() for answer in answers]
    assert most == 1
    assert done.count(True) == 1 + WAITING
    assert len(refused) == 40 - 1 - WAITING


def wait_until_refused_or_not(answer: Any) -> bool:
    """Whether it was refused; who waits is not done within a moment."""
    try:
        return answer.result(0.2) is False
    except TimeoutError:
        return False


def test_every_hasher_of_the_settings_computes_apart() -> None:
    with override_settings(PASSWORD_HASHERS=settings.PASSWORD_HASHERS):
        assert get_hashers()[0].algorithm == "argon2"
        for hasher in get_hashers():
            encoded = make_password(PASSWORD, hasher=hasher.algorithm)
            assert type(hasher).__module__ == "controlplane.signin.hashing"
            assert check_password(PASSWORD, encoded)
            assert not check_password("wrong", encoded)


@pytest.mark.django_db
def test_a_sign_in_that_finds_no_room_is_503_and_no_try(monkeypatch: pytest.MonkeyPatch) -> None:
    with QUICK:
        User.objects.create_superuser("ada", password=PASSWORD)

        def full(*_any: Any) -> Callable[..., Any]:
            raise Busy

        monkeypatch.setattr(User, "check_password", full)
        client = Client(raise_request_exception=False)
        answer = client.post("/admin/login/", {"username": "ada", "password": PASSWORD})

    assert answer.status_code == 503
    assert "sign in at this moment" in answer.content.decode()
    assert set(SignInTries.objects.values_list("failures", flat=True)) == {0}
