"""Reading a provider's list to its end, whoever writes it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from providers.adapters.listing import page_of
from providers.adapters.spec import CredentialSpec, ProviderSpec
from providers.adapters.upstream import compile_upstream
from providers.looking import MOST_PAGES, Finding, Look, look
from providers.transport import Transport
from tests.support.lists import ListServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAMES = [f"m{number}" for number in range(7)]


@pytest.fixture
def serve() -> Iterator[Callable[..., ListServer]]:
    started: list[ListServer] = []

    def start(*models: str, **options: Any) -> ListServer:
        started.append(ListServer(*models, **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def seen(server: ListServer, kind: str = "", **options: Any) -> Look:
    spec = ProviderSpec(
        name="lab",
        kind=kind or server.kind,
        base_url=server.url,
        credentials=(CredentialSpec(label="main", secret="sk-1"),),
    )
    upstream = compile_upstream(spec, str, {})

    async def run() -> Look:
        transport = Transport()
        try:
            return await look(upstream, transport, credential=upstream.credentials[0], **options)
        finally:
            await transport.aclose()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("kind", "second"),
    [
        ("anthropic", "/v1/models?limit=1000&after_id=m2"),
        ("gemini", "/v1/models?pageSize=1000&pageToken=3"),
    ],
)
def test_a_list_of_several_pages_is_read_to_its_end(serve, kind, second):
    server = serve(*NAMES, kind=kind, page=3)
    found = seen(server)
    assert (found.models, found.entries, found.is_whole) == (tuple(NAMES), 7, True)
    assert (len(server.asked), server.asked[1]) == (3, second)


def test_a_server_that_sends_its_first_page_again_is_asked_no_third_time(serve):
    server = serve(*NAMES, kind="openai", page=3)  # it says that there is more, and knows no after
    found = seen(server)
    assert (found.models, found.entries, found.is_whole) == (("m0", "m1", "m2"), 3, True)
    assert len(server.asked) == 2


def test_a_list_without_an_end_is_left_at_some_page_and_is_not_whole(serve):
    server = serve(*[f"m{n}" for n in range(MOST_PAGES + 5)], kind="gemini", page=1)
    found = seen(server)
    assert (len(server.asked), len(found.models), found.is_whole) == (MOST_PAGES, MOST_PAGES, False)


def test_a_list_whose_next_page_fails_is_not_whole(serve):
    server = serve(*NAMES, kind="gemini", page=3)
    server.breaks_after = 1
    found = seen(server)
    assert (found.finding, found.models, found.is_whole) == (
        Finding.ANSWERS,
        ("m0", "m1", "m2"),
        False,
    )


def test_one_page_is_enough_for_who_wants_no_more(serve):
    server = serve(*NAMES, kind="gemini", page=3)
    assert (seen(server, pages=1).is_whole, len(server.asked)) == (False, 1)


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (b'{"data":[{"id":"a"},{"id":"b/c"},{"id":"a"}]}', ("a", "b/c")),
        (b'[{"id":"a"}]', ("a",)),
        (b'{"models":[{"name":"models/a"},{"name":"tuned/b"}]}', ("a", "tuned/b")),
        (b'{"data":["a"]}', ("a",)),
        (b'{"data":[{"id":"a b"},{"id":"a,b"},{"id":""},{"id":7},{},{"id":"x\\u0000"}]}', ()),
        (b'{"data":[{"id":"' + b"x" * 201 + b'"}]}', ()),
        (b'{"data":[]}', ()),
    ],
)
def test_ids_are_those_that_a_request_could_name(body, ids):
    page = page_of(body)
    assert page is not None
    assert page.ids == ids


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"object":"page"}', b"[" * 100_000, b"7"])
def test_what_is_no_list_is_none(body):
    assert page_of(body) is None
