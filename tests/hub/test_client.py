"""What goes wrong on the way to the Hub, as people meet it: one line, exit 1, nothing lost."""

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.case_folders import write_folder
from helpers.hub_client import CHECK, PUSH, READ, run_client, run_saros
from helpers.hub_repository import Repository, oid_of
from helpers.hub_server import Hub

from saros_hf.errors import HubError
from saros_hf.hub.errors import hub_errors

CARD = b"---\nlicense: mit\ntags: [saros-hf]\n---\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("hub") / "data", ("fold-2",))


def model(hub: Hub, name: str, **about: object) -> None:
    hub.repositories[f"models/{name}"] = Repository(**about)
    hub.repositories[f"models/{name}"].commit({"README.md": CARD, "model.safetensors": b"w"})


def dataset(hub: Hub, name: str, files: dict[str, bytes]) -> None:
    hub.repositories[f"datasets/{name}"] = Repository()
    hub.repositories[f"datasets/{name}"].commit(files)


def other_content(hub: Hub) -> None:
    dataset(hub, "user/saros", {"data.csv": b"a,b\n", "README.md": b"---\nlicense: mit\n---\nA.\n"})


def nothing(hub: Hub) -> None:
    pass


def failing(hub: Hub) -> None:
    hub.refusals[".*/commit/main"] = 500


COMMAND = {
    "no token": (nothing, None, "found no token", "hf auth login"),
    "other content": (
        other_content,
        "hf_test",
        "found other content (README.md, data.csv)",
        "Choose another name",
    ),
    "server error": (failing, "hf_test", "found HTTP 500", "Run it again."),
}


@pytest.mark.parametrize("what", COMMAND)
def test_one_line_with_the_remedy(folder: Path, what: str, tmp_path: Path) -> None:
    prepare: Callable[[Hub], None]
    prepare, token, found, remedy = COMMAND[what]
    with Hub() as hub:
        prepare(hub)
        ran = run_saros(
            hub,
            folder.parent / "home",
            *("publish-dataset", folder, "user/saros", "--config", "masks"),
            *("--out", tmp_path / "out"),
            token=token,
        )
    assert ran.returncode == 1, ran.stdout
    lines = [line for line in ran.stderr.splitlines() if line.startswith("saros:")]
    assert len(lines) == 1, ran.stderr
    assert found in lines[0]
    assert remedy in lines[0]
    assert "Traceback" not in ran.stderr
    assert "hf_test" not in ran.stdout + ran.stderr


def test_what_is_in_the_way_is_told_before_anything_is_built(tmp_path: Path) -> None:
    with Hub() as hub:
        dataset(hub, "user/public", {})
        names = ("user/new", "others/saros", "saros", "user/public?private")
        told = run_client(hub, tmp_path, CHECK, *names).splitlines()
        assert told[0] == "None"
        assert "found the token of user, expected one that may write to others" in told[1]
        assert "Yours are: user, lab." in told[1]
        assert "expected user/name" in told[2]
        assert "before the slash" in told[2]
        assert "found a public repository, expected a private one" in told[3]
        assert hub.requests.count("GET /api/whoami-v2") == 3


def test_whose_token_it_is(tmp_path: Path) -> None:
    with Hub() as hub:
        told = run_client(hub, tmp_path, CHECK, "user/saros", token="hf_wrong")
        assert "found a token that the Hub does not accept" in told
        assert "hf auth login" in told
        assert "hf_wrong" not in told
        told = run_client(hub, tmp_path, CHECK, "user/saros", token="hf_read")
        assert "found a token that may only read, expected one that may write to user" in told
        assert "Make a token with write access" in told
        hub.account = {"type": "app"}
        told = run_client(hub, tmp_path, CHECK, "user/saros")
        assert "found a token of no user, expected one that may write to user" in told


def test_what_keeps_from_reading(tmp_path: Path) -> None:
    with Hub() as hub:
        expected = {
            "user/403": ("found no right to read it (Forbidden)", "Ask its owner"),
            "user/429": ("found too many requests", "Wait some minutes"),
            "user/500": ("found HTTP 500 (Internal Server Error)", "Run it again in a while."),
            "user/0": (f"found no answer from {hub.url} (", "Check the network"),
            "user/there@v9": ("found no such repository or revision", "Check the spelling."),
            "user/private": ("found no such repository or revision", "Check the spelling."),
            "user/gated": (
                "found a repository whose readers must agree to its terms",
                f"Ask for access at {hub.url}/user/gated and log in: hf auth login",
            ),
            "user/cut": ("found HTTP 500 (Internal Server Error)", "Run it again in a while."),
        }
        for status in (403, 429, 500, 0):
            hub.refusals[f"GET /api/models/user/{status}(/.*)?"] = status
        for name in ("there", "cut"):
            model(hub, f"user/{name}")
        hub.refusals["GET /user/cut/resolve/.*/model.safetensors"] = 500
        model(hub, "user/private", private=True)
        model(hub, "user/gated", gated="auto")
        names = (*expected, "user/there")
        told = run_client(hub, tmp_path / "a", READ, *names, token="hf_stranger").splitlines()
        assert len(told) == len(names)
        for line, (name, (found, remedy)) in zip(told, expected.items(), strict=False):
            assert line.startswith(f"{name}: {found}")
            assert remedy in line
            assert "write" not in line
        assert (Path(told[-1]) / "model.safetensors").read_bytes() == b"w"
        told = run_client(
            hub, tmp_path / "b", READ, "user/private", "user/gated", token=None
        ).splitlines()
        assert "found no such repository, or a private one" in told[0]
        assert "must agree to its terms" in told[1]
        told = run_client(
            hub, tmp_path / "c", READ, "user/private", "user/gated", token="hf_read"
        ).splitlines()
        assert all((Path(line) / "model.safetensors").is_file() for line in told)


