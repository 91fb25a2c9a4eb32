"""The --gpus grammar, and what a project file says of GPUs."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.project.conftest import Make

from bareboat.errors import ProjectError, UsageError
from bareboat.project import load
from bareboat.project.gpus import NO_GPU, GpuRequest, parse_gpus, requested

UUID = "GPU-3a23c669-1f69-c64e-cf85-44e9b07e7a2a"
MIG = "MIG-e3a2b2f1-5a0f-5b7e-9f6f-2d3b7e4f1c10"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("all", GpuRequest(all=True)),
        ("-1", GpuRequest(all=True)),
        ("count=all", GpuRequest(all=True)),
        ('"all"', GpuRequest(all=True)),
        ("all,capabilities=utility", GpuRequest(all=True)),
        ("2", GpuRequest(count=2)),
        ("count=2", GpuRequest(count=2)),
        ("driver=nvidia,count=1", GpuRequest(count=1)),
        ("none", NO_GPU),
        ("0", NO_GPU),
        ("0.5", GpuRequest(share=0.5)),
        (".25", GpuRequest(share=0.25)),
        ("device=0", GpuRequest(names=("0",))),
        ("device=0,1", GpuRequest(names=("0", "1"))),
        ('"device=0,1"', GpuRequest(names=("0", "1"))),
        ('"device=0,1",capabilities=compute', GpuRequest(names=("0", "1"))),
        ('device="0,1","capabilities=compute,utility"', GpuRequest(names=("0", "1"))),
        ("device=1,0,1,01", GpuRequest(names=("1", "0"))),
        (f"device={UUID}", GpuRequest(names=(UUID,))),
        (f"device={MIG},0:1", GpuRequest(names=(MIG, "0:1"))),
        (f"device=MIG-{UUID}/1/0", GpuRequest(names=(f"MIG-{UUID}/1/0",))),
    ],
)
def test_it_means_what_it_means_to_docker(text: str, wanted: GpuRequest) -> None:
    assert parse_gpus(text) == wanted


@pytest.mark.parametrize(
    "text",
    ["", " ", '"', '"all', "al", "1.5", "0.0", "0.5.5", "0.x", "0.٣",
     "-2", "99999", "9" * 5000, "device=", "device=,", "device=a", "device=0,,1",
     "device=-1", "device=../0", "device=GPU-", "all,1", "all,device=0", "count=1,count=2", "gpu=1", "0,1", "²",
     "capabilities=gpu"],
)  # fmt: skip
def test_what_names_no_gpus(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_gpus(text)
    assert caught.value.code == "usage.gpus" and caught.value.where == "--gpus"


HEX = st.integers(0, 2**60).map("{:x}".format)
INSTANCES = st.builds("{}:{}".format, st.integers(0, 9999), st.integers(0, 999))
NAMES = st.integers(0, 9999).map(str) | INSTANCES | st.builds("{}-{}".format, st.sampled_from(("GPU", "MIG-GPU")), HEX)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.builds(GpuRequest, all=st.just(True)) | st.builds(GpuRequest, count=st.integers(0, 1024))
       | st.builds(GpuRequest, share=st.integers(1, 999).map(lambda n: n / 1000))
       | st.builds(GpuRequest, names=st.lists(NAMES, min_size=1, unique=True).map(tuple)))  # fmt: skip
def test_the_canonical_text_is_the_request(wanted: GpuRequest) -> None:
    assert parse_gpus(str(wanted)) == wanted


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.sampled_from('al0123=,":-devicontMIGPU/ é\n\0'), max_size=30) | st.text(max_size=30))
def test_any_text_is_a_request_or_an_error_of_ours(text: str) -> None:
    try:
        found = parse_gpus(text)
    except UsageError:
        return
    assert parse_gpus(str(found)) == found
    assert [found.all, found.count > 0, bool(found.names)].count(True) <= 1


@pytest.mark.parametrize(
    ("text", "said", "wanted"),
    [
        ("", None, NO_GPU),
        ("gpu = 'none'", None, NO_GPU),
        ("gpu = 'required'", None, GpuRequest(count=1)),
        ("gpu = 'optional'", None, GpuRequest(count=1, optional=True)),
        ("resources.gpus = 2", None, GpuRequest(count=2)),
        ("resources.gpus = 0", None, NO_GPU),
        ("gpu = 'optional'\nresources.gpus = 'device=0,1:2'", None, GpuRequest(names=("0", "1:2"), optional=True)),
        ("gpu = 'optional'", "all", GpuRequest(all=True)),
        ("gpu = 'required'\nresources.gpus = 'all'", "none", NO_GPU),
    ],
)
def test_the_command_line_goes_before_the_file(make: Make, text: str, said: str | None, wanted: GpuRequest) -> None:
    project = load(make({"bareboat.toml": text, "src/a.py": ""}))
    assert requested(said, project) == wanted


def test_a_file_that_contradicts_itself(make: Make) -> None:
    project = load(make({"bareboat.toml": "gpu = 'none'\nresources.gpus = 2", "src/a.py": ""}))
    with pytest.raises(ProjectError) as caught:
        requested(None, project)
    assert (caught.value.code, caught.value.where) == ("project.gpus", "bareboat.toml: gpu")
    assert requested("1", project) == GpuRequest(count=1)
    assert requested(None, None) == NO_GPU
