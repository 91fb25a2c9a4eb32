"""The first process of a container of ours on engines that have no good one: it starts the program and waits for it.

A program that is process 1 is deaf to every signal it does not handle, so a plain SIGTERM would never end it; docker's
and podman's own --init need another package that is often not there. This does what is needed, alike everywhere:

    block every signal; fork
    child:  setpgid(0, 0); make that the terminal's group; unblock; execve(argv[1], argv + 2, environ)
            exit(127 when there is no such file, else 126)
    parent: wait for a signal: SIGCHLD reaps all that ended, any other goes on to the child
            when the child ended: exit with its code, or 128 + its signal; the kernel ends what is left

An ELF file of ten system calls, written out since a wheel of Python has no compiler; it is in every image that is fed.
"""

from __future__ import annotations

from bareboat.host.elf import executable

PATH = "/run/bareboat-init"

_X86_64 = bytes.fromhex(
    "4889e56aff6a00b80e000000bf02000000"  # mov rbp,rsp; push -1; push 0x0; mov eax,0xe; mov edi,0x2
    "488d74240831d241ba080000000f05"  # lea rsi,[rsp+0x8]; xor edx,edx; mov r10d,0x8; syscall
    "b8390000000f05"  # mov eax,0x39; syscall
    "85c0756a"  # test eax,eax; jne parent
    "b86d00000031ff31f60f05"  # mov eax,0x6d; xor edi,edi; xor esi,esi; syscall
    "b8270000000f05"  # mov eax,0x27; syscall
    "890424b81000000031ffbe10540000"  # mov [rsp],eax; mov eax,0x10; xor edi,edi; mov esi,0x5410
    "4889e20f05"  # mov rdx,rsp; syscall
    "6a00b80e000000bf020000004889e631d2"  # push 0x0; mov eax,0xe; mov edi,0x2; mov rsi,rsp; xor edx,edx
    "41ba080000000f05"  # mov r10d,0x8; syscall
    "488b4500488b7d10488d7518"  # mov rax,[rbp+0x0]; mov rdi,[rbp+0x10]; lea rsi,[rbp+0x18]
    "488d54c510b83b0000000f05"  # lea rdx,[rbp+rax*8+0x10]; mov eax,0x3b; syscall
    "bf7e00000083f8fe7502"  # mov edi,0x7e; cmp eax,-2; jne out
    "ffc7"  # inc edi
    # out:
    "b8e70000000f05"  # mov eax,0xe7; syscall
    # parent:
    "89c3"  # mov ebx,eax
    # next:
    "b880000000488d7c240831f631d2"  # mov eax,0x80; lea rdi,[rsp+0x8]; xor esi,esi; xor edx,edx
    "41ba080000000f05"  # mov r10d,0x8; syscall
    "83f8117411"  # cmp eax,0x11; je reap
    "85c07ee1"  # test eax,eax; jle next
    "89c689dfb83e0000000f05"  # mov esi,eax; mov edi,ebx; mov eax,0x3e; syscall
    "ebd4"  # jmp next
    # reap:
    "b83d000000bfffffffff4889e6ba01000000"  # mov eax,0x3d; mov edi,-1; mov rsi,rsp; mov edx,0x1
    "4531d20f05"  # xor r10d,r10d; syscall
    "85c07eb9"  # test eax,eax; jle next
    "39d875e1"  # cmp eax,ebx; jne reap
    "8b3c2489f883e07f750b"  # mov edi,[rsp]; mov eax,edi; and eax,0x7f; jne signalled
    "c1ef0881e7ff000000eb97"  # shr edi,0x8; and edi,0xff; jmp out
    # signalled:
    "8db880000000eb8f"  # lea edi,[rax+0x80]; jmp out
)

_AARCH64 = bytes.fromhex(
    "f303009100008092ff03bfa9400080d2"  # mov x19, sp; mov x0, #-1; stp xzr, x0, [sp, #-16]!; mov x0, #0x2
    "e1230091020080d2030180d2e81080d2"  # add x1, sp, #0x8; mov x2, #0x0; mov x3, #0x8; mov x8, #0x87
    "010000d4"  # svc #0x0
    "200280d2010080d2020080d2030080d2"  # mov x0, #0x11; mov x1, #0x0; mov x2, #0x0; mov x3, #0x0
    "040080d2881b80d2010000d4"  # mov x4, #0x0; mov x8, #0xdc; svc #0x0
    "200400b5"  # cbnz x0, parent
    "010080d2481380d2010000d4"  # mov x1, #0x0; mov x8, #0x9a; svc #0x0
    "881580d2010000d4"  # mov x8, #0xac; svc #0x0
    "e00300b9000080d201828ad2e2030091"  # str w0, [sp]; mov x0, #0x0; mov x1, #0x5410; mov x2, sp
    "a80380d2010000d4"  # mov x8, #0x1d; svc #0x0
    "ff0300f9400080d2e1030091020080d2"  # str xzr, [sp]; mov x0, #0x2; mov x1, sp; mov x2, #0x0
    "030180d2e81080d2010000d4"  # mov x3, #0x8; mov x8, #0x87; svc #0x0
    "630240f9600a40f961620091"  # ldr x3, [x19]; ldr x0, [x19, #16]; add x1, x19, #0x18
    "620e038b42400091a81b80d2010000d4"  # add x2, x19, x3, lsl #3; add x2, x2, #0x10; mov x8, #0xdd; svc #0x0
    "e10300aac00f80d23f0800b141000054"  # mov x1, x0; mov x0, #0x7e; cmn x1, #0x2; b.ne out
    "e00f80d2"  # mov x0, #0x7f
    # out:
    "c80b80d2010000d4"  # mov x8, #0x5e; svc #0x0
    # parent:
    "f40300aa"  # mov x20, x0
    # next:
    "e0230091010080d2020080d2030180d2"  # add x0, sp, #0x8; mov x1, #0x0; mov x2, #0x0; mov x3, #0x8
    "281180d2010000d4"  # mov x8, #0x89; svc #0x0
    "1f4400f100010054"  # cmp x0, #0x11; b.eq reap
    "1f0000f1edfeff54"  # cmp x0, #0x0; b.le next
    "e10300aae00314aa281080d2010000d4"  # mov x1, x0; mov x0, x20; mov x8, #0x81; svc #0x0
    "f2ffff17"  # b next
    # reap:
    "00008092e1030091220080d2030080d2"  # mov x0, #-1; mov x1, sp; mov x2, #0x1; mov x3, #0x0
    "882080d2010000d4"  # mov x8, #0x104; svc #0x0
    "1f0000f14dfdff54"  # cmp x0, #0x0; b.le next
    "1f0014ebe1feff54"  # cmp x0, x20; b.ne reap
    "e10340b92018007261000054"  # ldr w1, [sp]; ands w0, w1, #0x7f; b.ne signalled
    "203c48d3e0ffff17"  # ubfx x0, x1, #8, #8; b out
    # signalled:
    "00000291deffff17"  # add x0, x0, #0x80; b out
)

_CODE = {"x86_64": _X86_64, "aarch64": _AARCH64}
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}  # OCI's names of architectures, and the kernel's


def program(platform: str) -> bytes:
    """A static ELF executable for "linux/amd64" or "linux/arm64". Raises KeyError for one that is not known."""
    machine = _MACHINES[platform.split("/")[1]]
    return executable(machine, _CODE[machine])
