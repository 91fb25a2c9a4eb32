"""Docker's and podman's command lines for a workload: every command is a value. Pure.

The client is never started through a shell. What a user or an image chose stands behind an option of ours, or behind
the image's id, where neither client reads options any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bareboat.engine import init
from bareboat.errors import UsageError
from bareboat.host.process import Command
from bareboat.values import dataclass
from bareboat.workload import Device, Exec, Mount, Tmpfs, Workload, absolute, mount_target

HOME = "/home/user"  # in every image that is fed, writable to whoever it is run as
ORDINARY = 1000  # what the workload of a run by root says where nobody asked for another user

# A sequence nobody types: with the usual one ^P would wait for the key behind it, and ^P^Q leave the program alone.
_DETACH = "--detach-keys=ctrl-^,ctrl-_,ctrl-^,ctrl-\\,ctrl-_,ctrl-^"
_PROXIES = tuple(name for upper in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
                 for name in (upper, upper.lower()))


@dataclass(frozen=True)
class Client:
    """A command line that makes containers, and what of the engine behind it decides how it is used.

    name: "docker" or "podman"; program: as it is started. caller: the numbers of who starts it. remapped: Docker's
    userns-remap; labelled: SELinux keeps containers from files that have not its label; cdi: Docker knows GPUs by
    their names in CDI specifications alone.
    """

    name: str
    program: str
    caller: tuple[int, int] = (ORDINARY, ORDINARY)
    rootless: bool = False
    remapped: bool = False
    labelled: bool = False
    cdi: bool = False

    @property
    def podman(self) -> bool:
        """Whether it is podman's."""
        return self.name == "podman"


@dataclass(frozen=True)
class Making:
    """What a container is made of besides its workload. image: an id; program: argv[0] as a path inside; env_file:
    where environment().file was written; memory: bytes of the machine's; workdir: whether the image has it.
    """

    image: str
    name: str
    program: str
    env_file: str
    labels: tuple[tuple[str, str], ...]
    memory: int
    stdin: bool
    workdir: bool = True


@dataclass(frozen=True)
class Environment:
    """A workload's variables for a client. file: the text of an --env-file; options: of what no file can say; client:
    variables of the client itself that the options refer to. None of them is seen in a list of processes.
    """

    file: str
    options: tuple[str, ...]
    client: tuple[tuple[str, str], ...]


def environment(client: Client, env: Iterable[tuple[str, str]], tty: bool) -> Environment:
    """Exactly these variables: what the client, its configuration and the daemon would add is taken away again.

    A file has a variable a line, so what has several lines goes through the client's own environment.
    """
    lines, options, own = [], [], []
    known = {name for name, _ in env}
    for name, value in env:
        if "\n" in value or "\r" in value or name != name.strip() or name.startswith("#") or not name.isprintable() \
                or any(c.isspace() for c in name):
            if _is_the_clients(name):
                options.append(f"--env={name}={value}")
            else:
                options.append(f"--env={name}")
                own.append((name, value))
        else:
            lines.append(f"{name}={value}\n")
    if client.podman:
        options += ["--unsetenv-all", "--http-proxy=false"]
    else:
        added = ("HOSTNAME", "PATH", *(("TERM",) if tty else ()), *_PROXIES)
        options += [f"--env={name}" for name in added if name not in known]
    return Environment("".join(lines), tuple(options), tuple(own))


def _is_the_clients(name: str) -> bool:
    """Whether a client does something else when this variable is set."""
    return name in ("HOME", "PATH", "TMPDIR", "SHELL", "LD_PRELOAD", "LD_LIBRARY_PATH") or name.startswith(
        ("DOCKER_", "CONTAINER", "XDG_", "REGISTRY_", "STORAGE_", "PODMAN_", "BUILDKIT_", "SSL_", "GO"))


def clients_own(environ: Mapping[str, str], env: Environment) -> dict[str, str]:
    """The environment to start a client with: the caller's, without what an option would take from it."""
    bare = {word.partition("=")[2] for word in env.options if word.startswith("--env=") and word.count("=") == 1}
    kept = {name: value for name, value in environ.items() if name not in bare and name not in _PROXIES}
    return kept | dict(env.client)


