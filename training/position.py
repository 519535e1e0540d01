"""Where along the scan a slice lies, told to the network as two constant channels."""

import torch
from torch import Tensor

POSITION_CHANNELS = 2

_LONG_SCAN_MM = 1000.0


def with_position(images: Tensor, position: Tensor) -> Tensor:
    """Return images with two channels more, each constant over its image.

    Args:
        images: (B, C, I, J).
        position: (B, 2) height above the scan's lowest slice in mm, and the share of the scan
            that lies below, 0 to 1.

    Returns:
        (B, C + 2, I, J), the height counted in steps of half a metre from the middle of a long
        scan, the share as -1 to 1.
    """
    scale = position.new_tensor([_LONG_SCAN_MM, 1.0])
    channels = 2 * position / scale - 1
    planes = channels[:, :, None, None].expand(-1, -1, *images.shape[-2:])
    return torch.cat([images, planes.to(images)], dim=1)
