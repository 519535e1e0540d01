"""What a model's card says, and what it must not leave out."""

from dataclasses import replace

import pytest
from hub_rules import card_errors
from huggingface_hub import ModelCard
from model_folders import evaluated, network, record

from training.example import Example
from training.model_card import Published, freedom, model_card
from training.module import SarosSegmenter


def card_of(*networks: SarosSegmenter, **more: object) -> ModelCard:
    card = model_card(Published(networks, more.get("evaluations", ()), "user/model"))
    assert card_errors(str(card), "model") == []
    assert "{{" not in card.text
    assert "{%" not in card.text
    assert "\n\n\n\n" not in card.text
    return ModelCard(str(card))


def test_scores_with_intervals_beside_the_papers() -> None:
    card = card_of(network(), evaluations=[evaluated()])
    assert (
        "| Muscle | 0.700 (0.600-0.800) | 0.971 | 0.350 (0.300-0.400) | 0.700 (0.600-0.800) "
        "| 0.994 | 2 / 2 |" in card.text
    )
    assert "NSD, slice | NSD, published" in card.text
    assert "2 cases of the test split, none of them trained on" in card.text
    told = {(one.metric_type, one.metric_name): one.metric_value for one in card.data.eval_results}
    # Muscle 0.7, brain 0.9: 0.8 in the middle; contours half of it.
    assert told["dice", "Dice, mean over labels"] == 0.8
    assert told["nsd", "NSD at 3 mm, contours of annotated slices, mean over labels"] == 0.4
    assert told["nsd", "NSD at 3 mm, as published in the paper's Table 4, mean over labels"] == 0.8
    assert told["dice", "Dice, brain"] == 0.9
    assert ("dice", "Dice, bones") not in told
    assert {one.dataset_split for one in card.data.eval_results} == {"test"}


def test_both_label_maps_of_a_joint_network() -> None:
    joint = network(task="joint")
    card = card_of(joint, evaluations=[evaluated(), evaluated("body-parts")])
    assert "| Torso | 0.700" in card.text
    assert "subcutaneous tissue" in card.text
    assert "arm left" in card.text
    assert {one.dataset_config for one in card.data.eval_results} == {"body-regions", "body-parts"}


def test_without_evaluation_only_what_training_saw() -> None:
    one = network()
    assert one.record is not None
    one.record = replace(one.record, validation={"average": 0.71, "muscle": 0.9})
    card = card_of(one)
    assert "by which the weights were chosen, so that it flatters them" in card.text
    assert "| average | 0.710 |" in card.text
    assert [one.metric_value for one in card.data.eval_results] == [0.71]
    assert card.data.eval_results[0].dataset_split == "validation"


@pytest.mark.parametrize(
    ("licenses", "left", "license_"),
    [
        ({"CC_BY_3.0": 4}, "free", "apache-2.0"),
        ({"synthetic": 4}, "free", "apache-2.0"),
        ({"CC_BY_4.0": 3, "CC_BY-NC_3.0": 1}, "non-commercial", "other"),
        ({"CC_BY_4.0": 3, "NIH_controlled_access": 1}, "controlled", "other"),
        ({"CC_BY_4.0": 3, "unknown": 1}, "unknown", "other"),
    ],
)
def test_the_licence_follows_the_training_data(
    licenses: dict[str, int], left: str, license_: str
) -> None:
    first, second = network(), network(1, fold=2)
    second.record = record(2, **licenses)
    assert freedom([first, second]) == left
    card = card_of(first, second)
    assert card.data.license == license_
    assert "2 networks of as many folds" in card.text
    for name, number in licenses.items():
        assert f"| {name.replace('_', ' ')} | " in card.text
        assert f"{number} |" in card.text


def test_a_record_that_is_missing_is_no_freedom() -> None:
    nobody = network()
    nobody.record = None
    assert freedom([nobody]) == "unknown"
    assert "What it was trained on is not recorded." in card_of(nobody).text


def test_provenance_options_picture_and_limits() -> None:
    one = network(context=1, position=True)
    one.options = replace(one.options, mirror=True)
    shown = Example("case_001", "C4KC-KiTS", "CC BY 3.0", 0.6, b"png")
    card = card_of(one, evaluations=[replace(evaluated(), example=shown)])
    for expected in (
        "![CT, truth and prediction](example.png)",
        "case_001 (C4KC-KiTS, CC BY 3.0), of the scored cases the one in the middle: mean Dice 0.600",
        "| C4KC-KiTS | 3 | [10.7937/TCIA.2019.IX49E8NX](https://doi.org/10.7937/TCIA.2019.IX49E8NX) |",
        "| context | 1 |",
        "| batch_size | 8 |",
        "the slice and 1 on each side, 5 mm apart",
        "mirror image averaged in, small parts kept",
        "0.50 to 1.00 mm in plane",
        "**Not a medical device**",
        "10.1038/s41597-024-03337-6",
        'SarosSegmenter.from_pretrained("user/model")',
    ):
        assert expected in card.text


def test_phantoms_are_called_phantoms() -> None:
    one = network()
    one.record = record(1, synthetic=4)
    card = card_of(one, evaluations=[replace(evaluated(), synthetic=True)])
    assert "Trained on synthetic phantoms alone, not on patients." in card.text
    assert "| Muscle | 0.700 (0.600-0.800) | 0.350 (0.300-0.400) | 0.700" in card.text
    assert "paper |" not in card.text
    assert "synthetic phantoms" in card.data.eval_results[0].dataset_name
