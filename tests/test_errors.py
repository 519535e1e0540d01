import pickle

from saros_hf.errors import MissingFileError, SarosError, UnknownLabelError, saros_cause


def error() -> UnknownLabelError:
    return UnknownLabelError("case_001", found="label 77", expected="0 to 13", remedy="Look.")


def test_message_is_one_line_with_all_four_parts() -> None:
    message = MissingFileError("a", found="x\ny", expected="z", remedy="Do this.")
    assert str(message) == "a: found x y, expected z. Do this."


def test_errors_can_be_pickled() -> None:
    back = pickle.loads(pickle.dumps(error()))
    assert type(back) is UnknownLabelError
    assert str(back) == str(error())
    assert back.remedy == "Look."


def test_cause_is_found_inside_other_errors() -> None:
    outer = RuntimeError("generation failed")
    outer.__cause__ = ValueError("inner")
    outer.__cause__.__cause__ = error()
    assert isinstance(saros_cause(outer), SarosError)
    assert saros_cause(ValueError("x")) is None
