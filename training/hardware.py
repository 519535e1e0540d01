"""What the machine at hand is good at."""

from typing import Literal

import torch


def best_precision() -> Literal["bf16-mixed", "32-true"]:
    """Return Lightning's name of bfloat16 where it is quicker than float32."""
    return "bf16-mixed" if _has_fast_bf16() else "32-true"


def _has_fast_bf16() -> bool:
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    # torch 2.6 cannot tell yet.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
