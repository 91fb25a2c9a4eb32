"""CDI specifications: what is read, and what is refused with its file and key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import gpu_kit as kit

from bareboat.errors import EngineError
from bareboat.host.gpu import cdi
from bareboat.host.gpu.cdi import BindMount, Node
from bareboat.host.gpu.choose import choose
from bareboat.host.gpu.edits import merge
from bareboat.host.gpu.fromcdi import granted, inventory_of
from bareboat.host.gpu.specs import Specs, read_specs
from bareboat.host.gpu.values import Gpu, Unit
from bareboat.project.gpus import GpuRequest
from bareboat.workload import Device

SMALL: dict[str, object] = {
    "cdiVersion": "0.6.0", "kind": "nvidia.com/gpu",
    "devices": [{"name": "0", "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia0", "hostPath": "/dev/zero"}]}}],
}


def changed(path: str, value: object) -> dict[str, object]:
    """SMALL with a value put at a path of keys; a number is an index."""
    document = json.loads(json.dumps(SMALL))
    *above, last = [int(k) if k.isdigit() else k for k in path.split("/")]
    at = document
    for key in above:
        at = at[key] if isinstance(at, list) else at.setdefault(key, {})
    if isinstance(at, list) and last == len(at):
        at.append(value)
    else:
        at[last] = value
    return document


def test_nvidias_own_form(tmp_path: Path) -> None:
    driver = tmp_path / "libcuda.so.999.88"
    spec = cdi.parse(kit.cdi_yaml(tmp_path, driver).read_bytes(), "nvidia.yaml")
    assert spec.kind == "nvidia.com/gpu"
    assert [d.name for d in spec.devices] == ["0", "1", *kit.UUIDS[:2], "all"]
    assert spec.devices[0].edits.nodes == (Node("/dev/zero", "/dev/nvidia0"),)
    assert spec.edits.mounts == (BindMount(str(driver), "/opt/nv/lib/libcuda.so.999.88", True),)
    assert spec.edits.env == (("NVIDIA_VISIBLE_DEVICES", "void"),)
    assert spec.edits.hooks[2].args[1:] == ("update-ldcache", "--folder", "/opt/nv/lib")


def test_json_and_yaml_say_the_same() -> None:
    assert cdi.parse(json.dumps(SMALL).encode(), "x") == cdi.parse(yaml.safe_dump(SMALL).encode(), "x")
    bare = cdi.parse(b"cdiVersion: 0.6.0\nkind: a.b/c\ndevices:\n- name: 0\n  containerEdits: {}\n", "x")
    assert bare.devices[0].name == "0"


@pytest.mark.parametrize(("path", "value", "key", "words"), [
    ("cdiVersion", None, "cdiVersion", "missing"),
    ("cdiVersion", "0.2.0", "cdiVersion", "0.3 to 1.1"),
    ("cdiVersion", "2.0.0", "cdiVersion", "0.3 to 1.1"),
    ("cdiVersion", "latest", "cdiVersion", "understood"),
    ("kind", "gpu", "kind", "vendor/class"),
    ("kind", "../x/gpu", "kind", "vendor/class"),
    ("devices", [], "devices", "empty"),
    ("devices", {}, "devices", "list"),
    ("devices/1", {"name": "0"}, "devices[1].name", "before it"),
    ("devices/0/name", "a b", "devices[0].name", "no name"),
    ("devices/0/name", "", "devices[0].name", "text"),
    ("devices/0/more", 1, "devices[0].more", "no field"),
    ("devices/0/containerEdits", [], "devices[0].containerEdits", "mapping"),
    ("devices/0/containerEdits/deviceNodes/0/path", "dev/x", "devices[0].containerEdits.deviceNodes[0].path",
     "absolute"),
    ("devices/0/containerEdits/deviceNodes/0/path", "/dev/../etc/x", "deviceNodes[0].path", "'..'"),
    ("devices/0/containerEdits/deviceNodes/0/path", "/etc/x", "deviceNodes[0].path", "outside /dev"),
    ("devices/0/containerEdits/deviceNodes/0/hostPath", "/dev/../../x", "deviceNodes[0].hostPath", "'..'"),
    ("containerEdits/env", ["A"], "containerEdits.env[0]", "NAME=VALUE"),
    ("containerEdits/env", ["=A"], "containerEdits.env[0]", "NAME=VALUE"),
    ("containerEdits/env", ["A\0=b"], "containerEdits.env[0]", "NUL"),
    ("containerEdits/mounts", [{"hostPath": "/x"}], "containerEdits.mounts[0].containerPath", "missing"),
    ("containerEdits/mounts", [{"hostPath": "/x", "containerPath": "/"}], "mounts[0].containerPath", "mount point"),
    ("containerEdits/mounts", [{"hostPath": "/x", "containerPath": "/proc/1"}], "mounts[0].containerPath", "mount"),
    ("containerEdits/mounts", [{"hostPath": "/x", "containerPath": "/a/../../b"}], "mounts[0].containerPath", "'..'"),
    ("containerEdits/mounts", [{"hostPath": "/x", "containerPath": "/a", "type": "tmpfs"}], "mounts[0].type", "bind"),
    ("containerEdits/hooks", [{"hookName": "x"}], "containerEdits.hooks[0].path", "missing"),
    ("containerEdits/hooks", ["x"], "containerEdits.hooks[0]", "mapping"),
    ("containerEdits/netDevices", [{"hostInterfaceName": "eth0"}], "containerEdits.netDevices", "network"),
    ("containerEdits/extra", 1, "containerEdits.extra", "no field"),
])
@pytest.mark.parametrize("form", ["json", "yaml"])
def test_what_is_wrong_is_said_with_file_and_key(path: str, value: object, key: str, words: str, form: str) -> None:
    document = changed(path, value)
    text = json.dumps(document) if form == "json" else yaml.safe_dump(document)
    with pytest.raises(EngineError) as caught:
        cdi.parse(text.encode(), f"/etc/cdi/a.{form}")
    assert (caught.value.code, caught.value.where) == ("gpu.cdi", f"/etc/cdi/a.{form}")
    assert key in caught.value.what and words in caught.value.what


@pytest.mark.parametrize(("name", "content", "words"), [
    ("a.json", b"{", "line 1"),
    ("a.json", b"\xff", "UTF-8"),
    ("a.json", b"[]", "mapping"),
    ("a.json", b'{"kind": "a/b", "kind": "a/c"}', "twice"),
    ("a.json", b"[" * 100_000, "nested"),
    ("a.json", b'{"kind": ' + b"9" * 5000 + b"}", "too long"),
    ("a.yaml", b"a: [", "line"),
    ("a.yaml", b"a: b: c", "line 1"),
    ("a.yaml", b"", "mapping"),
    ("a.yaml", b"- a", "mapping"),
    ("a.yaml", b"kind: a/b\nkind: a/c", "line 2: kind"),
    ("a.yaml", b"? [a]\n: b", "no text"),
    ("a.yaml", b"a: &x {b: c}\nd:\n  <<: *x", "no text"),
    ("a.yaml", b"a: !!python/object/apply:os.system [true]", "no field"),
    ("a.yaml", b"[" * 5000, ""),
    ("a.yaml", b"a: &a [x, x, x, x, x, x, x, x, x]\n" + b"".join(
        b"%c: &%c [%s]\n" % (n, n, b", ".join([b"*%c" % (n - 1)] * 9)) for n in range(98, 107)), "aliases"),
    ("a.yaml", b"---\na: b\n---\nc: d\n", "document"),
    ("a.yaml", b"#" * (cdi.SIZE + 1), "larger"),
])
def test_what_is_no_specification_at_all(name: str, content: bytes, words: str) -> None:
    with pytest.raises(EngineError) as caught:
        cdi.parse(content, name)
    assert caught.value.code == "gpu.cdi" and caught.value.where == name and words in caught.value.what


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200), st.sampled_from(["json", "yaml"]))
def test_any_bytes_are_a_specification_or_an_error_of_ours(content: bytes, form: str) -> None:
    with pytest.raises(EngineError):
        cdi.parse(content, f"x.{form}")


VALUES = st.recursive(st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=5) | st.just("/dev/x"),
                      lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
                          ("name", "path", "hostPath", "containerPath", "containerEdits", "deviceNodes", "mounts",
                           "hooks", "env", "args", "x")), inner, max_size=3), max_leaves=8)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES, VALUES)
def test_any_document_is_a_specification_or_an_error_of_ours(devices: object, edits: object) -> None:
    document = {**SMALL, "devices": devices, "containerEdits": edits}
    for form in (json.dumps(document), yaml.safe_dump(document)):
        try:
            cdi.parse(form.encode(), "x.json" if form.startswith("{") else "x.yaml")
        except EngineError as e:
            assert e.code == "gpu.cdi"


def write(folder: Path, name: str, document: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(document))
    return folder / name


def test_the_later_folder_goes_before_and_a_broken_file_stops_no_other(tmp_path: Path) -> None:
    first, second = tmp_path / "etc", tmp_path / "run"
    write(first, "a.json", SMALL)
    write(second, "b.json", changed("devices/0/containerEdits/deviceNodes/0/hostPath", "/dev/null"))
    (second / "c.yaml").write_text(":")
    (second / "d.json").mkdir()
    (second / "README").write_text("no specification")
    found = read_specs((first, second, tmp_path / "missing"))
    assert [Path(e.where).name for e, _ in found.broken] == ["c.yaml", "d.json"]
    device = found.device("nvidia.com/gpu", ("GPU-x", "0"))
    assert device is not None and device[0].file.endswith("b.json")
    assert found.device("nvidia.com/gpu", ("1",)) is None


def test_one_name_in_two_files_of_a_folder(tmp_path: Path) -> None:
    write(tmp_path, "a.json", SMALL)
    write(tmp_path, "b.json", SMALL)
    with pytest.raises(EngineError, match=r"a\.json too") as caught:
        read_specs((tmp_path,)).device("nvidia.com/gpu", ("0",))
    assert caught.value.where.endswith("b.json")


def test_where_only_a_broken_file_could_have_it_its_error_is_told(tmp_path: Path) -> None:
    write(tmp_path, "a.json", {**SMALL, "kind": "other.com/thing"})
    (tmp_path / "nvidia.yaml").write_text("kind: [")
    with pytest.raises(EngineError, match="no YAML"):
        read_specs((tmp_path,)).of("nvidia.com/gpu")


def of(document: object) -> Specs:
    return Specs((cdi.parse(json.dumps(document).encode(), "/etc/cdi/n.json"),))


def test_nodes_and_mounts_that_are_gone(tmp_path: Path) -> None:
    for path, value, key in (
        ("devices/0/containerEdits/deviceNodes/0/hostPath", "/dev/nvidia-gone", "deviceNodes[0].hostPath"),
        ("devices/0/containerEdits/deviceNodes/0/hostPath", str(tmp_path), "deviceNodes[0].hostPath"),
        ("containerEdits/mounts", [{"hostPath": str(tmp_path / "gone.so"), "containerPath": "/x"}],
         "mounts[0].hostPath"),
        ("containerEdits/deviceNodes", [{"path": "/dev/nvidia0", "hostPath": "/dev/null"}], "deviceNodes[0]"),
        ("containerEdits/mounts", [{"hostPath": "/usr", "containerPath": "/x"},
                                   {"hostPath": "/etc", "containerPath": "/x"}], "mounts[1]"),
        ("containerEdits/hooks", [{"hookName": "x", "path": "/usr/bin/nvidia-ctk", "args": [
            "nvidia-ctk", "hook", "create-symlinks", "--link=a::/b/../../c"]}], "hooks[0].args"),
        ("containerEdits/hooks", [{"hookName": "x", "path": "/usr/bin/nvidia-ctk", "args": [
            "nvidia-ctk", "hook", "update-ldcache", "--folder", "lib"]}], "hooks[0].args"),
    ):  # fmt: skip
        spec = of(changed(path, value)).specs[0]
        with pytest.raises(EngineError) as caught:
            merge([(spec, "0")])
        assert key in caught.value.what and caught.value.where == "/etc/cdi/n.json"


def test_what_is_granted_is_what_was_chosen(tmp_path: Path) -> None:
    driver = kit.library(tmp_path / "libcuda.so.999.88", "libcuda.so.1")
    kit.cdi_yaml(tmp_path / "cdi", driver)
    specs = read_specs((tmp_path / "cdi",))
    here = inventory_of(specs)
    assert [(g.index, g.name, g.nodes) for g in here.gpus] == [
        (0, "nvidia.com/gpu=0", ("/dev/zero",)), (1, "nvidia.com/gpu=1", ("/dev/full",))]
    found = granted(choose(GpuRequest(names=("1",)), here), specs)
    assert found.driver.devices == (Device(Path("/dev/null"), "/dev/nvidiactl"), Device(Path("/dev/null"),
                                    "/dev/nvidia-uvm"), Device(Path("/dev/full"), "/dev/nvidia1"))
    assert found.driver.libraries == (("libcuda.so.1", "/opt/nv/lib/libcuda.so.999.88"),
                                      ("libcuda.so", "/opt/nv/lib/libcuda.so"))
    assert found.driver.links == (("/opt/nv/lib/libcuda.so", "libcuda.so.1"),
                                  ("/opt/nv/lib/libcuda.so.1", "libcuda.so.999.88"))
    assert found.driver.env == (("NVIDIA_VISIBLE_DEVICES", "void"),)
    assert found.notes == ()
    assert granted(choose(GpuRequest(all=True), here), specs).driver.devices[2:] == (
        Device(Path("/dev/zero"), "/dev/nvidia0"), Device(Path("/dev/full"), "/dev/nvidia1"))


def test_a_hook_of_somebody_elses_is_not_run_and_that_is_said(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    spec = of(changed("containerEdits/hooks", [
        {"hookName": "createRuntime", "path": "/usr/bin/touch", "args": ["touch", str(canary)]},
        {"hookName": "createContainer", "path": "/usr/bin/nvidia-ctk", "args": ["nvidia-ctk", "hook", "new-thing"]},
        {"hookName": "createContainer", "path": "/usr/bin/nvidia-ctk", "args": ["nvidia-ctk", "hook", "chmod", "--path",
                                                                               "/dev/dri"]}])).specs[0]
    found = merge([(spec, "0")])
    assert [note.rpartition(" ")[2] for note in found.notes] == ["/usr/bin/touch", "new-thing"]
    assert not canary.exists()


def test_a_gpu_that_the_specification_does_not_have(tmp_path: Path) -> None:
    specs = of(SMALL)
    unit = inventory_of(specs).gpus[0]
    assert granted([Unit(unit)], specs).driver.devices
    from bareboat.values import replace

    with pytest.raises(EngineError) as caught:
        granted([Unit(replace(unit, index=3, name="NVIDIA H200", uuid="GPU-x", nodes=("/dev/nvidia3",)))], specs)
    assert (caught.value.code, caught.value.where) == ("gpu.cdi-device", "/etc/cdi/n.json")


def test_a_specification_of_all_gpus_together(tmp_path: Path) -> None:
    specs = of(changed("devices/0/name", "all"))
    unit = Unit(Gpu(0, kit.UUIDS[0], "NVIDIA RTX 4090"))
    found = granted([unit, Unit(Gpu(1, kit.UUIDS[1], "NVIDIA RTX 4090"))], specs)
    assert [d.target for d in found.driver.devices] == ["/dev/nvidia0"]
    assert found.notes == ("/etc/cdi/n.json names all GPUs together: every one of them can be seen",)
