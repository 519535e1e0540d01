from collections.abc import Mapping
from typing import Any

import pytest

from saros_hf.errors import UsageError
from training.module import SarosSegmenter

SWIN = "tu-swin_tiny_patch4_window7_224"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "UNett"}, "UNett with resnet18, which SMP cannot make"),
        ({"encoder_name": "resnet19"}, "Unet with resnet19, which SMP cannot make"),
        ({"encoder_name": "tu-resnet19"}, "Unet with tu-resnet19, which SMP cannot make"),
        ({"encoder_name": "tu-hf-hub:user/net"}, "found tu-hf-hub:user/net, expected the name"),
        ({"encoder_weights": "imagenett"}, "Wrong pretrained weights `imagenett`"),
        ({"encoder_name": SWIN}, f"{SWIN}, which fails on an image of 64 x 96"),
        ({"architecture": "DeepLabV3Plus", "options": {"upsampling": 2}}, "logits of shape"),
    ],
)
def test_unusable_network_is_refused(options: Mapping[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"--model.*{message}"):
        SarosSegmenter(**options)


@pytest.mark.parametrize(
    ("encoder", "options", "message"),
    [
        ("resnet18", {"decoder_chanels": 8}, "found decoder_chanels, expected .*decoder_channels"),
        ("resnet18", {"aux_params": {"classes": 3}}, "found aux_params, expected"),
        ("tu-resnet18", {"activation": "softmax"}, "found activation, expected"),
        ("resnet18", {"classes": 3}, "multiple values for keyword argument 'classes'"),
        ("resnet18", {"decoder_channels": [8, 8]}, "depth is 5"),
        ("tu-resnet18", {"drop_path": 0.1}, "unexpected keyword argument 'drop_path'"),
    ],
)
def test_unknown_option_of_the_architecture_is_refused(
    encoder: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=f"--model.*{message}"):
        SarosSegmenter(encoder_name=encoder, options=options)


def test_options_of_timm_reach_the_encoder() -> None:
    network = SarosSegmenter(encoder_name="tu-resnet18", options={"drop_path_rate": 0.3})
    assert network.training
    assert network.network.training
