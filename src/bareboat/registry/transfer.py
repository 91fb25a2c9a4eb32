"""A blob read to its end through as many connections as that takes, and verified on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from bareboat.image.spec import Descriptor
from bareboat.registry.base import RegistryError, Repository
from bareboat.registry.policy import Policy, Tries


def read_blob(repository: Repository, descriptor: Descriptor, policy: Policy | None = None) -> Iterator[bytes]:
    """Every byte of a blob once; goes on where a connection was cut, as long as that gets on.

    The last chunk comes when size and digest are right. Raises RegistryError "registry.digest", "registry.size",
    "registry.cut" (after the policy's tries) and what Repository.blob raises.
    """
    tries = Tries(policy or Policy())
    algorithm, _, hexed = descriptor.digest.partition(":")
    whole, at, held = hashlib.new(algorithm), 0, b""
    while at < descriptor.size or not descriptor.size:
        before = at
        try:
            for chunk in repository.blob(descriptor, at):
                whole.update(chunk)
                at += len(chunk)
                if held:
                    yield held
                held = chunk
            break
        except RegistryError as error:
            if error.code != "registry.cut":  # what cannot be reached was tried often enough below
                raise
            tries.progress(at - before)
            tries.again(error)
    if at != descriptor.size:
        raise RegistryError("registry.size", f"{at:,} bytes came, {descriptor.size:,} were to come",
                            where=f"{repository.name}@{descriptor.digest}", hint="nothing was kept")
    if whole.hexdigest() != hexed:
        raise RegistryError("registry.digest", f"the registry sent other bytes: got {algorithm}:{whole.hexdigest()}",
                            where=f"{repository.name}@{descriptor.digest}",
                            hint="nothing was kept; try again, and tell whoever runs the registry")
    if held:
        yield held
