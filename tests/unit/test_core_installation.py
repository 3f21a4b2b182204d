"""What is said of libraries that are missing, of other versions, or that can't be imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tfedge.core import installation
from tfedge.core.installation import explained, lacking

INSTALLED = {
    "numpy": "2.4.6",
    "pillow": "13.0.0",
    "tensorflow": "2.21.0",
    "scikit-learn": "1.9.1",
    "ai-edge-litert": "2.3.0",
}
LIGHT, TRAIN = "pip install tfedge", "pip install 'tfedge[train]'"


@pytest.fixture
def have(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The versions that are installed, to be changed."""
    found = dict(INSTALLED)
    monkeypatch.setattr(installation, "installed", found.get)
    return found


def test_nothing_is_said_where_nothing_is_missing(have: dict[str, str]) -> None:
    assert lacking(INSTALLED) is None


@pytest.mark.parametrize(
    ("changes", "said", "command"),
    [
        ({"pillow": None}, "can't run this yet: pillow is not installed", LIGHT),
        ({"pillow": "9.0"}, "can't run this yet: pillow is 9.0, not >=10.3", LIGHT),
        ({"numpy": "3.0.1"}, "can't run this yet: numpy is 3.0.1, not >=1.26,<3", LIGHT),
        ({"scikit-learn": None}, "can't train yet: scikit-learn is not installed", TRAIN),
        ({"tensorflow": "2.22.0"}, "can't train yet: tensorflow is 2.22.0, not ==2.21.*", TRAIN),
        (
            {"tensorflow": None, "numpy": None},
            "can't train yet: numpy, tensorflow are not installed",
            TRAIN,
        ),
        (
            {"tensorflow": "2.20.1", "scikit-learn": None},
            "can't train yet: scikit-learn is not installed; tensorflow is 2.20.1, not ==2.21.*",
            TRAIN,
        ),
    ],
    ids=str,
)
def test_one_message_and_one_command_for_all(
    have: dict[str, str], changes: dict[str, str | None], said: str, command: str
) -> None:
    for name, version in changes.items():
        have.pop(name)
        if version is not None:
            have[name] = version
    error = lacking(INSTALLED)
    assert error is not None and error.exit_code == 3
    assert error.lines() == [f"this installation {said}", f"hint: {command}"]


def test_release_candidates_and_local_versions_are_versions(have: dict[str, str]) -> None:
    have |= {"tensorflow": "2.21.0rc1", "numpy": "2.4.6+ours"}
    assert lacking(INSTALLED) is None


def failed_import(folder: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> ImportError:
    """What importing the first of these modules raises."""
    monkeypatch.syspath_prepend(str(folder))
    for name, text in files.items():
        monkeypatch.delitem(sys.modules, name, raising=False)
        (folder / f"{name}.py").write_text(text)
    with pytest.raises(ImportError) as caught:
        __import__(next(iter(files)))
    return caught.value


def test_what_a_library_lacks_comes_with_the_part_it_belongs_to(
    have: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = failed_import(tmp_path, monkeypatch, ai_edge_litert="import no_such_dependency")
    found = explained(error)
    assert found is not None
    assert found.message == (
        "ai-edge-litert 2.3.0 is installed, but can't be imported: "
        "No module named 'no_such_dependency'"
    )
    assert found.hint == LIGHT


def test_the_library_that_fails_is_named_and_not_the_one_that_asked_for_it(
    have: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = "raise ImportError('libcudart.so: cannot open\\nand more')"
    files = {"tf_keras": "import tensorflow", "tensorflow": broken}
    found = explained(failed_import(tmp_path, monkeypatch, **files))
    assert found is not None
    assert found.message == (
        "tensorflow 2.21.0 is installed, but can't be imported: libcudart.so: cannot open"
    )
    assert found.hint == "pip install --force-reinstall --no-deps 'tensorflow==2.21.*'"


def test_other_errors_are_no_library_s_fault(have: dict[str, str]) -> None:
    assert explained(ValueError("numpy")) is None
    assert explained(ImportError("no such thing", name="tfedge.nowhere")) is None
    assert explained(ImportError("no name")) is None
