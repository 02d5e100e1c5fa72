"""`iamrange audit ...`: verify the audit log, look at its end, find events, send them on.

- Answers go to standard output, complaints to standard error.
- Exit status: 0 the log is what was written; 1 it is not; 2 misuse; 3 it cannot be read.
"""

# The rooms are imported inside the commands: `--help` must not wait for them.
# ruff: noqa: PLC0415

from __future__ import annotations

import codecs
import contextlib
import json
import os
import sys
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from iamrange.cli_console import Exit, Json, broke, err, misuse, out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from iamrange.detect.audit_export import Cursor, Sink, SinkError
    from iamrange.detect.audit_head import Anchor

app = typer.Typer(
    no_args_is_help=True, help="Verify the audit log, read its end, query it, send it on."
)

_PAUSE = 0.5
_HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"

Folder = Annotated[
    Path | None, typer.Argument(help="The log's folder; default: the running range's.")
]


@app.command()
def verify(
    folder: Folder = None,
    anchor: Annotated[
        Path | None, typer.Option(help="The log's anchor; default: the running range's.")
    ] = None,
    head: Annotated[
        list[Path] | None, typer.Option(help="A head that was kept elsewhere; it must hold.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Say whether the log is what was written, or which record is the first that is not.

    Example: iamrange audit head > elsewhere/head.jws; iamrange audit verify --head
    elsewhere/head.jws
    """
    from iamrange.detect.audit_events import verified
    from iamrange.detect.audit_verify import Broken

    place, anchored = _place(folder), _anchor(anchor)
    kept = [text for file in head or () for text in _kept(file)]
    try:
        found = verified(place, anchored, kept)
    except OSError as error:
        broke(f"log '{error.filename or place}': {error.strerror}")
    if isinstance(found, Broken):
        told = {"ok": False, "record": found.record, "last": found.last, "flaw": found.flaw.value}
        _say(told | {"detail": found.detail}, f"NOT what was written: {found}", as_json=as_json)
        raise typer.Exit(Exit.FAILED)
    told = {"ok": True, "size": found.size, "root": found.root.hex(), "heads": found.heads}
    told |= {"begins": found.begins, "retired_at": found.retired_at}
    words = f"as it was written: {found.size} records, {found.heads} signed heads hold"
    if found.retired_at is not None:
        day = datetime.fromtimestamp(found.retired_at, UTC).isoformat()
        words += f"; it begins at record {found.begins}: older ones were retired, signed {day}"
    _say(told, words, as_json=as_json)


@app.command()
def head(folder: Folder = None) -> None:
    """Print the last signed head: to be kept where the log is not.

    Example: iamrange audit head > head.jws
    """
    from iamrange.detect.audit_log import HEADS_FILE
    from iamrange.detect.private_file import read_regular

    path = _place(folder) / HEADS_FILE
    try:
        text = read_regular(path)
    except OSError as error:
        misuse(f"'{path}': {error.strerror}")
    whole = text[: text.rfind(b"\n") + 1]  # one that a full disk has cut is none
    lines = whole.decode(errors="replace").split()
    if not lines:
        broke("the log has no head yet: one is signed a second after the first event")
    sys.stdout.write(f"{lines[-1]}\n")


@app.command()
def tail(
    folder: Folder = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many.")] = 20,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they come.")] = False,
    as_json: Json = False,
) -> None:
    """Show the last events, one line each.

    Example: iamrange audit tail -f
    """
    from iamrange.detect.audit_query import read_event
    from iamrange.detect.audit_segments import open_log

    path = _place(folder)
    try:
        with open_log(path) as log:
            for line in deque(_whole(log), maxlen=lines):
                _show(line, read_event(line), as_json=as_json)
            while follow:
                for line in _whole(log):
                    _show(line, read_event(line), as_json=as_json)
                time.sleep(_PAUSE)
    except OSError as error:
        broke(f"log '{path}': {error.strerror}")
    except KeyboardInterrupt:
        raise typer.Exit from None


@app.command()
def query(
    conditions: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MEMBER=VALUE]...", help="e.g. status_code=replayed"),
    ] = None,
    folder: Annotated[Path | None, typer.Option(help="The log's folder.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 1000,
    *,
    as_json: Json = False,
) -> None:
    """Find events by their members' values; a dotted member looks inside, * stands for anything.

    Example: iamrange audit query action_id=2 actor.user.uid=*/data-analyst
    """
    from iamrange.detect.audit_query import condition_of, holds, read_event
    from iamrange.detect.audit_segments import open_log

    wanted = []
    for text in conditions or ():
        condition = condition_of(text)
        if condition is None:
            misuse(f"'{text}': expected MEMBER=VALUE, for example status_code=replayed")
        wanted.append(condition)
    path = _place(folder)
    found = 0
    try:
        with open_log(path) as log:
            for line in _whole(log):
                event = read_event(line)
                if holds(event or {}, wanted):
                    _show(line, event, as_json=as_json)
                    found += 1
                    if found == limit:
                        err.print(Text(f"stopped at {limit}: --limit shows more"))
                        break
    except OSError as error:
        broke(f"log '{path}': {error.strerror}")


@app.command()
def export(  # noqa: PLR0913 - options
    folder: Folder = None,
    otlp: Annotated[
        str | None,
        typer.Option(
            "--otlp",
            envvar="OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
            help="A collector's URL for logs; where it has no path, /v1/logs is meant.",
        ),
    ] = None,
    to: Annotated[Path | None, typer.Option(help="A file that becomes a copy of the log.")] = None,
    cursor: Annotated[
        Path | None, typer.Option(help="With --otlp: where to keep how far it has come.")
    ] = None,
    anchor: Annotated[
        Path | None, typer.Option(help="The log's anchor, where old records were retired.")
    ] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they come.")] = False,
) -> None:
    """Send the events to a SIEM: in order, without a gap, from where the last export stopped.

    Headers of a collector (an API key) come from OTEL_EXPORTER_OTLP_HEADERS, as name=value,...

    Example: iamrange audit export --otlp http://localhost:4318 --cursor siem.json --follow
    """
    from iamrange.detect.audit_export import GapError, Patience, SinkError, batches, resumed, send
    from iamrange.detect.audit_segments import open_log

    path = _place(folder)
    patience = Patience(tries=None) if follow else Patience()
    with _sink(path, otlp, to, cursor) as (sink, kept, keep):
        start = at = kept
        try:
            begins = _begins(path, anchor)
            with open_log(path, begins.sequence, begins.offset) as log:
                if begins.sequence:
                    start = at = resumed(log, start, begins)
                while True:
                    for batch in batches(log, at, begins.offset):
                        send(sink, batch, patience, _wait)
                        at = batch.then
                        keep(at)
                    if not follow:
                        break
                    time.sleep(_PAUSE)
        except (GapError, SinkError) as error:
            err.print(Text(_sent(start, at)))
            if isinstance(error, GapError):
                err.print(Text(f"NOT what was written: {error}", "red"))
                raise typer.Exit(Exit.FAILED) from None
            broke(str(error))
        except OSError as error:
            broke(f"'{error.filename or path}': {error.strerror}")
        except KeyboardInterrupt:
            pass
    out.print(Text(_sent(start, at)))


@app.command()
def retire(
    folder: Annotated[Path, typer.Argument(help="The log's folder; no process writes it.")],
    keep: Annotated[int, typer.Option(min=0, help="How many files that were put aside stay.")],
    *,
    as_json: Json = False,
) -> None:
    """Delete a log's oldest files on purpose: what stays says, signed, where it begins.

    A range that runs does this itself, as it puts files aside.

    Example: iamrange audit retire ~/.local/state/iamrange/audit/world-1 --keep 8
    """
    from iamrange.core.clock import SystemClock
    from iamrange.detect.audit_log import AuditLog, LogBusyError
    from iamrange.detect.audit_state import LogTamperedError

    try:
        with AuditLog(folder, SystemClock()) as log:
            begins = log.retire(keep)
    except LogBusyError as error:
        misuse(f"{error}; expected a log that no range writes")
    except LogTamperedError as error:
        err.print(Text(f"NOT what was written: {error}", "red"))
        raise typer.Exit(Exit.FAILED) from None
    except (OSError, ValueError, KeyError) as error:
        broke(f"log '{folder}': {error}")
    _say({"begins": begins}, f"the log begins at record {begins}", as_json=as_json)


def _begins(folder: Path, anchor: Path | None) -> Cursor:
    """Return where a log begins: at its first record, or where older ones were retired."""
    from iamrange.detect.audit_events import kept_from
    from iamrange.detect.audit_export import Cursor
    from iamrange.detect.audit_rotation import retirement

    if retirement(folder) is None:
        return Cursor()
    found = kept_from(folder, _anchor(anchor))
    if found is None:
        err.print(Text("NOT what was written: what says that records were retired is not signed"))
        raise typer.Exit(Exit.FAILED)
    return Cursor(found.size, found.offset, found.before.hex())


@contextlib.contextmanager
def _sink(
    path: Path, otlp: str | None, to: Path | None, kept: Path | None
) -> Iterator[tuple[Sink, Cursor, Callable[[Cursor], None]]]:
    """Yield where events go, from where on, and how to keep how far they are."""
    from iamrange.detect.audit_export import FileSink, read_cursor, write_cursor

    if to is not None:  # named by hand, while a collector may come from the environment
        if kept is not None:
            misuse("--cursor is for --otlp: the file of --to says itself how far it is")
        if to.resolve().parent == path.resolve():
            misuse(f"--to '{to}': expected a file elsewhere, got one in the log's own folder")
        try:
            file = FileSink(to)
        except (OSError, ValueError) as error:
            misuse(f"--to '{to}': {error}")
        with contextlib.closing(file):
            yield file, file.cursor, lambda _: None
        return
    if otlp is None or kept is None:
        misuse("expected --otlp URL with --cursor FILE, or --to FILE")
    try:
        start = read_cursor(kept)
        write_cursor(kept, start)  # better refused now than after the first batch
    except (OSError, ValueError) as error:
        misuse(f"--cursor '{kept}': {error}")
    from iamrange.detect.otlp import OtlpSink, headers_of, logs_url

    try:
        collector = OtlpSink(
            logs_url(otlp), time.time, headers=headers_of(os.environ.get(_HEADERS, ""))
        )
    except ValueError as error:
        misuse(str(error))
    with contextlib.closing(collector):
        yield collector, start, lambda cursor: write_cursor(kept, cursor)


def _sent(start: Cursor, at: Cursor) -> str:
    return f"{at.sequence - start.sequence} records sent; the next is number {at.sequence}"


def _wait(error: SinkError, seconds: float) -> None:
    err.print(Text(f"{error}: again in {seconds:.1f} s", "yellow"))
    time.sleep(seconds)


def _whole(log: Any) -> Iterator[bytes]:  # noqa: ANN401 - a binary file
    """Yield the lines that have an end; what is being written is left for the next time.

    A line that is longer than a record can be comes in pieces.
    """
    from iamrange.detect.audit_seal import MAX_LINE

    while line := log.readline(MAX_LINE + 1):
        if not line.endswith(b"\n") and len(line) <= MAX_LINE:
            log.seek(-len(line), 1)
            return
        yield line


def _show(line: bytes, event: Mapping[str, Any] | None, *, as_json: bool) -> None:
    from iamrange.detect.audit_query import sentence, unreadable

    if as_json:
        # a record is ASCII; what is none must not become a program's, or a terminal's, trouble
        plain = event is not None and line.isascii() and line[:-1].decode("ascii").isprintable()
        told = unreadable(line) if event is None else event
        sys.stdout.write(line.decode("ascii") if plain else json.dumps(told) + "\n")
        return
    out.print(Text(unreadable(line) if event is None else sentence(event)), soft_wrap=True)


def _place(folder: Path | None) -> Path:
    if folder is not None:
        return folder
    from iamrange.range.running import running

    return Path(running().state["audit"]["log"])


def _anchor(path: Path | None) -> Anchor:
    from iamrange.detect.audit_head import read_anchor

    if path is None:
        from iamrange.range.running import running

        path = Path(running().state["audit"]["anchor"])
    try:
        return read_anchor(path.read_bytes())
    except (OSError, ValueError) as error:
        misuse(f"anchor '{path}': expected the file that the log was made with: {error}")


def _kept(path: Path) -> list[str]:
    """Return the heads of a file, which some shells write in UTF-16 or with a byte order mark."""
    try:
        data = path.read_bytes()
    except OSError as error:
        misuse(f"--head '{path}': {error.strerror}")
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    found = data.decode("utf-16" if wide else "utf-8-sig", errors="replace").split()
    if not found:
        misuse(f"--head expected a signed head, got an empty file: {path}")
    return found


def _say(told: Mapping[str, Any], words: str, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        out.print(Text(words, "bold"))
