"""A new snapshot in a running gateway: what it keeps, what it lets go."""

import pytest

from providers.adapters.spec import CredentialSpec
from routing.gateway.app import Gateway
from tests.support.builders import FakeClock, bench_entry, content, pool, provider, snapshot

pytestmark = pytest.mark.pure


class World:
    def __init__(self):
        self.clock = FakeClock()
        self.gateway = Gateway(
            decrypt=lambda token: token, environ={}, clock=self.clock, wall=self.clock.wall
        )

    def load(self, *providers, pools=(), generation=1):
        self.gateway.load(snapshot(content(*pools, providers=providers), generation))

    def bench(self, *subjects):
        until = self.clock.wall() + 60
        self.gateway.benches.merge(
            [
                bench_entry(subject, credential=credential, until=until)
                for subject, credential in subjects
            ],
            self.clock.now,
        )

    @property
    def benched(self):
        entries = self.gateway.benches.entries(self.clock.now)
        return [(entry.subject, entry.credential) for entry in entries]


ALL = (("a/*", None), ("a/*", "main"), ("a/x", None), ("a/x", "main"), ("b/x", None))


def test_benches_outlive_a_new_snapshot():
    world = World()
    world.load(provider("a"), provider("b"))
    world.bench(*ALL)
    world.load(provider("a", models=("y",)), provider("b"), generation=2)
    assert len(world.benched) == len(ALL)


def test_another_address_of_a_provider_releases_all_its_benches():
    world = World()
    world.load(provider("a"), provider("b"))
    world.bench(*ALL)
    world.load(provider("a", base_url="http://127.0.0.1:10/v1"), provider("b"), generation=2)
    assert world.benched == [("b/x", None)]


def test_another_secret_releases_the_benches_of_its_credential():
    world = World()
    world.load(provider("a"), provider("b"))
    world.bench(*ALL)
    credentials = (CredentialSpec(label="main", secret="another"),)
    world.load(provider("a", credentials=credentials), provider("b"), generation=2)
    assert world.benched == [("a/*", None), ("a/x", None), ("b/x", None)]


def test_an_edit_releases_nobody_whom_an_operator_benched():
    world = World()
    world.load(provider("a"))
    entry = bench_entry("a/x", manual=True, until=world.clock.wall() + 60)
    world.gateway.benches.bench(entry, world.clock.now)
    world.load(provider("a", base_url="http://127.0.0.1:10/v1"), generation=2)
    assert world.benched == [("a/x", None)]


def test_a_snapshot_that_cannot_be_compiled_changes_nothing():
    world = World()
    world.load(provider("a"), pools=(pool("m", "a/x"),))
    with pytest.raises(ValueError, match="provider a"):
        world.load(provider("a", headers={"x": "a\r\nb"}), generation=2)
    assert world.gateway.table.generation == 1


def test_counters_of_a_pool_outlive_unrelated_edits_and_end_with_the_pool():
    world = World()
    world.load(provider("a"), pools=(pool("m", "a/x"), pool("n", "a/x")))
    world.gateway.live.rotations.update(m={"a/x": 1}, n={"a/x": 2})
    world.load(provider("a"), pools=(pool("m", "a/x", "a/y"),), generation=2)
    assert world.gateway.live.rotations == {"m": {"a/x": 1}}
