"""One request to the benchmark's upstream."""

from __future__ import annotations

import urllib.error
import urllib.request

from bench import scene


def chat_url(ports, prefix=""):
    return f"http://127.0.0.1:{ports[0]}{prefix}{scene.PATH}"


def ask(url, body):
    request = urllib.request.Request(url, data=body, method="POST")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
