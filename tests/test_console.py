import pytest
from rich.table import Table

from saros_hf.console import say, show, warn


def test_texts_of_files_are_neither_escape_sequences_nor_markup(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = Table("reason", title="[/b]")
    table.add_row("a[/b] :smile:")
    say("1.2\x1b[2J\udcff")
    warn("a\x07b\nc")
    show(table)
    out, err = capsys.readouterr()
    assert out.startswith("1.2?[2J?\n")
    assert "a[/b] :smile:" in out
    assert err == "saros: a?b?c\n"