def create(client: Client, load: Workload, env: Environment, making: Making) -> Command:
    """The command that makes a container of a workload and does not start it. Raises UsageError "engine.path",
    "engine.mount-target".
    """
    limits = load.limits
    words = [client.program, "create", "--pull=never", f"--name={making.name}",
             *(f"--label={name}={value}" for name, value in making.labels),
             f"--entrypoint={init.PATH}", f"--network={load.network}", f"--hostname={load.hostname}",
             f"--workdir={absolute(load.cwd, 'the working directory')}", *user_options(client, load),
             "--cap-drop=ALL", "--security-opt=no-new-privileges",
             *(("--security-opt=label=disable",) if client.labelled else ()),
             *(("--systemd=false",) if client.podman else ()),
             "--log-driver=none", f"--shm-size={limits.shm_size or making.memory // 2}"]
    if limits.memory is not None:
        words += [f"--memory={limits.memory}", f"--memory-swap={limits.memory}"]
    if limits.cpus is not None:
        words.append(f"--cpus={limits.cpus:g}")
    if limits.pids is not None:
        words.append(f"--pids-limit={limits.pids + 1}")  # and the first process, which is ours
    words += gpu_options(client, load)
    words += [_device(device) for device in load.devices]
    words += _home(load, making)
    words += [word for tmpfs in load.tmpfs for word in _tmpfs(tmpfs)]
    # parents first, so that no mount hides another; otherwise the order given
    for mount in sorted(load.mounts, key=lambda m: mount_target(m.target).count("/")):
        words += ["--mount", _bind(mount)]
    if client.podman and not making.workdir:  # Docker makes one that is not there
        words.append(f"--volume={absolute(load.cwd, 'the working directory')}")
    words += [*(("--interactive",) if making.stdin else ()), *(("--tty",) if load.tty else ())]
    words += [f"--env-file={making.env_file}", *env.options, making.image, making.program, *load.argv]
    return Command(tuple(words))


def user_options(client: Client, load: Workload) -> tuple[str, ...]:
    """Who the program is, so that what it writes to mounts is the caller's."""
    uid, gid = inside(client, load.uid, load.gid)
    if client.rootless and client.podman and uid:
        return f"--userns=keep-id:uid={uid},gid={gid}", f"--user={uid}:{gid}"
    return (*(("--userns=host",) if client.remapped else ()), f"--user={uid}:{gid}")


def inside(client: Client, uid: int, gid: int) -> tuple[int, int]:
    """The numbers inside. Rootless podman maps the caller to any; rootless Docker to 0 alone; a daemon of root's maps
    nobody, so that the caller has its own: of root's, 0 where nobody was asked for.
    """
    if client.rootless:
        return (uid, gid) if client.podman else (0, 0)
    return (0, 0) if client.caller[0] == 0 and uid == ORDINARY else (uid, gid)


def foreign_owner(client: Client, load: Workload) -> bool:
    """Whether what the program writes to its mounts would be somebody else's on the host."""
    if client.rootless or all(m.read_only for m in load.mounts):
        return False
    return inside(client, load.uid, load.gid)[0] != client.caller[0]


