"""Contents of the model card."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from helpers.hub_rules import card_errors
from helpers.model_folders import evaluated, network, record
from helpers.public_series import mixed_cases
from huggingface_hub import ModelCard

from saros_hf.cases.licenses import PHANTOM_COLLECTION as PHANTOM
from training.data.slice_store import Source
from training.evaluate.example_case import Example, median_case
from training.evaluate.result_folder import EvaluationResult
from training.model.run_record import believed_licenses
from training.model.training_record import TrainingRecord
from training.module import SarosSegmenter
from training.publish.model_card import freedom, model_card


def card_of(*networks: SarosSegmenter, evaluations: Sequence[EvaluationResult] = ()) -> ModelCard:
    card = model_card(networks, evaluations, repo_id="user/model")
    assert card_errors(str(card), "model") == []
    assert "{{" not in card.text
    assert "{%" not in card.text
    assert "\n\n\n\n" not in card.text
    return ModelCard(str(card))


def test_scores_stand_beside_those_of_the_paper() -> None:
    card = card_of(network(), evaluations=[evaluated()])
    assert (
        "| Muscle | 0.700 (0.600-0.800) | 0.971 | 0.350 (0.300-0.400) | 0.700 (0.600-0.800) "
        "| 0.994 | 2 / 2 |" in card.text
    )
    assert "NSD, slice | NSD, published" in card.text
    assert "2 cases of the test split, none of them used for training" in card.text
    metrics = {
        (one.metric_type, one.metric_name): one.metric_value for one in card.data.eval_results
    }
    # Muscle 0.7, brain 0.9: 0.8 in the middle; contours half of it.
    assert metrics["dice", "Dice, mean over labels"] == 0.8
    assert metrics["nsd", "NSD at 3 mm, contours of annotated slices, mean over labels"] == 0.4
    assert (
        metrics["nsd", "NSD at 3 mm, as published in the paper's Table 4, mean over labels"] == 0.8
    )
    assert metrics["dice", "Dice, brain"] == 0.9
    assert ("dice", "Dice, bones") not in metrics
    assert {one.dataset_split for one in card.data.eval_results} == {"test"}


def test_both_label_maps_of_a_joint_network() -> None:
    joint = network(task="joint")
    card = card_of(joint, evaluations=[evaluated(), evaluated("body-parts")])
    assert "| Torso | 0.700" in card.text
    assert "subcutaneous tissue" in card.text
    assert "arm left" in card.text
    assert {one.dataset_config for one in card.data.eval_results} == {"body-regions", "body-parts"}


def test_validation_scores_replace_a_missing_evaluation() -> None:
    one = network()
    assert one.record is not None
    one.record = replace(one.record, validation={"average": 0.71, "muscle": 0.9})
    card = card_of(one)
    assert "The weights were selected by this score, so it is optimistic." in card.text
    assert "| average | 0.710 |" in card.text
    assert [one.metric_value for one in card.data.eval_results] == [0.71]
    assert card.data.eval_results[0].dataset_split == "validation"


def test_nan_scores_are_left_out() -> None:
    one = network()
    one.record = replace(record(), validation={"average": math.nan, "muscle": 0.9})
    card = card_of(one)
    assert card.data.eval_results is None
    assert "nan" not in card.text
    assert "| muscle | 0.900 |" in card.text
    none = replace(evaluated(), scores=[replace(s, value=math.nan) for s in evaluated().scores])
    assert card_of(network(), evaluations=[none]).data.eval_results is None


def test_encoder_weights_are_named() -> None:
    one = network()
    assert one.record is not None
    one.record = replace(one.record, settings={"encoder_weights": "imagenet"})
    assert "| encoder_weights | imagenet |" in card_of(one).text


def test_table_alone_does_not_free_a_ct() -> None:
    """The collection of a CT under controlled access was changed to a free one."""
    cases = {one.case_id: one for one in mixed_cases()}
    cases["case_004"] = replace(cases["case_004"], collection="C4KC-KiTS")
    assert cases["case_004"].license == "CC BY 3.0"
    # Without case_004 the median of the free cases is the second of 0.1, 0.6 and 0.9.
    means = {f"case_{n:03d}": (dice, 0.0) for n, dice in enumerate((0.1, 0.6, 0.9, 0.7, 0.95))}
    assert median_case(means, cases, list(cases)) == "case_001"
    assert median_case(means, cases, ["case_003", "case_004"]) is None
    made_up = {case_id: replace(one, collection=PHANTOM) for case_id, one in cases.items()}
    assert median_case(means, made_up, list(cases)) is None
    sources = [Source(one.case_id, one.collection, one.license) for one in cases.values()]
    assert believed_licenses(sources, list(cases.values())) == [
        *("CC BY 3.0", "CC BY 3.0", "CC BY 4.0", "CC BY-NC 3.0", "unknown")
    ]


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
    assert "an ensemble of 2 networks trained on different folds" in card.text
    for name, number in licenses.items():
        assert f"| {name.replace('_', ' ')} | " in card.text
        assert f"{number} |" in card.text


def test_texts_of_a_stranger_are_no_markdown() -> None:
    one = network()
    evil = "x\n\n# Owned\n<script>alert(1)</script> ![](http://a) |"
    one.record = TrainingRecord(1, {evil: 3}, {"CC BY 3.0": 3}, {evil: evil}, {evil: 0.5})
    shown = "x # Owned &#60;script&#62;alert(1)&#60;/script&#62; ![&#93;(http://a) &#124;"
    text = card_of(one).text
    assert text.count(shown) == 4
    assert "<script" not in text
    assert "\n# Owned" not in text


def test_unknown_licence_permits_nothing() -> None:
    for licenses in ({}, {"WTFPL": 3}):
        one = network()
        one.record = TrainingRecord(1, {"C4KC-KiTS": 3}, licenses)
        assert freedom([one]) == "unknown"


def test_missing_record_permits_nothing() -> None:
    nobody = network()
    nobody.record = None
    assert freedom([nobody]) == "unknown"
    assert "The training data is not recorded." in card_of(nobody).text


def test_provenance_options_picture_and_limits() -> None:
    one = network(context=1, position=True)
    one.options = replace(one.options, mirror=True)
    shown = Example("case_001", "C4KC-KiTS", "CC BY 3.0", 0.6, b"png")
    card = card_of(one, evaluations=[replace(evaluated(), example=shown)])
    for expected in (
        "![CT, ground truth and prediction](example.png)",
        "case_001 (C4KC-KiTS, CC BY 3.0), the median of the scored cases: mean Dice 0.600",
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


def test_phantoms_are_named() -> None:
    one = network()
    one.record = record(1, synthetic=4)
    card = card_of(one, evaluations=[replace(evaluated(), synthetic=True)])
    assert "Trained on synthetic phantoms alone, not on patients." in card.text
    assert "| Muscle | 0.700 (0.600-0.800) | 0.350 (0.300-0.400) | 0.700" in card.text
    assert "paper |" not in card.text
    assert "synthetic phantoms" in card.data.eval_results[0].dataset_name