def test_what_breaks_an_upload_off(tmp_path: Path) -> None:
    expected = {
        "403": ("found no right to do this (Forbidden)", "your role in it and your storage"),
        "429": ("found too many requests", "Wait some minutes"),
        "500": ("found HTTP 500 (Internal Server Error)", "what has arrived is not sent again"),
        "0": ("found no answer from http://127.0.0.1", "Check the network"),
    }
    with Hub() as hub:
        for name in expected:
            (tmp_path / name).mkdir()
            (tmp_path / name / "model.safetensors").write_text(name)
            oid = oid_of(name.encode(), large=True)
            hub.refusals[f"PUT /objects/{oid}"] = int(name)
        hub.refusals["POST /api/repos/create"] = 429
        early = run_client(hub, tmp_path / "home", PUSH, tmp_path, "user/0")
        assert "found too many requests" in early
        del hub.refusals["POST /api/repos/create"]
        names = [f"user/{name}" for name in expected]
        told = run_client(hub, tmp_path / "home", PUSH, tmp_path, *names).splitlines()
    assert len(told) == len(expected)
    for line, (name, (found, remedy)) in zip(told, expected.items(), strict=True):
        assert line.startswith(f"user/{name}: {found}")
        assert remedy in line
        assert (tmp_path / name / "model.safetensors").read_text() == name


def test_a_tag_names_one_state(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(CARD)
    with Hub() as hub:
        same = run_client(
            hub, tmp_path / "home", PUSH, tmp_path, "user/model@v1", "user/model@v1", "user/model"
        )
        assert same.splitlines() == [f"{hub.url}/user/model"] * 3
        first = hub.repositories["models/user/model"].tags["v1"]
        (tmp_path / "README.md").write_bytes(CARD + b"More.\n")
        told = run_client(
            hub, tmp_path / "home", PUSH, tmp_path, "user/model@v1", "user/model@v2"
        ).splitlines()
        assert "found the tag v1 on an earlier state, expected a name that is free" in told[0]
        assert "run it again with another --tag" in told[0]
        assert told[1] == f"{hub.url}/user/model"
        tags = hub.repositories["models/user/model"].tags
        assert tags["v1"] == first
        assert hub.files("models/user/model", "v2")["README.md"] == CARD + b"More.\n"


def test_the_gate_is_shut_before_a_file_goes_up(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(CARD)
    with Hub(private_by_default=True) as hub:
        model(hub, "user/by-hand-gated", gated="manual")
        names = ("user/gated", "user/by-hand-gated", "user/open")
        run_client(hub, tmp_path / "home", PUSH, tmp_path, *names)
        gated = [hub.repositories[f"models/{name}"].gated for name in names]
        assert gated == ["auto", "manual", False]
        shut = hub.requests.index("PUT /api/models/user/gated/settings")
        assert shut < hub.requests.index("POST /api/models/user/gated/commit/main")
        # Without --private a new repository is what the owner's settings say.
        assert hub.repositories["models/user/open"].private
        # If it cannot be shut, nothing goes up.
        hub.refusals["PUT .*/settings"] = 403
        told = run_client(hub, tmp_path / "home", PUSH, tmp_path, "user/not-gated")
        assert "found no right to do this" in told
        assert set(hub.files("models/user/not-gated")) == {".gitattributes"}


def test_a_password_in_the_address_is_not_told(tmp_path: Path) -> None:
    code = "import os; os.environ['HF_ENDPOINT'] = 'http://me:secret@127.0.0.1:9'\n" + READ
    told = run_client(None, tmp_path, code, "user/model")
    assert "found no answer from http://127.0.0.1:9" in told
    assert "secret" not in told


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


def test_a_full_disk_is_not_the_hubs_fault() -> None:
    found = r"user/model: found No space left on device \(model.safetensors\)"
    with pytest.raises(HubError, match=found), hub_errors("user/model", "read"):
        raise OSError(28, "No space left on device", "model.safetensors")
