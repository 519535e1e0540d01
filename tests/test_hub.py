"""What goes wrong on the way to the Hub, as people meet it: one line, exit 1, nothing lost."""

from collections.abc import Callable
from pathlib import Path

import pytest
from case_folders import write_folder
from hub_client import run_saros
from hub_repository import Repository
from hub_server import Hub


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("hub") / "data", ("fold-2",))


def other_content(hub: Hub) -> None:
    theirs = Repository()
    theirs.commit({"data.csv": b"a,b\n", "README.md": b"---\nlicense: mit\n---\nMine.\n"})
    hub.repositories["datasets/user/saros"] = theirs


def public_already(hub: Hub) -> None:
    hub.repositories["datasets/user/saros"] = Repository()
    hub.repositories["datasets/user/saros"].commit({})


def nothing(hub: Hub) -> None:
    pass


def refusing(request: str, status: int) -> Callable[[Hub], None]:
    def prepare(hub: Hub) -> None:
        hub.refusals[request] = status

    return prepare


CASES = {
    "no token": (nothing, "user/saros", None, (), "found no token", "hf auth login"),
    "wrong token": (
        nothing,
        "user/saros",
        "hf_wrong",
        (),
        "found a token that the Hub does not accept",
        "hf auth login",
    ),
    "foreign namespace": (
        nothing,
        "others/saros",
        "hf_test",
        (),
        "found the token of user, expected one that may write to others",
        "Yours are: user, lab.",
    ),
    "role without rights": (
        refusing("POST /api/repos/create", 403),
        "lab/saros",
        "hf_test",
        (),
        "found no right to do this (Forbidden)",
        "your role in it",
    ),
    "other content": (
        other_content,
        "user/saros",
        "hf_test",
        (),
        "found other content (README.md, data.csv)",
        "Choose another name",
    ),
    "public already": (
        public_already,
        "user/saros",
        "hf_test",
        ("--private",),
        "found a public repository, expected a private one",
        "choose another name",
    ),
    "rate limit": (
        refusing("POST /api/repos/create", 429),
        "user/saros",
        "hf_test",
        (),
        "found too many requests",
        "Wait some minutes, then run it again.",
    ),
    "server error": (
        refusing(".*/commit/main", 500),
        "user/saros",
        "hf_test",
        (),
        "found HTTP 500",
        "Run it again.",
    ),
    "no name": (nothing, "saros", "hf_test", (), "expected user/name", "before the slash"),
}


@pytest.mark.parametrize("what", CASES)
def test_one_line_with_the_remedy(folder: Path, what: str, tmp_path: Path) -> None:
    prepare, repo, token, options, found, remedy = CASES[what]
    with Hub() as hub:
        prepare(hub)
        ran = run_saros(
            hub,
            folder.parent / "home",
            *("publish-dataset", folder, repo, "--config", "masks", "--out", tmp_path / "out"),
            *options,
            token=token,
        )
    assert ran.returncode == 1, ran.stdout
    lines = [line for line in ran.stderr.splitlines() if line.startswith("saros:")]
    assert len(lines) == 1, ran.stderr
    assert found in lines[0]
    assert remedy in lines[0]
    assert "Traceback" not in ran.stderr
    assert "hf_test" not in ran.stdout + ran.stderr
    assert "hf_wrong" not in ran.stdout + ran.stderr


def test_no_connection(folder: Path, tmp_path: Path) -> None:
    ran = run_saros(
        None,
        folder.parent / "home",
        *("publish-dataset", folder, "user/saros", "--config", "masks", "--out", tmp_path / "out"),
    )
    assert ran.returncode == 1
    assert "found no answer from http://127.0.0.1:9" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_files_stay_when_the_upload_fails(folder: Path, tmp_path: Path) -> None:
    arguments = ("publish-dataset", folder, "user/saros", "--config", "masks")
    out = tmp_path / "out"
    with Hub() as hub:
        hub.refusals[".*/commit/main"] = 403
        ran = run_saros(hub, folder.parent / "home", *arguments, "--out", out)
        assert ran.returncode == 1
        shard = out / "masks" / "train-00000-of-00001.parquet"
        before = shard.stat().st_mtime_ns
        hub.refusals.clear()
        assert run_saros(hub, folder.parent / "home", *arguments, "--out", out).returncode == 0
        assert shard.stat().st_mtime_ns == before
        assert hub.files("datasets/user/saros")["masks/train-00000-of-00001.parquet"]
