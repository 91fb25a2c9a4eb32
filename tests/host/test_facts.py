from __future__ import annotations

from bareboat.host.facts import host_facts, level

V2 = ["cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"]
V3 = [*V2, *["abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"]]
V4 = [*V3, *["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]]


def test_levels():
    levels = [level("x86_64", tuple(flags)) for flags in ((), V2, V3, V4, [*V2, "avx512f"])]
    assert levels == ["x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v2"]
    assert level("aarch64", ("asimd", "sve")) == "aarch64+sve"
    assert level("riscv64", ()) == "riscv64"


def write(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_a_machine_with_gpus(tmp_path):
    write(
        tmp_path,
        "proc/cpuinfo",
        "processor : 0\nmodel name : EPYC\nflags : fpu " + " ".join(V3) + "\n\n"
        "processor : 1\nmodel name : other\n",
    )
    write(tmp_path, "proc/meminfo", "MemFree: 1 kB\nMemTotal: 2048 kB\n")
    write(
        tmp_path,
        "proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  "
        "570.86.15  Release Build\nGCC version: 12.2\n",
    )
    write(tmp_path, "proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: \t\t NVIDIA H200\nIRQ: 1\n")
    facts = host_facts(tmp_path)
    assert facts.mark == ""
    assert (facts.cpu, facts.memory, facts.gpus, facts.driver) == (
        "EPYC",
        2 << 20,
        ("NVIDIA H200",),
        "nvidia 570.86.15",
    )


def test_amd_and_arm(tmp_path):
    write(
        tmp_path,
        "proc/cpuinfo",
        "processor : 0\nFeatures : fp asimd\nCPU implementer : 0x41\nCPU part : 0xd0c\n",
    )
    write(tmp_path, "sys/class/kfd/kfd/topology/nodes/0/properties", "simd_count 0\n")
    write(tmp_path, "sys/class/kfd/kfd/topology/nodes/1/properties", "simd_count 304\n")
    write(tmp_path, "sys/class/kfd/kfd/topology/nodes/1/name", "gfx942\n")
    write(tmp_path, "sys/module/amdgpu/version", "6.8.5\n")
    facts = host_facts(tmp_path)
    assert (facts.cpu, facts.gpus, facts.driver) == (
        "implementer 0x41 part 0xd0c",
        ("gfx942",),
        "amdgpu 6.8.5",
    )


def test_a_machine_that_says_nothing(tmp_path):
    facts = host_facts(tmp_path)
    assert facts.mark == ""
    assert (facts.cpu, facts.memory, facts.gpus, facts.driver) == ("", 0, (), "")
    assert facts.kernel and facts.cores > 0


def test_the_mark_of_a_machine_does_not_tell_its_identity(tmp_path):
    write(tmp_path, "etc/machine-id", "f" * 32 + "\n")
    facts = host_facts(tmp_path)
    assert len(facts.mark) == 16 and "ffff" not in facts.mark
    write(tmp_path, "etc/machine-id", "e" * 32 + "\n")
    assert host_facts(tmp_path).mark != facts.mark
