import subprocess
import sys
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.passwords import HIDDEN, has_password, redacted

SCHEMES = st.sampled_from(
    ["http", "https", "postgresql", "postgresql+psycopg", "mysql+pymysql", "mssql+pyodbc"]
)
USERS = st.sampled_from(["", "lnt", "lnt@server", "first.last"])
HOSTS = st.sampled_from(["db", "127.0.0.1:5432", "[::1]:5432", "mlflow.lab/prefix"])
ANYTHING = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1)
MARK = "Secret"
"""In every password, so that a part of one that is left is seen."""
PASSWORDS = st.builds(lambda before, after: f"{before}{MARK}{after}", ANYTHING, ANYTHING)
WITHOUT = (
    "sqlite:///mlflow.db",
    "sqlite:////shared/a:b@c/mlflow.db",
    "http://mlflow.lab:5000",
    "http://[::1]:5000/prefix",
    "postgresql://lnt@db:5432/mlflow?sslmode=require",
    "postgresql://lnt@server@db/mlflow",
    "mysql+pymysql://lnt@db/mlflow?read_default_file=/home/me/.my.cnf",
    "mssql+pyodbc://SOURCE",
    "/shared/mlruns",
)


@given(SCHEMES, USERS, PASSWORDS, HOSTS)
def test_no_part_of_a_password_is_left(scheme, user, password, host) -> None:
    """Also of one that is not encoded, as it should be."""
    for written in (quote(password, safe=""), password):
        shown = redacted(f"{scheme}://{user}:{written}@{host}")
        assert MARK not in shown
        assert shown == f"{scheme}://{user}:{HIDDEN}@{host}"


@given(SCHEMES, USERS, PASSWORDS, HOSTS)
def test_nor_within_a_text(scheme, user, password, host) -> None:
    uri = f"{scheme}://{user}:{quote(password, safe='')}@{host}"
    for before, after in ((" ", " "), ("'", "'"), ('("', '", 5)'), ("\n", "\n")):
        text = redacted(f"no answer from{before}{uri}{after}of me@lab.org")
        assert text == f"no answer from{before}{redacted(uri)}{after}of me@lab.org"
        assert MARK not in text


@given(st.sampled_from(["password", "passwd", "PWD", "sslpassword"]), PASSWORDS)
def test_nor_in_a_parameter(key, password) -> None:
    uri = f"postgresql://db/mlflow?user=lnt&{key}={quote(password, safe='')}&sslmode=require"
    shown = f"postgresql://db/mlflow?user=lnt&{key}={HIDDEN}&sslmode=require"
    assert redacted(uri) == shown
    assert redacted(f"no answer from {uri}, said me@lab.org").startswith(f"no answer from {shown}")
    odbc = quote(f"DRIVER={{ODBC}};UID=lnt;PWD={password}", safe="")
    assert MARK not in redacted(f"mssql+pyodbc:///?odbc_connect={odbc}")


@pytest.mark.parametrize("uri", WITHOUT)
def test_what_has_no_password_stays(uri) -> None:
    assert redacted(uri) == uri
    assert not has_password(uri)
    assert redacted(f"no answer from {uri}, said me@lab.org") == (
        f"no answer from {uri}, said me@lab.org"
    )


PROGRAM = """
import logging
from sweeps.passwords import redact_output
redact_output()
logging.warning("asked %s", "http://me:Secret@mlflow.lab")
try:
    raise ValueError("http://me:Secret@mlflow.lab")
except ValueError:
    logging.exception("no answer")
raise OSError("http://me:Secret@mlflow.lab")
"""


@pytest.mark.heavy
def test_logs_and_tracebacks() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 1
    assert MARK not in done.stderr
    shown = f"http://me:{HIDDEN}@mlflow.lab"
    assert done.stderr.count(shown) == 3
    assert f"WARNING:root:asked {shown}" in done.stderr
    assert done.stderr.endswith(f"\nOSError: {shown}\n")
    assert "Traceback" in done.stderr
