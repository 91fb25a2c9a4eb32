from __future__ import annotations

import json

from bareboat.cli.run import _document


def test_an_explanation_for_programs():
    text = ("plan      sha256:1\nimage         2 trees\n              /a\n              /b\n"
            "thin layer    5 GiB, in memory\n\n")
    assert json.loads(_document(text)) == {
        "plan": ["sha256:1"], "image": ["2 trees", "/a", "/b"], "thin layer": ["5 GiB, in memory"]}
