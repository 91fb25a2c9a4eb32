from __future__ import annotations

from bareboat.builder import bytecode
from bareboat.verbs import environment as env
from bareboat.verbs.environment import Environment, of_document

MADE = Environment("sha256:1", "2" * 64, ("base-1", "wheel-1"), ("pyc-1", "pyc-2"), (), "/app")


def test_the_format_of_bytecode_is_the_one_that_documents_name():
    assert env.ASSEMBLY == bytecode.FORMAT


def test_bytecode_of_another_format_never_stands_in_for_a_wheel():
    kept = {**MADE.__dict__, "assembly": env.ASSEMBLY}
    assert of_document(kept) == MADE
    for old in ({**kept, "assembly": 1}, MADE.__dict__):
        assert of_document(old).bytecode == () and of_document(old).trees == MADE.trees
