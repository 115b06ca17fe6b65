from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.errors import UsageError
from catsdogs.fixes import Action, fix_line, read_fixes

DIGEST = "0123456789abcdef" * 4
words = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1)


@given(words, words)
def test_a_printed_line_is_read_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, why: str, label: str) -> None:
    path = tmp_path_factory.mktemp("fixes") / "fixes.yaml"
    path.write_text(fix_line(DIGEST, Action.RELABEL, why, label) + "\n", encoding="utf-8")
    fix = read_fixes(path)[DIGEST]
    assert (fix.why, fix.label, fix.action) == (why, label, "relabel")


def test_no_file_and_an_empty_one_decide_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_fixes(None) == {}
    (tmp_path / "fixes.yaml").write_text("# nothing yet\n")
    assert read_fixes(None) == {}
    assert read_fixes(Path("/dev/null")) == {}


@pytest.mark.parametrize(("text", "complaint"), [
    ("- {digest: x}", r"entry 1: digest 'x'"),
    (f"- {{digest: {DIGEST}, action: remove, who: a, why: b}}", r"entry 1: action 'remove'"),
    (f"- {{digest: {DIGEST}, action: drop, who: a}}", r"entry 1: why: field required"),
    (f"- {{digest: {DIGEST}, action: drop, who: '', why: b}}", r"entry 1: who ''"),
    (f"- {{digest: {DIGEST}, action: relabel, who: a, why: b}}", "a label belongs to the action relabel"),
    (f"- {{digest: {DIGEST}, action: drop, label: cat, who: a, why: b}}", "a label belongs to the action relabel"),
    (f"- {{digest: {DIGEST}, action: relabel, label: no, who: a, why: b}}", "label False"),
    (f"- {{digest: {DIGEST}, action: drop, who: a, why: b, when: c}}", "when"),
    (f"- {{digest: {DIGEST}, action: drop, who: a, why: b}}\n" * 2, "entry 2: a second decision about 0123456789ab"),
    ("digest: x", "holds no list"),
    ("- [", r"is no YAML \(line"),
    ("- 7", "entry 1"),
])
def test_a_mistake_is_one_sentence_that_names_the_entry(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "fixes.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=complaint) as caught:
        read_fixes(path)
    assert "\n" not in str(caught.value)


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--fixes"):
        read_fixes(tmp_path / "fixes.yaml")
