"""Errors of the Hub as users meet them: one line, exit code 1, nothing lost."""

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.case_folders import write_folder
from helpers.hub_client import connected, result_of, run_saros
from helpers.hub_repository import Repository, oid_of
from helpers.hub_server import Hub

from saros_hf.errors import HubError
from saros_hf.hub.client import Destination, check_destination, fetch_model, push_folder
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


def check(name: str, *, private: bool = False) -> str:
    return result_of(check_destination, Destination(name, "dataset", private))


def fetch(name: str) -> str:
    return result_of(fetch_model, name, patterns=["*"])


def push(folder: Path, name: str, tag: str | None = None, *, gated: bool = False) -> str:
    files = [path.name for path in folder.iterdir() if path.is_file()]
    return result_of(push_folder, folder, files, Destination(name, "model", tag=tag), gated=gated)


def publish(
    hub: Hub | None, folder: Path, out: Path, token: str | None = "hf_test"
) -> tuple[int, str]:
    """Return exit code and error output of ``saros publish-dataset``."""
    command = ("publish-dataset", folder, "user/saros", "--config", "masks", "--out", out)
    ran = run_saros(hub, folder.parent / "home", *command, token=token)
    assert "hf_test" not in ran.stdout + ran.stderr
    return ran.returncode, ran.stderr


def other_content(hub: Hub) -> None:
    dataset(hub, "user/saros", {"data.csv": b"a,b\n", "README.md": b"---\nlicense: mit\n---\nA.\n"})


def nothing(hub: Hub) -> None:
    pass


def failing(hub: Hub) -> None:
    hub.refusals[".*/commit/main"] = 500


@pytest.mark.parametrize(
    ("prepare", "token", "found", "remedy"),
    [
        (nothing, None, "found no token", "hf auth login"),
        (
            other_content,
            "hf_test",
            "found other content (README.md, data.csv)",
            "Choose another name",
        ),
        (failing, "hf_test", "found HTTP 500", "Run it again"),
        (None, "hf_test", "found no answer from http://127.0.0.1:9", "Check the network"),
    ],
    ids=["no token", "other content", "server error", "no connection"],
)
def test_command_fails_with_one_line(
    folder: Path,
    tmp_path: Path,
    prepare: Callable[[Hub], None] | None,
    token: str | None,
    found: str,
    remedy: str,
) -> None:
    with Hub() as hub:
        if prepare is not None:
            prepare(hub)
        code, errors = publish(None if prepare is None else hub, folder, tmp_path / "out", token)
    assert code == 1
    (line,) = [line for line in errors.splitlines() if line.startswith("saros:")]
    assert found in line
    assert remedy in line
    assert "Traceback" not in errors


def test_destination_is_checked_beforehand(tmp_path: Path) -> None:
    with Hub() as hub, connected(hub, tmp_path):
        dataset(hub, "user/public", {})
        assert check("user/new") == "None"
        found = check("others/saros")
        assert "found a token of user, lab, expected one that may write to others" in found
        found = check("saros")
        assert "expected user/name" in found
        assert "before the slash" in found
        found = check("user/public", private=True)
        assert "found a public repository, expected a private one" in found
        assert hub.requests.count("GET /api/whoami-v2") == 3


@pytest.mark.parametrize(
    ("token", "account", "found", "remedy"),
    [
        ("hf_wrong", None, "found a token that the Hub does not accept", "hf auth login"),
        (
            "hf_read",
            None,
            "found a token that may only read, expected one that may write to user",
            "Make a token with write access",
        ),
        (
            "hf_test",
            {"type": "app"},
            "found a token of no user, expected one that may write to user",
            "",
        ),
    ],
)
def test_token_must_permit_writing(
    tmp_path: Path, token: str, account: dict[str, str] | None, found: str, remedy: str
) -> None:
    with Hub(account=account) as hub, connected(hub, tmp_path, token):
        line = check("user/saros")
    assert found in line
    assert remedy in line
    assert "hf_wrong" not in line


