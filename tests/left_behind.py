"""Looks for a secret in everything that a sweep leaves behind: files, and rows of a database."""

import base64
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, quote_plus

import psycopg
from psycopg import sql


def written_forms(secret: str, user: str) -> set[bytes]:
    """As it is, as URIs have it, and as HTTP's basic authentication sends it."""
    basic = base64.b64encode(f"{user}:{secret}".encode()).decode()
    return {
        f.encode()
        for f in (secret, quote(secret), quote(secret, safe=""), quote_plus(secret), basic)
    }


def files_with(forms: set[bytes], folders: Iterable[Path]) -> list[str]:
    """The files that contain one of the forms."""
    found = []
    for folder in folders:
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert files, folder
        for path in files:
            content = path.read_bytes()
            found += [str(path) for form in forms if form in content]
    return found


def tables_with(forms: set[bytes], database: str) -> list[str]:
    """The tables of a PostgreSQL database with a row that contains one of the forms."""
    found, num_rows = [], 0
    with psycopg.connect(database) as connection:
        tables = connection.execute(
            "select table_name from information_schema.tables where table_schema = 'public'"
        ).fetchall()
        for (name,) in tables:
            query = sql.SQL("select t::text from {} t").format(sql.Identifier(name))
            rows = [row for (row,) in connection.execute(query).fetchall()]
            num_rows += len(rows)
            found += [name for form in forms if any(form.decode() in row for row in rows)]
    assert num_rows > 0, database
    return found
