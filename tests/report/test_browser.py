"""The page in a real browser: no script runs, nothing is fetched, no table is cut off.

With Chromium, if there is one; elsewhere `test_hostile` reads the page. A listener on
this machine counts what is asked of it; a page that may run and fetch shows that both
would be seen.
"""

import contextlib
import http.server
import pathlib
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator

import pytest

from mcq_jax.report import write_report
from mcq_jax.report.section import Section, Titled
from mcq_jax.report.table import Cell, Row, Table
from tests.report import attacks, examples

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.exhaustive,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium here; install one to see the page in it"
    ),
]
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--virtual-time-budget=3000", "--window-size=1280,2000",
)  # fmt: skip
RAN = "data-a-script-ran"


def attack(port: int) -> str:
    """Text that runs a script and fetches in every way there is, if it is not text."""
    at, run = f"http://127.0.0.1:{port}", f"document.body.setAttribute('{RAN}','')"
    return (
        f"\"'></title></style></pre></svg><script>{run};fetch('{at}/fetch')</script>"
        f'<img src="{at}/img" onerror="{run}"><svg onload="{run}"></svg>'
        f'<link rel=stylesheet href="{at}/link"><iframe src="{at}/frame"></iframe>'
        f"<style>body{{background:url({at}/css)}}</style>{{{{7*7}}}}"
        f'<svg><image href="{at}/svg"/></svg><a href="javascript:{run}">'
        f"<meta http-equiv=refresh content='0;url={at}/meta'>"
    )


@contextlib.contextmanager
def listener() -> Iterator[tuple[int, list[str]]]:
    """A port of this machine, and the paths that were asked of it."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def browse(page: pathlib.Path, profile: pathlib.Path) -> str:
    """Opens a page and returns its document as it is in the end."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *QUIET, f"--user-data-dir={profile}", "--dump-dom"]
    done = subprocess.run(
        [*command, page.as_uri()], capture_output=True, text=True, timeout=240,
        check=True,
    )  # fmt: skip
    return done.stdout


def test_nothing_in_the_page_runs_or_fetches(tmp_path: pathlib.Path):
    with listener() as (port, asked):
        text = attack(port)
        control = tmp_path / "control.html"
        control.write_text(f"<!doctype html><body>{text.split('<meta')[0]}")
        found = browse(control, tmp_path / "first")
        # What is not text does run and fetch, and both are seen.
        assert RAN in found
        assert {"/fetch", "/img", "/link", "/frame", "/css", "/svg"} <= set(asked)
        asked.clear()
        page = write_report(
            attacks.hostile_run(text),
            tmp_path / "run",
            extra=[attacks.hostile_section(text)],
        )
        found = browse(page, tmp_path / "second")
        assert f"<body {RAN}" not in found and "&lt;script&gt;" in found
        assert asked == []
        # The policy alone would hold it, were a text not escaped somewhere.
        whole = page.read_text(encoding="utf-8")
        body = whole.index("<body>") + len("<body>")
        unescaped = tmp_path / "unescaped.html"
        naked = text.split("<meta")[0]
        unescaped.write_text(whole[:body] + naked + whole[body:], encoding="utf-8")
        found = browse(unescaped, tmp_path / "third")
        assert f"<body {RAN}" not in found
        assert asked == []


# Writes into the page how many tables are wider than their place, and how many are.
MEASURE = """<script>
document.querySelectorAll("details").forEach(d => d.open = true);
const cut = [...document.querySelectorAll(".scroll")].filter(
  e => e.scrollWidth > e.clientWidth + 1);
document.body.innerHTML = "cut off: " + cut.length + " of " +
  document.querySelectorAll(".scroll").length;
</script>"""


def cut_off(page: pathlib.Path, profile: pathlib.Path) -> tuple[int, int]:
    """How many tables are wider than a laptop's page, and how many there are."""
    source = page.read_text(encoding="utf-8")
    may_run = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", source)
    assert may_run != source
    measured = page.with_name("measured.html")
    measured.write_text(may_run.replace("</body>", f"{MEASURE}</body>"), "utf-8")
    found = re.search(r"cut off: (\d+) of (\d+)", browse(measured, profile))
    assert found
    return int(found[1]), int(found[2])


def test_a_table_is_cut_off_by_no_name_of_a_row(tmp_path: pathlib.Path):
    """Sets are named by their nodes: numbers stand beside names of any length."""
    cells = (Cell(text="0.90", below="0.86 to 0.94"),) * 3
    names = [" ".join(f"L{layer}H{layer % 12}" for layer in range(n)) for n in (3, 60)]
    table = Table(
        columns=("nodes", "read by", "of the score contrast", "of the effect"),
        rows=tuple(Row(name=name, cells=cells) for name in names),
    )
    section = Section(
        anchor="sets", short="Sets", title="Sets", tables=(Titled(table=table),)
    )
    page = write_report(
        examples.open_gate(), tmp_path / "run", extra=[lambda run: section]
    )
    cut, tables = cut_off(page, tmp_path / "first")
    assert cut == 0 and tables > 5
    # What does not wrap is cut off, and seen.
    source = page.read_text(encoding="utf-8")
    page.write_text(source.replace("tbody th{white-space:normal}", ""), "utf-8")
    assert cut_off(page, tmp_path / "second")[0] == 1
