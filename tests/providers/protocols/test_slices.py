"""Long JSON in slices says what it says at once, wherever it is cut, and no step takes long."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import ProtocolError
from providers.protocols import PROTOCOLS, bodies, slices
from providers.protocols.slices.turns import SLICE, Steps
from tests.support.hostile import PATHS, bodies_of, body_of

if TYPE_CHECKING:
    from providers.protocols import Request

pytestmark = pytest.mark.pure

MOST_S = 0.05  # of any step: what one body may hold the others
SEVEN_S = 31 << 20  # the bodies that were found to hold a worker for seconds have this size

SOUND = (
    b'"a":[1,2,{"b":"\\"]}\\\\","c":[[],{}]},-1.5e3],"d":{},"\\u00e9":"\\ud83d\\ude00x,\\ud83d","e"'
    b' : [ null , true ] ,"f":"\xc3\xa9\xf0\x9f\x98\x80"'
)
# Each is sound but for one thing.
UNSOUND = (
    b'"a":[1,2,]', b'"a":[,1]', b'"a":[1,,2]', b'"a":{"b":1,}', b'"a":{,"b":1}', b'"a":[1 2]',
    b'"a":[1}', b'"a":{"b":1]', b'"a":[1]]', b'"a":[1', b'"a":tru', b'"a":01', b'"a":"\\x"',
    b'"a":"\x01"', b'"a":"b', b'"a"', b'"a":', b"a:1", b'"a":1,', b',"a":1', b'"a":1},{"b":2',
    b'"a":[{"b":1,2:3}]', b'"a":\\"b"', b'"a":"\\ud8"',
)  # fmt: skip


def padded(core: bytes, offset: int) -> bytes:
    """An object in which `offset` bytes of `core` are in the first slice."""
    begin = b'{"pad":"'
    return begin + b"x" * (SLICE - len(begin) - 2 - offset) + b'",' + core + b"}"


@pytest.mark.parametrize("offset", range(len(SOUND) + 3))
def test_a_cut_at_any_byte_changes_nothing(offset: int) -> None:
    text = padded(SOUND, offset)
    wanted = json.loads(text)

    members = slices.members_of(text)
    assert {name: json.loads(bytes(raw)) for name, raw in members.items()} == wanted
    assert bytes(members["e"]) == b"[ null , true ]"
    assert slices.decode(text) == wanted
    listed = b"[" + text + b",[" + text + b"]]"
    assert slices.decode(listed) == [wanted, [wanted]]
    assert [json.loads(bytes(part)) for part in slices.parts_of(listed)] == [wanted, [wanted]]
    assert [each for some in slices.lists_of(listed) for each in json.loads(some)] == [
        wanted,
        [wanted],
    ]


@pytest.mark.parametrize("core", UNSOUND)
def test_what_is_no_json_is_none_wherever_it_is_cut(core: bytes) -> None:
    for offset in range(len(core) + 2):
        text = padded(core, offset)
        with pytest.raises(ValueError, match=r"\w"):
            slices.members_of(text)


@given(
    st.dictionaries(
        st.text(max_size=3),
        st.recursive(
            st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(st.text(max_size=2), inner, max_size=3)
            ),
        ),
        max_size=5,
    ),
    st.integers(0, 40),
)
def test_whatever_is_said_comes_back(said: dict[str, Any], offset: int) -> None:
    said = {**said, "pad": "é" * 5000}
    core = json.dumps(said, ensure_ascii=offset % 2 == 0).encode()[1:-1]
    text = padded(core, offset)
    assert slices.decode(text) == json.loads(text)
    assert json.loads(slices.encode(said)) == said


def test_long_strings_come_whole_with_their_pairs_and_characters() -> None:
    for unit in ("é", "\U0001f600", "x", "\\", '"'):
        for shift in range(14):
            said = {"a": "y" * shift + unit * (3 * SLICE // len(json.dumps(unit)[1:-1]))}
            for is_ascii in (True, False):
                text = json.dumps(said, ensure_ascii=is_ascii).encode()
                assert slices.decode(text) == said
                assert set(slices.members_of(text)) == {"a"}
            assert json.loads(slices.encode(said)) == said


def test_a_long_object_may_be_nested_as_deep_as_a_short_one_and_no_deeper() -> None:
    for depth, is_refused in ((62, False), (63, False), (64, True), (100_000, True)):
        text = padded(b'"a":' + b"[" * depth + b"]" * depth, 10)
        if is_refused:
            with pytest.raises(RecursionError):
                slices.members_of(text)
        else:
            assert len(slices.members_of(text)) == 2


@pytest.mark.parametrize("size", [1000, 600_000])
def test_an_object_of_more_members_than_anybody_needs_is_refused_in_words(size: int) -> None:
    many = b",".join(b'"%d":1' % number for number in range(2000))
    pad = b'"pad":"' + b"x" * size + b'"'
    with pytest.raises(ProtocolError, match="more than 1,024 members"):
        bodies.members_of(b"{" + pad + b"," + many + b"}")
    fields = bodies.members_of(b"{" + pad + b',"metadata":{' + many + b"}}")
    with pytest.raises(ProtocolError, match="more than 1,024 members"):
        bodies.object_of(fields["metadata"])


def parsed(protocol: str, body: bytes) -> Request | ProtocolError:
    """The request in `body`, beside the loop, with what is asked of it; or why there is none."""

    def work() -> Request:
        request = PROTOCOLS[protocol].parse(body, PATHS[protocol])
        request.is_long = True
        assert request.needs is not None
        assert request.estimated_input_tokens >= 0
        assert request.session is None
        assert request.encode("y")
        return request

    try:
        return slices.apart(work)
    except ProtocolError as error:
        return error


# Time is the promise: CPU time, which others on the machine do not lengthen.
@pytest.mark.parametrize("name", ["marked strings", "members"])
def test_no_step_of_31_mib_takes_longer_than_50_ms(name: str) -> None:
    body = body_of("openai_chat", name, SEVEN_S)
    Steps.longest_s = 0.0
    parsed("openai_chat", body)
    assert Steps.longest_s < MOST_S


@pytest.mark.parametrize("protocol", PATHS)
def test_no_step_takes_long_in_any_protocol(protocol: str) -> None:
    for name, body in bodies_of(protocol, 300 << 10):
        Steps.longest_s = 0.0
        told = parsed(protocol, body)
        assert Steps.longest_s < MOST_S, name
        if isinstance(told, ProtocolError):
            assert told.status == 400, name


@pytest.mark.parametrize("protocol", PATHS)
def test_a_long_body_says_and_sends_what_a_short_one_does(protocol: str) -> None:
    pad = b'{"pad":"%b",' % (b"x" * bodies.LONG)
    for name, body in bodies_of(protocol, 40 << 10):
        told, long = of_short(protocol, body), parsed(protocol, pad + body[1:])
        assert type(told) is type(long), name
        if isinstance(told, ProtocolError) or isinstance(long, ProtocolError):
            assert getattr(told, "param", "") == getattr(long, "param", ""), name
            continue
        for what in ("model", "needs", "max_output_tokens", "stream", "session"):
            assert getattr(told, what) == getattr(long, what), name
        sent, wanted = bodies.members_of(long.encode("y")), bodies.members_of(told.encode("y"))
        del sent["pad"]
        assert {n: bytes(r) for n, r in sent.items()} == {n: bytes(r) for n, r in wanted.items()}


def of_short(protocol: str, body: bytes) -> Request | ProtocolError:
    try:
        request = PROTOCOLS[protocol].parse(body, PATHS[protocol])
        assert request.session is None
    except ProtocolError as error:
        return error
    return request


def test_a_short_body_of_nothing_but_markers_is_counted_at_once() -> None:
    text = b"[" + b'";base64,",' * 20_000 + b"1]"
    assert bodies.estimate(text) < 2_100_000  # 2,000 pictures, and text


def test_a_body_that_would_take_too_long_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from providers.protocols.slices import turns  # noqa: PLC0415

    monkeypatch.setattr(turns, "WORK_S", 0.0)
    body = b'{"model":"m","messages":[{"role":"user","content":"' + b"x" * (1 << 20) + b'"}]}'
    told = parsed("openai_chat", body)
    assert isinstance(told, ProtocolError)
    assert "takes too long to read" in told.message
