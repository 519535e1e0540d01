import torch

from training.data.case_batches import CaseBatch
from training.model.epoch_scores import StageScores

NOTHING = torch.full((1, 2, 2), 255, dtype=torch.uint8)


def test_label_map_that_no_case_has_does_not_count() -> None:
    truth = torch.tensor([[[0, 1], [1, 2]]], dtype=torch.uint8)
    predicted = torch.tensor([[[0, 1], [2, 2]]], dtype=torch.uint8)
    case = CaseBatch(
        case_id="case_000",
        image=torch.zeros(1, 1, 2, 2),
        masks={"body-regions": truth, "body-parts": NOTHING},
        position=torch.zeros(1, 2),
        spacing_mm=(1.0, 1.0, 5.0),
        counted=True,
    )
    scores = StageScores(["body-regions", "body-parts"])
    scores.update(case, {"body-regions": predicted, "body-parts": predicted}, surfaces=False)
    found = scores.finish("val", surfaces=False)
    # Labels 1 and 2: one true voxel and two, or two and one; Dice 2 / 3 each.
    torch.testing.assert_close(found["val_dice"], torch.tensor(2 / 3))
    assert set(found) == {"val_dice", "val_dice/subcutaneous_tissue", "val_dice/muscle"}
    assert scores.finish("val", surfaces=False)["val_dice"].isnan()
