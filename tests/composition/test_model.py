import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.bodies import cylinder

from saros_hf.files import sha256
from saros_hf.nifti import read_labels, write_volume
from saros_hf.volume import Volume
from training.cli import main
from training.module import SarosSegmenter


def rows_of(out: Path, case: str = "a") -> dict[str, str]:
    with (out / "cases.csv").open(newline="") as file:
        return next(row for row in csv.DictReader(file) if row["case"] == case)


@pytest.mark.slow
def test_model_predicts_then_measures_and_a_correction_is_measured_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    SarosSegmenter(options={"decoder_channels": (16, 16, 8, 8, 8)}).save_pretrained(
        tmp_path / "model"
    )
    body = cylinder(size=61, slices=4, affine=np.diag([-3.0, -3.0, 4.0, 1.0]))
    (tmp_path / "cts").mkdir()
    write_volume(tmp_path / "cts" / "a.nii.gz", body.ct)
    (tmp_path / "cts" / "b.nii.gz").write_bytes(b"damaged")
    out = tmp_path / "out"
    command = ["composition", str(tmp_path / "cts"), "--out", str(out), "--jobs", "1"]
    with pytest.raises(SystemExit):
        main([*command, "--model", str(tmp_path / "model"), "--accelerator", "cpu", "--spread"])
    assert "cut short or not NIfTI" in rows_of(out, "b")["reason"]
    labels = read_labels(out / "labels" / "a.nii.gz")
    assert labels.same_grid(body.ct)
    options = json.loads((out / "manifest.json").read_text())["options"]
    (digest,) = options["model"].values()
    assert digest == sha256(tmp_path / "model" / "model.safetensors")
    with (out / "volumes_spread.csv").open(newline="") as file:
        spread = {row["structure"]: row["volume_sd_ml"] for row in csv.DictReader(file)}
    members = [rows_of(out / "members" / one) for one in ("network_1", "network_1_mirror")]
    volumes = [float(rows["bone_volume_ml"] or "nan") for rows in members]
    expected = np.std(volumes, ddof=1)
    assert float(spread["bone"] or "nan") == pytest.approx(expected, abs=1e-3, nan_ok=True)
    # Corrected by hand, the label maps are measured without the model.
    write_volume(out / "labels" / "a.nii.gz", Volume(body.regions.array, labels.affine))
    with pytest.raises(SystemExit):
        main([*command, "--regions", str(out / "labels")])
    record = json.loads((out / "a" / "composition.json").read_text())
    assert record["tables"]["cases"][0]["muscle_volume_ml"] > 0
