"""Git repositories that are not the one meant, or that git cannot read, under a real git."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resnet.errors import BenchmarkError
from scripts import git
from scripts.checkout import copy_checkout
from tests.support.checkout import AUTHOR, ROOT, commit, run

COPY = (
    "from pathlib import Path; from scripts.checkout import copy_checkout; "
    "copy_checkout(Path({!r}), {{}})"
)


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder; git may rewrite its index to note the times of files."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("index", "COMMIT_EDITMSG", "ORIG_HEAD")
    }


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A commit of this project."""
    checkout = tmp_path / "repository"
    copy_checkout(checkout, {})
    run(checkout, "git", "checkout", "--quiet", "-b", "main")
    commit(checkout, "first")
    return checkout


def test_a_copy_made_in_a_hook_leaves_the_users_repository_alone(
    repository: Path, tmp_path: Path
) -> None:
    """A hook in a linked worktree has GIT_DIR and GIT_INDEX_FILE of the user's repository."""
    worktree, target = tmp_path / "worktree", tmp_path / "copy"
    run(repository, "git", "worktree", "add", "--quiet", "-b", "linked", str(worktree))
    hook = repository / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    code = COPY.format(str(target))
    hook.write_text(f'#!/bin/sh\ntest -n "$GIT_DIR" && exec "{sys.executable}" -c "{code}"\n')
    hook.chmod(0o755)
    (worktree / "README.md").write_text("changed")
    run(worktree, "git", "add", "README.md")
    before = content(repository / ".git")
    head = run(worktree, "git", "rev-parse", "HEAD")
    run(worktree, "git", "commit", "--quiet", "-m", "second")
    assert run(worktree, "git", "rev-parse", "HEAD^") == head
    after = content(repository / ".git")
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed <= {
        "logs/refs/heads/linked",
        "refs/heads/linked",
        "worktrees/worktree/logs/HEAD",
    }
    assert "bare = false" in (repository / ".git" / "config").read_text()
    assert run(target, "git", "status", "--porcelain")  # a repository of its own, without a commit
    assert (target / "README.md").read_text() == "changed"

    code = COPY.format(str(tmp_path / "another"))
    command = f'"{sys.executable}" -c "{code}"'
    run(worktree, "git", "rebase", "--quiet", "--exec", command, "HEAD^")
    assert (tmp_path / "another" / ".git").is_dir()
    assert "bare = false" in (repository / ".git" / "config").read_text()


def test_only_what_git_tracks_is_copied_and_new_modules_beside_it(
    repository: Path, tmp_path: Path
) -> None:
    for name in ("venv/lib/a.py", "archive.tar.gz", "resnet/new.py"):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text("")
    strange = os.fsencode(repository) + b"/caf\xe9.txt"
    Path(os.fsdecode(strange)).write_text("")
    run(repository, sys.executable, "-c", COPY.format(str(tmp_path / "copy")))
    copied = {path.name for path in (tmp_path / "copy").iterdir()}
    assert not {"venv", "archive.tar.gz"} & copied
    assert (tmp_path / "copy" / "resnet" / "new.py").exists()


def test_the_reason_is_gits_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(BenchmarkError, match=r"^git rev-parse: fatal: not a git repository"):
        git.commit("HEAD")
    monkeypatch.chdir(ROOT)
    with pytest.raises(BenchmarkError, match="'no-such' is not a commit of this repository; name"):
        git.commit("no-such", "workspace")


def test_a_folder_of_another_user_is_one_line(repository: Path) -> None:
    """Git refuses it as dubious; it says so, and what to do."""
    more = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    for name, start in (
        ("review", "review: git rev-parse: fatal: detected dubious ownership"),
        ("demo", f"demo: git ls-files in {repository}: fatal: detected dubious ownership"),
    ):
        command = [sys.executable, "-m", f"scripts.{name}", *["HEAD"] * (name == "review")]
        printed = run(repository, *command, ok=False, more=more)
        assert printed.startswith(start)
        assert "safe.directory" in printed
        assert printed.count("\n") == 1


def test_every_line_end_is_the_same_where_git_converts_them(
    repository: Path, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    run(
        tmp_path, "git", "-c", "core.autocrlf=true", "clone", "--quiet", str(repository), str(clone)
    )
    names = run(repository, "git", "ls-files").splitlines()
    different = [
        name for name in names if (clone / name).read_bytes() != (repository / name).read_bytes()
    ]
    assert not different


def test_a_partial_clone_fetches_what_is_compared(repository: Path, tmp_path: Path) -> None:
    run(repository, "git", "config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "clone"
    source = f"file://{repository}"
    run(
        tmp_path,
        "git",
        "clone",
        "--quiet",
        "--filter=blob:none",
        "--no-checkout",
        source,
        str(clone),
    )
    run(clone, "git", "checkout", "--quiet")
    (repository / "README.md").write_text("second")
    run(repository, "git", "commit", "--quiet", "-am", "second")
    run(clone, "git", "fetch", "--quiet")
    command = [sys.executable, "-m", "scripts.review", "HEAD", "origin/main"]
    done = subprocess.run(
        command, cwd=clone, env={**os.environ, **AUTHOR}, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_an_experiment_is_that_of_head_if_there_are_several(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC keeps an experiment in refs/exps/<the commit it was run on>/<its name>."""
    monkeypatch.chdir(repository)
    bases = []
    for number in range(2):
        run(repository, "git", "commit", "--quiet", "--allow-empty", "-m", str(number))
        bases.append(run(repository, "git", "rev-parse", "HEAD").strip())
        made = run(repository, "git", "commit-tree", "-m", str(number), "HEAD^{tree}").strip()
        ref = f"refs/exps/{bases[-1][:2]}/{bases[-1][2:]}/a.b"
        run(repository, "git", "update-ref", ref, made)
        run(repository, "git", "update-ref", f"{ref}-x", bases[0])
        assert git.commit("a.b") == made
    run(repository, "git", "commit", "--quiet", "--allow-empty", "-m", "without one")
    several = f"several experiments are named 'a.b', on {bases[1][:7]}, {bases[0][:7]}: name"
    swapped = f"several experiments are named 'a.b', on {bases[0][:7]}, {bases[1][:7]}: name"
    with pytest.raises(BenchmarkError, match=f"{several}|{swapped}"):
        git.commit("a.b")
    run(repository, "git", "update-ref", "refs/exps/exec/EXEC_HEAD", bases[0])
    for name in ("axb", "b", "EXEC_HEAD", "*", ""):
        with pytest.raises(BenchmarkError, match="is not a commit of this repository; name a bra"):
            git.commit(name)
    run(repository, "git", "branch", "a.b", bases[0])
    assert git.commit("a.b") == bases[0]  # a branch comes first
