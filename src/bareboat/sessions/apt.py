"""apt-get in a session of root's: which packages it takes, and what tells it where to ask. Pure.

The image has no package manager: its packages are unpacked, and nothing in it installs anything. A session of root's
has one, from the same archive, on the same packages.
"""

from __future__ import annotations

from bareboat.host.env import INSIDE as CA_BUNDLE
from bareboat.image.plan import GeneratedFile
from bareboat.lock import Deb
from bareboat.resolve.debian.archive import Archive
from bareboat.values import replace

# What apt needs, and what maintainer scripts take for granted: the Essential ones that an image of ours goes without.
PACKAGES = ("adduser", "apt", "base-passwd", "debconf", "debianutils", "diffutils", "dpkg", "findutils", "grep", "gzip",
            "hostname", "init-system-helpers", "perl-base", "sed", "tar", "util-linux")
KEYRINGS = {"debian": "/usr/share/keyrings/debian-archive-keyring.gpg",
            "ubuntu": "/usr/share/keyrings/ubuntu-archive-keyring.gpg"}
CONFIG = f"""// By bareboat: one user is mapped here, so there is no other to download as.
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::https::CaInfo "{CA_BUNDLE}";
DPkg::Options {{ "--force-unsafe-io"; }};
Dir::Log::Terminal "";
"""


def files(archive: Archive, suite: str) -> tuple[GeneratedFile, ...]:
    """The files that make apt work on an image of ours; without sources that it could not reach or that have a
    password in them.
    """
    key = KEYRINGS.get(archive.family, KEYRINGS["debian"])
    lines = []
    for kind, suites in (("main", (suite, f"{suite}-updates")), ("security", (f"{suite}-security",))):
        base = next((b for b in archive.bases(kind) if b.startswith(("http://", "https://")) and "@" not in b), "")
        usual = "main universe" if archive.family == "ubuntu" else "main"
        components = " ".join(archive.settings.components) or usual
        lines += [f"deb [signed-by={key}] {base} {name} {components}\n" for name in suites if base]
    return (
        GeneratedFile("etc/apt/apt.conf.d/99bareboat", CONFIG),
        GeneratedFile("etc/apt/sources.list.d/bareboat.list", "".join(lines)),
        GeneratedFile("var/lib/dpkg/info/format", "1\n"),
        GeneratedFile("var/lib/dpkg/updates/.bareboat", ""),
    )


def united(locked: tuple[Deb, ...], more: tuple[Deb, ...]) -> tuple[Deb, ...]:
    """The locked packages as they are, and what is not among them, stacked on the base that is there."""
    known = {d.name for d in locked}
    return (*locked, *(replace(d, extra=True) for d in more if d.name not in known))
