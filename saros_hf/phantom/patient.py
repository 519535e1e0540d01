"""One imaginary patient: the numbers that distinguish its body from the next."""

import hashlib
from dataclasses import dataclass

import numpy as np

from ..cases.case import Case


@dataclass(frozen=True)
class Patient:
    """Build of a patient; lengths other than the height are standard millimetres.

    Attributes:
        seed: Seed of the cohort.
        patient_id: Patient id in the case table.
        female: Whether the patient is a woman.
        implant: Whether the patient has breast implants.
        height_mm: Body height.
        frame: Width of the skeleton relative to the standard body.
        fat_mm: Subcutaneous fat in front of the navel.
        visceral_mm: How far visceral fat pushes the belly forward.
        muscle: Thickness of the muscles relative to the standard body.
        septa: Half width of fatty septa in the muscles, in units of the septa field.
    """

    seed: int
    patient_id: str
    female: bool
    implant: bool
    height_mm: float
    frame: float
    fat_mm: float
    visceral_mm: float
    muscle: float
    septa: float

    def rng(self, structure: str) -> np.random.Generator:
        """Return the generator of one structure, the same for every scan of the patient."""
        return generator(self.seed, self.patient_id, structure)


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return a random generator that depends on seed and names, not on the order of calls.

    Args:
        seed: Seed of the cohort.
        names: Path of what is drawn, e.g. a patient and one of the patient's organs.
    """
    digest = hashlib.sha256("/".join(names).encode()).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, "<u4").tolist()])


def patient_of(case: Case, *, seed: int) -> Patient:
    """Return the patient of a case."""
    rng = generator(seed, case.patient_id, "build")
    female = case.sex == "female"
    weight = rng.normal()  # thin to obese, shared by all fat
    fat = (22 if female else 16) * np.exp(0.50 * weight + rng.normal(0, 0.15))
    visceral = (10 if female else 18) * np.exp(0.60 * weight + rng.normal(0, 0.3))
    return Patient(
        seed=seed,
        patient_id=case.patient_id,
        female=female,
        implant=case.has_breast_implant,
        height_mm=float(np.clip(rng.normal(1640 if female else 1760, 65), 1470, 1980)),
        frame=float(np.clip(rng.normal(0.94 if female else 1.02, 0.035), 0.85, 1.12)),
        fat_mm=float(np.clip(fat, 5, 55)),
        visceral_mm=float(np.clip(visceral, 2, 50)),
        muscle=float(np.clip(rng.normal(0.93 if female else 1.03, 0.1), 0.7, 1.3)),
        septa=float(np.clip(rng.normal(0.09 + 0.02 * weight, 0.03), 0.03, 0.2)),
    )
