"""The Hub's rules for the metadata of a card."""

import math
import re

import yaml

SIZES = (
    "n<1K",
    *("1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B"),
    *("1B<n<10B", "10B<n<100B", "100B<n<1T", "n>1T"),
)
LICENSES = ("apache-2.0", "cc-by-4.0", "mit", "other")


def card_errors(content: str, kind: str) -> list[str]:
    found = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
    if found is None:
        return ["no metadata"]
    data = yaml.safe_load(found[1])
    errors = [] if data.get("license") in LICENSES else [f"license {data.get('license')}"]
    if data.get("license") == "other" and not {"license_name", "license_link"} <= set(data):
        errors.append("license: other needs license_name and license_link")
    if kind == "dataset":
        errors += [f"size {one}" for one in data.get("size_categories", []) if one not in SIZES]
        for one in data.get("configs", []):
            errors += [
                f"split {f['split']}" for f in one["data_files"] if not f["split"].isidentifier()
            ]
    for model in data.get("model-index", []):
        for result in model["results"]:
            if not {"type"} <= set(result["task"]) or not {"type", "name"} <= set(
                result["dataset"]
            ):
                errors.append("model-index without task or dataset")
            errors += [
                f"metric {metric}"
                for metric in result["metrics"]
                if "type" not in metric
                or not isinstance(metric["value"], float)
                or not math.isfinite(metric["value"])
            ]
    return errors
