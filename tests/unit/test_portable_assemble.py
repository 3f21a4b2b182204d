"""Several modules as one plain script."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tfedge.portable.assemble import Source, assembled, source

MAIN = '''\
#!/usr/bin/env python3
"""Says hello.

    python hello.py \\\\o/
"""

from __future__ import annotations

import sys
from typing import Any, Sequence

import numpy as np

from pkg.greeting import HELLO, greeting

# What follows is for people.
NAMES = ("a",)


def main(names: Sequence[str] | None = None) -> int:
    """Greets."""
    print(greeting(*(names or NAMES)), np is None)  # as it is
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
'''
GREETING = '''\
"""How to greet.

In English."""

from __future__ import annotations

import os.path
from typing import Any, List

import numpy as np

HELLO = "hello"  # in English


def greeting(*names: str) -> str:
    """The greeting."""
    import re  # stays here

    return re.sub("x", "y", os.path.basename(HELLO)) + " " + ", ".join(names)
'''


def made(main: str = MAIN, greeting: str = GREETING, **more: str) -> str:
    parts = [Source("pkg.greeting", greeting)]
    parts += [Source(f"pkg.{name}", text) for name, text in more.items()]
    return assembled(Source("pkg.main", main), parts, optional=["numpy"])


def test_the_script_by_hand() -> None:
    assert (
        made()
        == '''\
#!/usr/bin/env python3
"""Says hello.

    python hello.py \\\\o/
"""

from __future__ import annotations

import os.path
import sys
from typing import Any, List, Sequence

try:
    import numpy as np
except ImportError:
    np = None


# ---- pkg/greeting.py ----
# How to greet.
#
# In English.

HELLO = "hello"  # in English


def greeting(*names: str) -> str:
    """The greeting."""
    import re  # stays here

    return re.sub("x", "y", os.path.basename(HELLO)) + " " + ", ".join(names)


# ---- pkg/main.py ----

# What follows is for people.
NAMES = ("a",)


def main(names: Sequence[str] | None = None) -> int:
    """Greets."""
    print(greeting(*(names or NAMES)), np is None)  # as it is
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
'''
    )


def test_it_runs_without_what_is_optional(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(made())
    command = [sys.executable, "-I", "-S", tmp_path / "hello.py", "b", "c"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("hello b, c True\n", "")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("NAMES = 2", r"NAMES is defined in pkg\.more and in pkg\.main"),
        ("def main() -> None: ...", r"main is defined in pkg\.more and in pkg\.main"),
        ("class HELLO: ...", r"HELLO is defined in pkg\.greeting and in pkg\.more"),
        ("if True:\n    HELLO = 1", r"HELLO is defined in pkg\.greeting and in pkg\.more"),
        ("sys = 1", r"sys is defined in pkg\.more, imported in pkg\.main"),
        ("from other import sys", r"sys is other\.sys in pkg\.more and sys in pkg\.main"),
        ("import numpy.linalg as np", "np is numpy in pkg.greeting and numpy.linalg in pkg.more"),
        ("def open() -> None: ...", r"pkg\.more defines open, a name of Python's own"),
        ("from pkg import greeting", r"pkg\.more: import names from pkg\.greeting"),
        ("import pkg.greeting", r"pkg\.more: import names from pkg\.greeting"),
        ("from pkg.greeting import HELLO as H", r"pkg\.more calls HELLO H"),
        ("from pkg.greeting import BYE", r"imports BYE, which pkg\.greeting does not define"),
        ("from pkg.other import x", r"pkg\.more imports pkg\.other, which is not in the script"),
        ("from . import greeting", "absolute"),
    ],
)
def test_what_one_file_can_t_hold(more: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made(more=f'"""More."""\n\n{more}\n')


def test_newer_python_is_refused() -> None:
    with pytest.raises((ValueError, SyntaxError)):
        made(more="if (n := 1):\n    pass\n")
    with pytest.raises(ValueError, match="needs a docstring"):
        made(main="X = 1\n")


def test_every_line_of_a_module_is_in_the_script() -> None:
    golden = source("tfedge.portable.golden")
    script = assembled(Source("tfedge.main", '"""Nothing."""\n'), [golden])
    body = [line for line in golden.body.splitlines() if line]
    assert body and [line for line in script.splitlines() if line in body] == body
    assert ast.parse(script).body
