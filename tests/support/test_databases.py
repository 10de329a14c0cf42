"""The suite's own database servers are the real ones."""

from __future__ import annotations

import environ
import psycopg
import valkey


def test_postgresql_is_real_and_takes_rows(postgres_url: str) -> None:
    settings = environ.Env.db_url_config(postgres_url)
    with psycopg.connect(
        host=settings["OPTIONS"]["host"], user=settings["USER"], dbname=settings["NAME"]
    ) as connection:
        connection.execute("CREATE TEMPORARY TABLE pools (name text)")
        connection.execute("INSERT INTO pools VALUES ('demo')")
        found = connection.execute("SELECT version(), name FROM pools").fetchone()

    assert found is not None
    assert found[0].startswith("PostgreSQL ")
    assert found[1] == "demo"


def test_valkey_is_real_and_keeps_values(valkey_url: str) -> None:
    with valkey.Valkey.from_url(valkey_url) as client:
        client.set("pool", "demo")

        assert client.get("pool") == b"demo"
        assert client.info("server")["valkey_version"]
