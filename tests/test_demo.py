"""The demo at a small size: its files agree with each other."""

from pathlib import Path

import numpy as np
import pytest
from helpers.hub_rules import card_errors

from saros_hf.cases.files import find_cases
from saros_hf.errors import UsageError
from saros_hf.labels import BodyRegion
from saros_hf.nifti import read_image, read_mask
from saros_hf.volume import Volume
from training.demo import REPO_ID, DemoSettings, run_demo
from training.evaluate.result_folder import read_evaluation
from training.evaluate.score_case import case_mean, read_metrics, score_case
from training.module import SarosSegmenter
from training.publish.model_folder import read_networks, write_model_folder

pytestmark = pytest.mark.slow

PROTOCOLS = ("slice", "published")
SETTINGS = DemoSettings(seed=5, cases=12, size=64, steps=6, batch_size=4, patch_size=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    run_demo(folder, SETTINGS)
    return folder


def test_files_named_in_the_readme_exist(folder: Path) -> None:
    assert (folder / "report.html").read_text().count("data:image/png;base64,") == 5
    assert {p.name for p in (folder / "model").iterdir()} >= {
        "README.md",
        "config.json",
        "model.safetensors",
    }
    assert len(list((folder / "data").glob("case_*/image.nii.gz"))) == 12


def test_scores_belong_to_the_predictions_of_the_test_cases(folder: Path) -> None:
    test = {c.case.case_id: c for c in find_cases(folder / "data") if c.case.fold == "test"}
    scores = read_metrics(folder / "metrics.csv")
    assert {score.case_id for score in scores} == set(test)
    assert {p.name for p in (folder / "predictions").iterdir()} == {f"{c}.nii.gz" for c in test}
    for case_id, files in test.items():
        prediction = read_mask(folder / "predictions" / f"{case_id}.nii.gz", "body-regions")
        truth = read_mask(files.mask("body-regions"), "body-regions")
        again = score_case(case_id, prediction, truth, "body-regions", protocols=PROTOCOLS)
        written = [score for score in scores if score.case_id == case_id]
        assert [s.value for s in again] == pytest.approx([s.value for s in written], nan_ok=True)


def test_saved_model_makes_the_same_predictions(folder: Path) -> None:
    segmenter = SarosSegmenter.from_pretrained(folder / "model")
    path = next((folder / "predictions").iterdir())
    image = read_image(folder / "data" / path.name.split(".")[0] / "image.nii.gz")
    expected = read_mask(path, "body-regions").array
    assert np.array_equal(segmenter.predict_volume(image).array, expected)


def test_model_folder_equals_that_of_publish_model(folder: Path, tmp_path: Path) -> None:
    networks = read_networks(folder / "model")
    evaluated = read_evaluation(folder)
    assert evaluated.example is not None
    files = write_model_folder(tmp_path, networks, [evaluated], repo_id=REPO_ID)
    assert set(files) == {"README.md", "config.json", "example.png", "model.safetensors"}
    for name in files:
        assert (tmp_path / name).read_bytes() == (folder / "model" / name).read_bytes(), name
    card = (folder / "model" / "README.md").read_text()
    assert card_errors(card, "model") == []


def test_trivial_predictions_score_low(folder: Path) -> None:
    """Background everywhere, and the whole body as the most frequent label."""
    scores = {"nothing": [], "muscle": []}
    for files in find_cases(folder / "data"):
        truth = read_mask(files.mask("body-regions"), "body-regions")
        nothing = np.zeros_like(truth.array)
        body = read_image(files.image).array > -200
        guesses = {"nothing": nothing, "muscle": body.astype(np.uint8) * BodyRegion.MUSCLE}
        for name, guess in guesses.items():
            guessed = Volume(guess.astype(np.uint8), truth.affine)
            scores[name] += score_case(files.case.case_id, guessed, truth, "body-regions")
    assert case_mean(scores["nothing"], "dice") == 0
    assert case_mean(scores["muscle"], "dice") < 0.12


def test_another_seed_needs_another_folder(folder: Path) -> None:
    with pytest.raises(UsageError, match="made with other arguments"):
        run_demo(folder, DemoSettings(seed=6, cases=12, size=64, steps=1))
