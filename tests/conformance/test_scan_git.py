"""Real repositories, honest and hostile: what a commit held is found, nothing of theirs runs."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from hashlib import sha1
from typing import TYPE_CHECKING

import pytest

from iamrange.credentials.scan import git as scan_git
from iamrange.credentials.scan import run as scan_run
from iamrange.credentials.scan.finding import Skipped, Unread
from iamrange.credentials.scan.git_command import GitError, environment
from iamrange.credentials.scan.run import (
    MAX_SIZE,
    BrokenScanError,
    NothingToScanError,
    Options,
    run,
)
from iamrange.credentials.scan.samples import SAMPLES, invented

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from iamrange.credentials.scan.finding import Scan

KEY = b"a key for these tests"
TOKEN = invented("github-token", 11)
OTHER = invented("slack-token", 11)
DATE = "2026-03-01T12:00:00+00:00"


def git(folder: Path, *arguments: str, text: str = "", date: str = DATE) -> str:
    plain = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    names = {f"GIT_{who}_{what}": "a@example.com" for who in ("AUTHOR", "COMMITTER")
             for what in ("NAME", "EMAIL")}  # fmt: skip
    dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    done = subprocess.run(  # noqa: S603 - fixed
        ["git", "--literal-pathspecs", "-C", str(folder), *arguments],  # noqa: S607 - as people have it
        env=plain | names | dates | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
        input=text, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "README", "hello\n")
    return folder


def commit(folder: Path, name: str, content: str, message: str = "work", date: str = DATE) -> str:
    (folder / name).write_text(content)
    git(folder, "add", "--", name)
    git(folder, "commit", "--quiet", "-m", message, date=date)
    return git(folder, "rev-parse", "HEAD")


def scan(
    folder: Path, *, history: bool = True, staged: bool = False, most: int = MAX_SIZE, jobs: int = 1
) -> Scan:
    paths = (str(folder),)
    return run(Options(paths=paths, key=KEY, history=history, staged=staged, most=most, jobs=jobs))


def rules(found: Scan) -> list[str]:
    return [finding.rule for finding in found.findings]


def test_what_was_removed_is_found_with_the_commit_that_brought_it(repository: Path) -> None:
    first = commit(repository, "a.env", f"T={TOKEN}\n", date="2026-01-02T03:04:05+00:00")
    commit(repository, "a.env", f"# more\nT={TOKEN}\n")
    git(repository, "rm", "--quiet", "a.env")
    git(repository, "commit", "--quiet", "-m", "never mind")
    assert rules(scan(repository, history=False)) == []
    (finding,) = scan(repository).findings
    place = finding.place
    assert (place.commit, place.date) == (first, "2026-01-02T03:04:05+00:00")
    assert (place.path, place.line) == (str(repository / "a.env"), 1)
    assert finding.more == 1


def test_each_blob_is_read_once_however_many_commits_hold_it(repository: Path) -> None:
    for name in ("a", "b", "c"):
        commit(repository, name, f"T={TOKEN}\n")
    assert scan(repository).blobs == 2


def test_branches_merges_stashes_and_messages_are_history(repository: Path) -> None:
    git(repository, "checkout", "--quiet", "-b", "side")
    commit(repository, "side", f"T={TOKEN}\n")
    git(repository, "checkout", "--quiet", "main")
    commit(repository, "main", "x\n", message=f"deploy with {OTHER}")
    (repository / "README").write_text(invented("stripe-key", 11))
    git(repository, "stash", "--quiet")
    found = scan(repository)
    assert sorted(rules(found)) == ["github-token", "slack-token", "stripe-key"]
    (message,) = [one for one in found.findings if one.rule == "slack-token"]
    assert message.place.path == scan_git.MESSAGE


def test_what_tags_say_and_what_refs_name_without_a_commit_is_history(repository: Path) -> None:
    git(repository, "tag", "-a", "v1", "-m", f"released with {TOKEN}")
    git(repository, "tag", "-a", "v2", "-m", "a tag of a tag", "v1")
    blob = git(repository, "hash-object", "-w", "--stdin", text=f"T={OTHER}\n")
    git(repository, "tag", "-a", "of-a-blob", "-m", "a blob", blob)
    (repository / "staged").write_text(invented("stripe-key", 11))
    git(repository, "add", "staged")
    git(repository, "tag", "of-a-tree", git(repository, "write-tree"))
    git(repository, "rm", "--quiet", "--force", "staged")
    places = {one.rule: one.place.path for one in scan(repository).findings}
    assert places == {
        "github-token": scan_git.TAG,
        "slack-token": str(repository / "(blob of refs/tags/of-a-blob)"),
        "stripe-key": str(repository / "staged"),
    }


def test_what_only_a_merge_brought_is_found(repository: Path) -> None:
    git(repository, "checkout", "--quiet", "-b", "side")
    commit(repository, "side", "x\n")
    git(repository, "checkout", "--quiet", "main")
    commit(repository, "main", "y\n")
    git(repository, "merge", "--quiet", "--no-commit", "--no-ff", "side")
    (repository / "evil").write_text(f"T={TOKEN}\n")
    git(repository, "add", "evil")
    git(repository, "commit", "--quiet", "-m", "merge")
    (repository / "evil").unlink()
    assert rules(scan(repository)) == ["github-token"]


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31mb", "a\tb", "-rf", "ü", ":100644 x", "a b"])
def test_names_of_any_kind_are_read_and_shown_on_one_line(repository: Path, name: str) -> None:
    commit(repository, name, f"T={TOKEN}\n")
    found = scan(repository)
    (finding,) = found.findings
    assert finding.place.path == str(repository / name)
    assert str(finding.place).isprintable()


def test_staged_reads_the_index_and_not_the_working_tree(repository: Path) -> None:
    (repository / "a.env").write_text(f"T={TOKEN}\n")
    git(repository, "add", "a.env")
    (repository / "a.env").write_text("clean again\n")
    (repository / "b.env").write_text(f"T={OTHER}\n")
    found = scan(repository, history=False, staged=True)
    assert [(one.rule, one.place.path) for one in found.findings] == [
        ("github-token", str(repository / "a.env"))
    ]


def test_staged_works_before_the_first_commit_and_with_the_index_git_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "a.env").write_text(f"T={TOKEN}\n")
    git(tmp_path, "add", "a.env")
    assert rules(scan(tmp_path, history=False, staged=True)) == ["github-token"]
    # `git commit FILE` runs hooks with an index of its own
    (tmp_path / ".git" / "index").rename(tmp_path / ".git" / "index.next")
    assert rules(scan(tmp_path, history=False, staged=True)) == []
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / ".git" / "index.next"))
    assert rules(scan(tmp_path, history=False, staged=True)) == ["github-token"]


def test_nothing_that_a_hostile_repository_names_is_run(repository: Path, tmp_path: Path) -> None:
    commit(repository, "a.txt", f"T={TOKEN}\n")
    witness = tmp_path / "it-ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho run >> {witness}\n")
    program.chmod(0o755)
    hooks = repository / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("post-index-change", "reference-transaction", "fsmonitor-watchman", "pre-auto-gc"):
        (hooks / hook).write_text(program.read_text())
        (hooks / hook).chmod(0o755)
    for name in ("core.fsmonitor", "core.pager", "diff.external", "diff.evil.textconv",
                 "diff.evil.command", "filter.evil.clean", "filter.evil.smudge", "gpg.program",
                 "core.sshCommand", "core.editor", "pager.log", "alias.log", "core.gitProxy",
                 "credential.helper", "core.askPass", "gpg.ssh.program"):  # fmt: skip
        git(repository, "config", name, str(program))
    for name, value in {
        "log.showSignature": "true", "core.hooksPath": str(hooks),
        "diff.evil.cachetextconv": "true",
        "remote.origin.url": f"ext::{program}", "remote.origin.promisor": "true",
        "extensions.partialClone": "origin", "core.repositoryFormatVersion": "1",
        "protocol.ext.allow": "always",
    }.items():  # fmt: skip
        git(repository, "config", name, value)
    (repository / ".gitattributes").write_text("* diff=evil filter=evil\n")
    (repository / ".git" / "info" / "attributes").write_text("* diff=evil filter=evil\n")
    oid = git(repository, "rev-parse", "HEAD:README")
    (repository / ".git" / "objects" / oid[:2] / oid[2:]).unlink()  # would be fetched lazily
    found = scan(repository)
    assert "github-token" in rules(found)
    assert Unread.CORRUPT in {one.reason for one in found.not_read}
    scan(repository, history=False, staged=True)
    assert not witness.exists()


def test_the_hostile_settings_do_run_when_git_is_left_alone(
    repository: Path, tmp_path: Path
) -> None:
    # the test before would pass on anything if its program never ran
    witness = tmp_path / "it-ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho run >> {witness}\n")
    program.chmod(0o755)
    commit(repository, "a.txt", "x\n")
    git(repository, "config", "diff.external", str(program))
    git(repository, "log", "-p", "--ext-diff")
    assert witness.exists()


def parentless(graph: bytes, commit: str) -> bytes:
    """Return a commit graph that says of one commit that nothing came before it."""
    changed = bytearray(graph)
    table = {
        graph[at : at + 4]: int.from_bytes(graph[at + 4 : at + 12], "big")
        for at in range(8, 8 + 12 * graph[6], 12)
    }
    names = table[b"OIDL"]
    number = graph[names : table[b"CDAT"]].index(bytes.fromhex(commit)) // 20
    struct.pack_into(">I", changed, table[b"CDAT"] + 36 * number + 20, 0x70000000)
    body = bytes(changed[:-20])
    return body + sha1(body).digest()  # noqa: S324 - git's own check sum


def hides_by_the_commit_graph(repository: Path) -> None:
    git(repository, "commit-graph", "write", "--reachable")
    graph = repository / ".git" / "objects" / "info" / "commit-graph"
    graph.chmod(0o644)
    graph.write_bytes(parentless(graph.read_bytes(), git(repository, "rev-parse", "HEAD")))
    assert git(repository, "rev-list", "--count", "HEAD") == "1", "git itself is taken in"


def hides_by_relative_paths(repository: Path) -> None:
    git(repository, "config", "diff.relative", "true")


@pytest.mark.parametrize("hide", [hides_by_the_commit_graph, hides_by_relative_paths])
def test_what_git_keeps_or_is_told_to_be_faster_hides_nothing(
    repository: Path, hide: Callable[[Path], None]
) -> None:
    (repository / "sub").mkdir()
    commit(repository, "sub/a", "x\n")
    commit(repository, "a.env", f"T={TOKEN}\n")
    git(repository, "rm", "--quiet", "a.env")
    git(repository, "commit", "--quiet", "-m", "gone")
    hide(repository)
    assert rules(scan(repository / "sub")) == ["github-token"]


def test_a_repository_that_says_it_is_bare_does_not_hide_its_files(repository: Path) -> None:
    (repository / "sub").mkdir()
    for folder in (repository, repository / "sub"):
        (folder / "a.env").write_text(f"T={TOKEN}\n")
    git(repository, "config", "core.bare", "true")
    assert len(scan(repository).findings) == 2
    assert rules(scan(repository / "sub")) == ["github-token"]


def test_complaints_of_git_do_not_hold_a_scan_up(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(repository, "a.env", f"T={TOKEN}\n")
    (repository / "a.env").unlink()
    real = shutil.which("git")
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nhead -c 300000 /dev/zero >&2\nexec {real} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    assert rules(scan(repository)) == ["github-token"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_repository_of_somebody_else_is_read(repository: Path) -> None:
    commit(repository, "a.env", f"T={TOKEN}\n")
    for one in (repository, *repository.rglob("*")):
        os.chown(one, 12345, 12345)
    assert rules(scan(repository)) == ["github-token"]
    assert scan(repository, history=False, staged=True).not_read == []


def test_a_worker_that_dies_breaks_the_scan_and_says_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("x\n")
    monkeypatch.setattr(scan_run, "_work", dies)
    with pytest.raises(BrokenScanError, match="--jobs 1"):
        scan(tmp_path, history=False, jobs=2)


def dies(*_: object) -> Scan:
    os._exit(9)


def test_grafts_and_replacements_hide_nothing(repository: Path) -> None:
    commit(repository, "a.env", f"T={TOKEN}\n")
    git(repository, "rm", "--quiet", "a.env")
    git(repository, "commit", "--quiet", "-m", "gone")
    blob = git(repository, "rev-parse", "HEAD~1:a.env")
    innocent = git(repository, "hash-object", "-w", "--stdin", text="nothing here\n")
    git(repository, "replace", blob, innocent)
    head = git(repository, "rev-parse", "HEAD")
    (repository / ".git" / "info").mkdir(exist_ok=True)
    (repository / ".git" / "info" / "grafts").write_text(f"{head}\n")
    assert rules(scan(repository)) == ["github-token"]


def test_a_corrupt_object_is_said_and_the_rest_is_read(repository: Path) -> None:
    commit(repository, "broken", "soon broken\n")
    commit(repository, "whole", f"T={TOKEN}\n")
    oid = git(repository, "rev-parse", "HEAD:broken")
    loose = repository / ".git" / "objects" / oid[:2] / oid[2:]
    loose.chmod(0o644)
    loose.write_bytes(b"not zlib")
    (repository / "whole").unlink()
    found = scan(repository)
    assert rules(found) == ["github-token"]
    (unread,) = [one for one in found.not_read if one.reason is Unread.CORRUPT]
    assert oid in unread.detail


def test_a_broken_commit_ends_the_log_and_every_object_is_read_instead(repository: Path) -> None:
    commit(repository, "a.env", f"T={TOKEN}\n")
    tree = git(repository, "rev-parse", "HEAD^{tree}")
    git(repository, "rm", "--quiet", "a.env")
    git(repository, "commit", "--quiet", "-m", "gone")
    loose = repository / ".git" / "objects" / tree[:2] / tree[2:]
    loose.chmod(0o644)
    loose.write_bytes(b"not zlib")
    found = scan(repository)
    assert rules(found) == ["github-token"]
    assert any("git log ended early" in one.detail for one in found.not_read)


def test_submodules_links_and_large_blobs_are_said(repository: Path) -> None:
    commit(repository, "large", "x" * 5000)
    (repository / "link").symlink_to("/etc/passwd")
    git(repository, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},module")
    git(repository, "add", "link")
    git(repository, "commit", "--quiet", "-m", "odd")
    found = scan(repository, most=1000)
    assert found.skipped[Skipped.SYMLINK] == 2  # in the tree, and in the history
    assert {Unread.SUBMODULE, Unread.TOO_LARGE} == {one.reason for one in found.not_read}


def test_a_shallow_history_is_said(repository: Path, tmp_path: Path) -> None:
    commit(repository, "a", "x\n")
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repository}", "shallow")
    assert [one.reason for one in scan(tmp_path / "shallow").not_read] == [Unread.HISTORY]


def test_a_bare_repository_is_read_and_what_is_none_is_refused(
    repository: Path, tmp_path: Path
) -> None:
    commit(repository, "a", f"T={TOKEN}\n")
    git(tmp_path, "clone", "--quiet", "--bare", str(repository), "bare")
    found = scan(tmp_path / "bare")
    assert (rules(found), found.files) == (["github-token"], 0)
    (tmp_path / "none").mkdir()
    with pytest.raises(GitError, match="rev-parse"):
        scan(tmp_path / "none")
    with pytest.raises(NothingToScanError, match="expected a file or a folder"):
        scan(tmp_path / "missing")


def test_names_count_from_where_the_path_points(repository: Path) -> None:
    (repository / "sub").mkdir()
    commit(repository, "sub/a", f"T={TOKEN}\n")
    (finding,) = scan(repository / "sub").findings
    assert finding.place.path == str(repository / "sub" / "a")


def test_many_workers_find_what_one_finds(repository: Path) -> None:
    for number in range(30):
        rule = sorted(SAMPLES)[number % len(SAMPLES)]
        commit(repository, f"f{number}", invented(rule, number), message=f"n{number}")
    alone, together = scan(repository, jobs=1), scan(repository, jobs=2)
    assert alone.findings
    assert alone.findings == together.findings
    assert (alone.blobs, alone.commits, alone.size) == (
        together.blobs, together.commits, together.size,
    )  # fmt: skip


def test_links_pipes_and_closed_folders_of_a_tree_are_passed_by(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a").write_text(f"T={TOKEN}\n")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").symlink_to(outside / "a")
    (tree / "folder").symlink_to(outside)
    (tree / "loop").symlink_to(tree)
    os.mkfifo(tree / "pipe")
    found = scan(tree, history=False)
    assert rules(found) == []
    assert found.skipped[Skipped.SYMLINK] == 3
    assert [one.reason for one in found.not_read] == [Unread.NOT_A_FILE]


def test_git_gets_no_setting_from_the_environment(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(repository, "a", f"T={TOKEN}\n")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", str(tmp_path / "program"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    assert rules(scan(repository)) == ["github-token"]
    assert not {"GIT_DIR", "GIT_EXTERNAL_DIFF", "GIT_CONFIG_COUNT"} & set(environment())


def test_a_merged_finding_is_the_trees_own_and_counts_the_versions(repository: Path) -> None:
    commit(repository, "a.json", json.dumps({"t": TOKEN}))
    commit(repository, "a.json", json.dumps({"t": TOKEN, "u": 1}))
    (finding,) = scan(repository).findings
    assert (finding.place.commit, finding.more) == ("", 2)
