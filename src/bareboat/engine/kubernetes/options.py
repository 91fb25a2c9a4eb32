"""What is said for Kubernetes alone: words of Training.options as a checked value. Pure."""

from __future__ import annotations

import posixpath

from bareboat.engine.kubernetes.names import checked_name
from bareboat.errors import UsageError
from bareboat.values import dataclass

RESULTS_CLAIM = "bareboat-results"
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_LABEL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


@dataclass(frozen=True)
class Claim:
    """A PersistentVolumeClaim of the namespace, and the directory in it that is meant ("" its root)."""

    name: str
    path: str = ""


@dataclass(frozen=True)
class Toleration:
    """A taint that is put up with; value "" for any, effect "" for all."""

    key: str
    value: str = ""
    effect: str = ""


@dataclass(frozen=True)
class Options:
    """namespace, context: "" for the kubeconfig's own. queue: of Kueue. architecture: what the image is for, "" where
    nobody knows.
    """

    namespace: str = ""
    context: str = ""
    results: Claim = Claim(RESULTS_CLAIM)
    data: Claim | None = None
    priority_class: str = ""
    queue: str = ""
    service_account: str = ""
    pull_secrets: tuple[str, ...] = ()
    node_selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    gpu_resource: str = "nvidia.com/gpu"
    architecture: str = ""


def parse_options(words: tuple[tuple[str, str], ...]) -> Options:
    """Raises UsageError "kubernetes.option", "kubernetes.name"."""
    said: dict[str, object] = {}
    selector: dict[str, str] = {}
    tolerations: list[Toleration] = []
    secrets: list[str] = []
    for name, value in words:
        where = f"--{name}"
        if name in ("namespace", "priority-class", "queue", "service-account"):
            said[name.replace("-", "_")] = checked_name(value, where)
        elif name == "context":
            said["context"] = value
        elif name in ("results-claim", "data-claim"):
            said[name.partition("-")[0]] = _claim(value, where)
        elif name == "image-pull-secret":
            secrets.append(checked_name(value, where))
        elif name == "node-selector":
            key, equals, wanted = value.partition("=")
            if not equals:
                raise _wrong(value, where, "KEY=VALUE, as in pool=gpu")
            selector[_key(key, where)] = _value(wanted, where)
        elif name == "toleration":
            tolerations.append(_toleration(value, where))
        elif name == "gpu-resource":
            said["gpu_resource"] = _key(value, where)
        elif name == "architecture":
            said["architecture"] = value
        elif name == "repository":
            pass  # of the image: verbs/cluster.py
        else:
            raise UsageError("kubernetes.option", f"{name!r} is no option of --scheduler kubernetes", where=where)
    return Options(**said, pull_secrets=tuple(dict.fromkeys(secrets)),  # type: ignore[arg-type]
                   node_selector=tuple(selector.items()), tolerations=tuple(dict.fromkeys(tolerations)))


def _claim(text: str, where: str) -> Claim:
    name, _, path = text.partition(":")
    inside = posixpath.normpath(path) if path else ""
    if inside.startswith(("/", "..")) or "\0" in path:
        raise _wrong(text, where, "CLAIM or CLAIM:PATH, with a path in the claim, as in results:team-a")
    return Claim(checked_name(name, where), "" if inside == "." else inside)


def _toleration(text: str, where: str) -> Toleration:
    rest, _, effect = text.partition(":")
    key, _, value = rest.partition("=")
    if effect and effect not in EFFECTS:
        raise _wrong(text, where, f"KEY[=VALUE][:EFFECT], with an effect of {', '.join(EFFECTS)}")
    return Toleration(_key(key, where), _value(value, where), effect)


def _key(text: str, where: str) -> str:
    prefix, slash, name = text.rpartition("/")
    if slash:
        checked_name(prefix, where)
    if not name or len(name) > 63 or not _LABEL.issuperset(name) or not (name[0] + name[-1]).isalnum():
        raise _wrong(text, where, "a label's key, as in example.com/pool")
    return text


def _value(text: str, where: str) -> str:
    if text and (len(text) > 63 or not _LABEL.issuperset(text) or not (text[0] + text[-1]).isalnum()):
        raise _wrong(text, where, "a label's value: at most 63 letters, digits, - _ and .")
    return text


def _wrong(text: str, where: str, form: str) -> UsageError:
    return UsageError("kubernetes.option", f"{text[:80]!r} is not understood", where=where, hint=f"write {form}")