def test_errors_of_a_download(tmp_path: Path) -> None:
    missing = ("found no such repository or revision", "Check the spelling.")
    failure = ("found HTTP 500 (Internal Server Error)", "Run it again in a while.")
    terms = "found a repository whose readers must agree to its terms"
    with Hub() as hub:
        expected = {
            "user/403": ("found no permission (Forbidden)", "Check the owner's name"),
            "user/429": ("found too many requests", "Wait some minutes"),
            "user/500": failure,
            "user/0": (f"found no answer from {hub.url} (", "Check the network"),
            "user/there@v9": missing,
            "user/private": missing,
            "user/gated": (terms, f"Ask for access at {hub.url}/user/gated and log in: hf auth"),
            "user/cut": failure,
        }
        for status in (403, 429, 500, 0):
            hub.refusals[f"GET /api/models/user/{status}(/.*)?"] = status
        for name in ("there", "cut"):
            model(hub, f"user/{name}")
        hub.refusals["GET /user/cut/resolve/.*/model.safetensors"] = 500
        model(hub, "user/private", private=True)
        model(hub, "user/gated", gated="auto")
        with connected(hub, tmp_path / "a", "hf_stranger"):
            for name, (found, remedy) in expected.items():
                line = fetch(name)
                assert line.startswith(f"{name}: {found}")
                assert remedy in line
                assert "write" not in line
            assert (Path(fetch("user/there")) / "model.safetensors").read_bytes() == b"w"
        with connected(hub, tmp_path / "b", None):
            assert "found no such repository, or a private one" in fetch("user/private")
            assert "must agree to its terms" in fetch("user/gated")
        with connected(hub, tmp_path / "c", "hf_read"):
            for name in ("user/private", "user/gated"):
                assert (Path(fetch(name)) / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("status", "found", "remedy"),
    [
        (403, "found no permission (Forbidden)", "your role and your storage"),
        (429, "found too many requests", "Wait some minutes"),
        (500, "found HTTP 500 (Internal Server Error)", "Run it again"),
        (0, "found no answer from http://127.0.0.1", "Check the network"),
    ],
)
def test_errors_of_an_upload(tmp_path: Path, status: int, found: str, remedy: str) -> None:
    weights = tmp_path / "model" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_text("weights")
    with Hub() as hub, connected(hub, tmp_path / "home"):
        hub.refusals[f"PUT /objects/{oid_of(b'weights', large=True)}"] = status
        line = push(weights.parent, "user/model")
    assert line.startswith(f"user/model: {found}")
    assert remedy in line
    assert weights.read_text() == "weights"


def test_repository_cannot_be_created(tmp_path: Path) -> None:
    with Hub() as hub, connected(hub, tmp_path):
        hub.refusals["POST /api/repos/create"] = 429
        assert "found too many requests" in push(tmp_path, "user/model")


def test_a_tag_names_one_state(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "README.md").write_bytes(CARD)
    with Hub() as hub, connected(hub, tmp_path / "home"):
        for tag in ("v1", "v1", None):
            assert push(folder, "user/model", tag) == f"{hub.url}/user/model"
        tags = hub.repositories["models/user/model"].tags
        first = tags["v1"]
        (folder / "README.md").write_bytes(CARD + b"More.\n")
        line = push(folder, "user/model", "v1")
        assert "found the tag v1 on an earlier state, expected an unused tag" in line
        assert "run it again with another --tag" in line
        assert push(folder, "user/model", "v2") == f"{hub.url}/user/model"
        assert tags["v1"] == first
        assert hub.files("models/user/model", "v2")["README.md"] == CARD + b"More.\n"


def test_repository_is_gated_before_any_upload(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(CARD)
    with Hub(private_by_default=True) as hub, connected(hub, tmp_path / "home"):
        model(hub, "user/by-hand", gated="manual")
        names = {"user/new": "auto", "user/by-hand": "manual", "user/open": False}
        for name, gated in names.items():
            push(tmp_path, name, gated=bool(gated))
            assert hub.repositories[f"models/{name}"].gated == gated
        settings = hub.requests.index("PUT /api/models/user/new/settings")
        assert settings < hub.requests.index("POST /api/models/user/new/commit/main")
        # Without --private the owner's settings decide.
        assert hub.repositories["models/user/open"].private
        hub.refusals["PUT .*/settings"] = 403
        assert "found no permission" in push(tmp_path, "user/not-gated", gated=True)
        assert set(hub.files("models/user/not-gated")) == {".gitattributes"}


def test_password_in_the_address_is_hidden(tmp_path: Path) -> None:
    with connected("http://me:secret@127.0.0.1:9", tmp_path):
        line = fetch("user/model")
    assert "found no answer from http://127.0.0.1:9" in line
    assert "secret" not in line


def test_files_stay_when_the_upload_fails(folder: Path, tmp_path: Path) -> None:
    shard = "masks/train-00000-of-00001.parquet"
    with Hub() as hub:
        hub.refusals[".*/commit/main"] = 403
        assert publish(hub, folder, tmp_path / "out")[0] == 1
        before = (tmp_path / "out" / shard).read_bytes()
        hub.refusals.clear()
        assert publish(hub, folder, tmp_path / "out")[0] == 0
        assert hub.files("datasets/user/saros")[shard] == before
        assert len([one for one in hub.requests if one.startswith("PUT /objects")]) == 1


def test_full_disk_is_named() -> None:
    found = r"user/model: found No space left on device \(model.safetensors\)"
    with pytest.raises(HubError, match=found), hub_errors("user/model"):
        raise OSError(28, "No space left on device", "model.safetensors")