def _home(load: Workload, making: Making) -> tuple[str, ...]:
    if load.home == HOME:
        return ()
    return _tmpfs(Tmpfs(absolute(load.home, "the home directory"), making.memory // 4, programs=True))


def _bind(mount: Mount) -> str:
    fields = ["type=bind", f"source={mount.source}", f"target={mount_target(mount.target)}"]
    return ",".join(map(_quoted, [*fields, *(("readonly",) if mount.read_only else ())]))


def _quoted(field: str) -> str:
    """A field as encoding/csv of Go reads it, which both clients use."""
    return '"' + field.replace('"', '""') + '"' if any(c in field for c in ',"\r\n') else field


def _tmpfs(tmpfs: Tmpfs) -> tuple[str, str]:
    target = mount_target(tmpfs.target)
    if ":" in target:
        raise UsageError("engine.mount-target", "docker and podman cannot be told of a tmpfs with : in its path",
                         where=target)
    size = f",size={tmpfs.size}" if tmpfs.size is not None else ""
    how = f"{'ro' if tmpfs.read_only else 'rw'},{'exec' if tmpfs.programs else 'noexec'}"
    return "--tmpfs", f"{target}:{how},nosuid,nodev,mode={tmpfs.mode:o}{size}"


def gpu_options(client: Client, load: Workload) -> list[str]:
    """What was granted, in the client's own words: --gpus for Docker, names of CDI specifications for podman; AMD's,
    which neither has a word for, by their device nodes.
    """
    if not load.gpus:
        return []
    if any(device.target.startswith(("/dev/kfd", "/dev/dri")) for device in load.driver.devices):
        return [_device(device) for device in load.driver.devices]
    if not client.podman and not client.cdi:
        return [f"--gpus={_quoted(load.gpus)}"]
    names = load.gpus.removeprefix("device=").split(",") if load.gpus != "all" else ["all"]
    return [f"--device=nvidia.com/gpu={name}" for name in names]


def _device(device: Device) -> str:
    return f"--device={device.source}:{device.target}:rw"


def start(client: Client, id: str, stdin: bool) -> Command:
    """Start a container and stay attached to it; signals are sent by kill, and none through the client."""
    return Command((client.program, "start", "--attach", *(("--interactive",) if stdin else ()),
                    *(("--sig-proxy=false",) if client.podman else ()), _DETACH, id))


def state(client: Client, *ids: str) -> Command:
    """The state of containers as docker keeps it, a JSON document a line."""
    return Command((client.program, "container", "inspect", "--format={{json .State}}", *ids))


def size(client: Client, id: str) -> Command:
    """Bytes in the writable layer of a container."""
    return Command((client.program, "container", "inspect", "--size", "--format={{.SizeRw}}", id))


def changes(client: Client, id: str) -> Command:
    """Paths that differ from the image, as "A /path", "C /path", "D /path"."""
    return Command((client.program, "diff", id))


def kill(client: Client, id: str, signal: str) -> Command:
    """Send a signal to the first process, which hands it to the program."""
    return Command((client.program, "kill", f"--signal={signal}", id))


def pause(client: Client, id: str, on: bool) -> Command:
    """Freeze or go on."""
    return Command((client.program, "pause" if on else "unpause", id))


def remove(client: Client, *ids: str) -> Command:
    """End and remove containers, with the volumes that were made for them alone."""
    return Command((client.program, "rm", "--force", "--volumes", *ids))


def guard(client: Client, id: str) -> Command:
    """Waits for a line on standard input; where that ends without one, whoever held it died, and the container goes.

    The words of the shell are ours alone.
    """
    return Command(("/bin/sh", "-c", 'read -r _ || exec "$@"', "bareboat-guard", *remove(client, id).argv))


def top(client: Client, id: str) -> Command:
    """Host pid, user, seconds of CPU (as [DD-]HH:MM:SS), resident KiB and arguments of every process."""
    columns = ("hpid", "huser", "time", "rss", "args") if client.podman else ("-eo", "pid,uid,time,rss,args")
    return Command((client.program, "top", id, *columns))


def usage(client: Client, id: str) -> Command:
    """What a container uses now, as one JSON document."""
    return Command((client.program, "stats", "--no-stream", "--format={{json .}}", id))


def list_ours(client: Client, store: str) -> Command:
    """The ids of the containers that bareboats of this store made, running or not."""
    return Command((client.program, "ps", "--all", "--quiet", "--no-trunc", f"--filter=label=bareboat.store={store}"))


def owners(client: Client, ids: Iterable[str]) -> Command:
    """For each container its id and who made it."""
    return Command((client.program, "container", "inspect",
                    '--format={{.Id}} {{index .Config.Labels "bareboat.owner"}}', *ids))


def execute(client: Client, id: str, call: Exec, env: Environment, env_file: str, stdin: bool = True) -> Command:
    """One more program in a running container."""
    uid, gid = inside(client, call.uid, call.gid)
    options = tuple(word for word in env.options if word.startswith("--env="))
    return Command((client.program, "exec", *(("--interactive",) if stdin else ()), *(("--tty",) if call.tty else ()),
                    _DETACH, f"--user={uid}:{gid}", f"--workdir={absolute(call.cwd, 'the working directory')}",
                    f"--env-file={env_file}", *options, id, *call.argv))


def copy_out(client: Client, id: str, path: str) -> Command:
    """A file or directory inside as a tar on standard output."""
    return Command((client.program, "cp", f"{id}:{path}", "-"))


def copy_in(client: Client, id: str, folder: str) -> Command:
    """A tar on standard input into a directory inside."""
    return Command((client.program, "cp", "-", f"{id}:{folder}"))


def info(client: Client) -> Command:
    """What the engine behind the client is, as one JSON document."""
    return Command((client.program, "info", "--format={{json .}}"), timeout=20)


def load_archive(client: Client) -> Command:
    """Take the image of an archive on standard input."""
    return Command((client.program, "load", "--quiet"))


def pull_layout(client: Client, folder: str, name: str) -> Command:
    """Take the image of a layout in a directory: of its layers only those are read that are not there (podman). Its
    load would take it as well, and give it no name.
    """
    return Command((client.program, "pull", "--quiet", f"oci:{folder}:{name}"))


def layers_there(client: Client, ids: Iterable[str]) -> Command:
    """The DiffIDs of images, a JSON list a line."""
    return Command((client.program, "image", "inspect", "--format={{json .RootFS.Layers}}", *ids))


def images_there(client: Client) -> Command:
    """The ids of every image."""
    return Command((client.program, "image", "ls", "--quiet", "--no-trunc"))


def image_there(client: Client, id: str) -> Command:
    """Exit 0 where there is an image."""
    return Command((client.program, "image", "inspect", "--format={{.Id}}", id))
