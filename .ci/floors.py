"""Fail unless every dependency of pyproject.toml is installed at its floor."""

import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
required = [*project["dependencies"], *extras["download"], *extras["dicom"], *extras["train"]]
wrong = []
for requirement in map(Requirement, required):
    floor = next(one.version for one in requirement.specifier if one.operator == ">=")
    found = version(requirement.name)
    if Version(found) != Version(floor):
        wrong.append(f"{requirement.name}: found {found}, expected {floor}")
sys.exit("\n".join(wrong) or None)
