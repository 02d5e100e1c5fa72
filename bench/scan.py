"""Find planted secrets in a tree of 100 MiB and a history of 10,000 commits, beside gitleaks.

- The corpus is made anew (`bench.scan_corpus`): one of each rule's secrets in each kind of file in
  turn, as many decoys, and real code around them.
- Recall: planted files that a scanner reports. Precision: reported files that were planted.
- `cpu` are processor seconds of all processes: on a busy machine they say more than `seconds`.
- gitleaks runs as it comes. It knows no format of the range's own, no member of a JWK and no
  Kubernetes Secret: `of its formats` counts only the rules whose format it has too.

Run as `python -m bench.scan [MEBIBYTES] [COMMITS]`. Without Go, gitleaks's columns say why.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import gitleaks
from bench.go_program import GoBuildError
from bench.scan_corpus import Corpus, repository, tree
from iamrange.credentials.scan.run import Options, cores, run

if TYPE_CHECKING:
    from collections.abc import Callable

MEBIBYTES, COMMITS = 100, 10_000
BOTH = frozenset({
    "private-key", "jwt", "iamrange-token", "aws-access-key-id", "gcp-api-key", "vault-token",
    "github-fine-grained-token", "anthropic-api-key", "openai-project-key", "openai-api-key",
    "hugging-face-token", "github-token", "gitlab-token", "slack-token", "pypi-token", "npm-token",
    "stripe-key", "sendgrid-key", "named-secret", "client-secret",
})  # fmt: skip
"""Rules of formats that gitleaks's default configuration has as well."""


def _cpu() -> float:
    """Return the processor seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])


def scored(corpus: Corpus, reported: set[str]) -> dict[str, Any]:
    """Return precision and recall over files."""
    planted = set(corpus.planted)
    shared = {name for name, rule in corpus.planted.items() if rule in BOTH}
    right = reported & planted
    missed = sorted({corpus.planted[name] for name in planted - reported})
    return {
        "recall": round(len(right) / len(planted), 3),
        "recall of its formats": round(len(reported & shared) / len(shared), 3),
        "precision": round(len(right) / len(reported), 3) if reported else None,
        "missed rules": missed,
    }


def ours(corpus: Corpus, *, history: bool) -> dict[str, Any]:
    """Scan with iamrange, on all cores."""
    root = str(corpus.folder)
    began, before = time.perf_counter(), _cpu()
    scan = run(
        Options(paths=(root,), key=os.urandom(32), history=history, jobs=cores()),
    )
    spent = {"seconds": round(time.perf_counter() - began, 2), "cpu": round(_cpu() - before, 2)}
    reported = {os.path.relpath(finding.place.path, root) for finding in scan.findings}
    return {
        **spent,
        **scored(corpus, reported),
        "not read": len(scan.not_read),
    }


def peer(corpus: Corpus, report: Path, *, history: bool) -> dict[str, Any]:
    """Scan with gitleaks."""
    try:
        binary = gitleaks.PROGRAM.build()
        began, before = time.perf_counter(), _cpu()
        found = gitleaks.findings(binary, "git" if history else "dir", corpus.folder, report)
    except GoBuildError as error:
        return {"unavailable": str(error)}
    spent = {"seconds": round(time.perf_counter() - began, 2), "cpu": round(_cpu() - before, 2)}
    root = f"{corpus.folder}/"
    reported = {str(one["File"]).removeprefix(root) for one in found}
    return {**spent, **scored(corpus, reported)}


def main(mebibytes: int, commits: int) -> None:
    """Print the figures as one JSON document."""
    figures: dict[str, Any] = {"load average": os.getloadavg(), "cores": cores()}
    makers: dict[str, tuple[Callable[[Path, int], Corpus], int]] = {
        "tree": (tree, mebibytes << 20),
        "history": (repository, commits),
    }
    for name, (make, size) in makers.items():
        with tempfile.TemporaryDirectory(prefix="iamrange-") as place:
            folder = Path(place) / "corpus"
            folder.mkdir()
            corpus = make(folder, size)
            figures[name] = {
                "MiB": round(corpus.size / (1 << 20), 1),
                "commits": corpus.commits,
                "planted": len(corpus.planted),
                "decoys": corpus.decoys,
                "iamrange": ours(corpus, history=name == "history"),
                "gitleaks": peer(corpus, Path(place) / "report.json", history=name == "history"),
            }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    main(*(numbers + [MEBIBYTES, COMMITS][len(numbers) :]))
