"""What the scanner's bench scans: a tree and a history, with planted secrets and with decoys.

- Filler is real code: pieces of this Python's own standard library, without its tests.
- Each planted file is known, so that precision and recall are counted, not guessed. The secrets are
  of our own rules' kinds: recall says that no kind of file loses them, no more.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import random
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from iamrange.credentials.scan.samples import SAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FILE_BYTES = 24_000
_LEFT_OUT = frozenset({"test", "tests", "idle_test", "site-packages", "dist-packages"})
KINDS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("settings.py", lambda t: f'TEXT = """\n{t}\n"""\n'),
    ("agent.json", lambda t: json.dumps({"agent": {"env": {"VALUE": t}}}, indent=1)),
    ("prompt.md", lambda t: f"Use this:\n\n{t}\n"),
    ("values.yaml", lambda t: "a:\n  b: |\n" + "".join(f"    {x}\n" for x in t.splitlines())),
    ("notes.ipynb", lambda t: json.dumps({"cells": [{"cell_type": "code", "source": [],
     "outputs": [{"output_type": "stream", "text": t.splitlines(keepends=True)}]}]}, indent=1)),
    ("secret.yaml",
     lambda t: f"kind: Secret\ndata:\n  v: {base64.b64encode(t.encode()).decode()}\n"),
)  # fmt: skip


@dataclass(slots=True)
class Corpus:
    """Where it is, which files hold a secret of which rule, and how many decoys there are."""

    folder: Path
    planted: dict[str, str] = field(default_factory=dict)
    decoys: int = 0
    size: int = 0
    commits: int = 0


@functools.cache
def library() -> str:
    """Return the standard library's code as one text."""
    root = Path(os.__file__).parent
    paths = sorted(p for p in root.rglob("*.py") if not _LEFT_OUT & set(p.relative_to(root).parts))
    return "".join(path.read_text(errors="replace") for path in paths)


def filler(random_: random.Random, size: int) -> str:
    """Return whole lines of code, of about this size."""
    text = library()
    at = text.find("\n", random_.randrange(len(text) - size)) + 1
    return text[at : text.rfind("\n", at, at + size) + 1]


DECOYS: tuple[Callable[[random.Random], str], ...] = (
    lambda r: f'password = "${{DB_PASSWORD_{r.randrange(99)}}}"',
    lambda r: f"commit {r.randbytes(20).hex()}",
    lambda r: f'api_key = "<your-api-key-{r.randrange(99)}>"',
    lambda r: f"aws_access_key_id = AKIA{'EXAMPLE' * 2}{r.randrange(10, 99)}",
    lambda r: f'token_url = "https://auth.internal/{r.randbytes(6).hex()}"',
    lambda r: f"postgresql://app:${{PASSWORD}}@db{r.randrange(9)}/main",
    lambda r: f'password = os.environ["DB_{r.randrange(99)}"]',
    lambda _: "-----BEGIN PUBLIC KEY-----\n" + "Mfk3" * 40 + "\n-----END PUBLIC KEY-----",
    lambda r: f'secret_name = "prod/db-{r.randrange(99)}/credential"',
)


def files(random_: random.Random, count: int, corpus: Corpus) -> Iterator[tuple[str, str]]:
    """Yield names and contents; every tenth has a secret, every tenth a decoy."""
    rules = sorted(SAMPLES)
    for number in range(count):
        text = filler(random_, FILE_BYTES)
        name = f"d{number % 50}/f{number}"
        if number % 10 == 0:
            rule = rules[number // 10 % len(rules)]
            suffix, plant = KINDS[number // 10 % len(KINDS)]
            name, content = f"{name}-{suffix}", plant(SAMPLES[rule](random_))
            corpus.planted[name] = rule
            yield name, content
            yield f"{name}.filler", text
        elif number % 10 == 1:
            corpus.decoys += 1
            yield f"{name}.py", f"{text}{random_.choice(DECOYS)(random_)}\n"
        else:
            yield f"{name}.txt", text


def tree(folder: Path, size: int, seed: int = 1) -> Corpus:
    """Make a tree of about this size."""
    corpus = Corpus(folder)
    for name, content in files(random.Random(seed), size // FILE_BYTES, corpus):  # noqa: S311 - made again
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        corpus.size += len(content)
    return corpus


def repository(folder: Path, commits: int, seed: int = 2) -> Corpus:
    """Make a repository of so many commits; each changes one file, and secrets go again."""
    random_ = random.Random(seed)  # noqa: S311 - to be made again
    corpus = Corpus(folder, commits=commits)
    rules = sorted(SAMPLES)
    stream: list[bytes] = []
    for number in range(commits):
        name, content = f"f{number % 200}.txt", filler(random_, 1500)
        if number % 50 == 0:
            rule = rules[number // 50 % len(rules)]
            suffix, plant = KINDS[number // 50 % len(KINDS)]
            name, content = f"{number}-{suffix}", plant(SAMPLES[rule](random_))
            corpus.planted[name] = rule
        elif number % 50 == 1:
            corpus.decoys += 1
            content += f"{random_.choice(DECOYS)(random_)}\n"
        gone = f"D {number - 1}-{KINDS[(number - 1) // 50 % len(KINDS)][0]}\n"
        data = content.encode()
        corpus.size += len(data)
        stream.append(
            f"commit refs/heads/main\ncommitter a <a@example.com> {1_700_000_000 + number} +0000\n"
            f"data 4\nwork\n{gone if number % 50 == 1 else ''}"
            f"M 100644 inline {name}\ndata {len(data)}\n".encode()
            + data
            + b"\n"
        )
    for arguments, text in (
        (["init", "--quiet"], b""),
        (["fast-import", "--quiet"], b"".join(stream)),
        (["symbolic-ref", "HEAD", "refs/heads/main"], b""),
    ):
        command = ["git", "-C", str(folder), *arguments]
        subprocess.run(command, input=text, check=True)  # noqa: S603 - fixed
    return corpus
