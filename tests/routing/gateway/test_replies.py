"""The headers of answers: the same by both ways, and nothing of callers' own is kept."""

import pytest

from failover.engine.attempts import Served
from routing.gateway.replies import Trail, _standing, early_headers, served_headers, served_lines
from tests.support.builders import pool
from tests.support.planning import World

pytestmark = pytest.mark.pure


def served(trail):
    step = trail.plan.steps[0]
    return Served(
        candidate=step, attempts=[], first=b"{}", content_type=b"application/json", headers=[]
    )


def trail_of(name):
    made = World(pool("m", "a/x", "b/x")).plan(name)
    return Trail(b"req_1", generation=7, canonical_model="m", plan=made, calls=[])


@pytest.mark.parametrize("stream", [None, object()])
@pytest.mark.parametrize("protocol", ["openai_chat", "anthropic_messages"])
def test_an_answer_in_one_write_has_the_headers_of_one_in_two(stream, protocol):
    trail = trail_of("m,nobody")
    trail.protocol = protocol
    answer = served(trail)
    answer.stream = stream
    headers = [h for h in served_headers(answer, trail) if h[0] != b"content-length"]
    lines = served_lines(answer, trail).split(b"\r\n")[:-1]
    assert sorted(lines) == sorted(b"%b: %b" % header for header in headers)
    assert (b"x-switchyard-warning", b"unknown model in the chain: nobody") in headers


@pytest.mark.parametrize("kind", [b"text/event-stream; charset=utf-8", b"application/json"])
def test_a_stream_has_the_type_that_its_request_wants_before_anybody_serves_as_after(kind):
    trail = trail_of("m")
    stream = served(trail)
    stream.stream, stream.content_type = object(), kind

    for headers in (early_headers(trail, kind), served_headers(stream, trail)):
        told = dict(headers)
        assert told[b"content-type"] == kind
        assert told[b"cache-control"] == b"no-cache"
        assert b"content-length" not in told


def test_names_that_callers_make_up_in_chains_fill_no_cache():
    _standing.cache_clear()
    for number in range(20):
        trail = trail_of(f"m,nobody-{number}")
        served_lines(served(trail), trail)
    assert _standing.cache_info().currsize == 1


@pytest.mark.parametrize("letter", ["x", "é", "\U0001f600"])
def test_what_is_told_in_the_callers_words_is_at_most_a_kibibyte(letter):
    trail = trail_of("m," + ",".join(f"nobody-{number}-{letter * 90}" for number in range(90)))
    told = dict(served_headers(served(trail), trail))

    assert 900 < len(told[b"x-switchyard-warning"]) <= 1024
    assert told[b"x-switchyard-warning"].endswith(b" ...")
