"""What training code tries, what each level refuses it, and what a weaker level leaves open by name."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from interlock.training import BwrapSandbox, LandlockSandbox, Limits, RlimitsSandbox, Sandbox, TrainingRun
from interlock.training.landlock import abi_version

# Each attempt raises OSError when it is refused. {secret}: a file outside; {home}: the caller's home folder; {shown}:
# what of the home folder is Python itself; {tcp}, {udp}: ports where the caller listens; {abstract}: its abstract
# socket; {unix}: one in a file; {other}: data of another run; {pid}: a process of its; {python}: Python's folder.
ATTEMPTS = {
    "tcp-to-a-service-of-the-host": "socket.create_connection(('127.0.0.1', {tcp}), timeout=2)",
    "tcp-to-another-machine": "socket.create_connection(('192.0.2.1', 80), timeout=2)",
    "udp-to-another-machine": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
    "udp-over-ipv6": "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b'x', ('2001:db8::1', 53))",
    "raw-socket": "socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)",
    "packet-socket": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "abstract-socket-of-the-host": "socket.socket(socket.AF_UNIX).connect('\\0{abstract}')",
    "socket-in-a-file-of-the-host": "socket.socket(socket.AF_UNIX).connect('{unix}')",
    "vsock-to-the-hypervisor": "socket.socket(socket.AF_VSOCK)",
    "kernel-crypto-socket": "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)",
    "kernel-audit-socket": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9)",
    "name-lookup": "socket.getaddrinfo('example.org', 80)",
    "read-the-signing-key": "open('{secret}').read()",
    "read-the-data-of-another-run": "open('{other}').read()",
    "read-the-signing-key-through-proc": "open('/proc/1/root{secret}').read()",
    "list-the-home-folder": "unless_empty(set(os.listdir('{home}')) - {{'{shown}'}})",
    "read-the-password-hashes": "open('/etc/shadow').read()",
    "read-the-machine-id": "open('/etc/machine-id').read()",
    "read-the-variables-of-a-process-of-the-host": "open('/proc/{pid}/environ').read()",
    "read-the-command-of-a-process-of-the-host": "open('/proc/{pid}/cmdline').read()",
    "read-the-memory-of-a-process-of-the-host": "open('/proc/{pid}/mem', 'rb')",
    "read-the-kernel-log": "call('klogctl', 10, None, 0)",
    "list-sys": "os.listdir('/sys')",
    "list-run": "os.listdir('/run')",
    "write-the-data": "open(sys.argv[1], 'a')",
    "change-rights-of-the-data": "os.chmod(sys.argv[1], 0o777)",
    "change-times-of-the-data": "os.utime(sys.argv[1])",
    "empty-the-data": "os.truncate(sys.argv[1], 0)",
    "replace-the-data": "os.rename(sys.argv[2], sys.argv[1])",
    "write-the-code": "open(__file__, 'a')",
    "write-beside-the-output": "open(os.path.dirname(sys.argv[2]) + '/x', 'w')",
    "write-into-the-root": "open('/x', 'w')",
    "write-into-etc": "open('/etc/x', 'w')",
    "write-into-usr": "open('/usr/bin/x', 'w')",
    "write-into-python": "open('{python}/x', 'w')",
    "write-into-dev": "open('/dev/x', 'w')",
    "link-the-data-into-the-output": "os.link(sys.argv[1], sys.argv[2] + '/rows')",
    "set-a-kernel-parameter": "open('/proc/sys/kernel/core_pattern', 'r+')",
    "reach-the-sysrq-trigger": "open('/proc/sysrq-trigger', 'r+')",
    "read-kernel-memory": "open('/proc/kcore', 'rb').read(16)",
    "open-a-disk": "os.open('/dev/vda', os.O_RDONLY)",
    "make-a-device": "os.mknod(sys.argv[2] + '/disk', stat.S_IFBLK | 0o600, os.makedev(254, 0))",
    "signal-a-process-of-the-host": "os.kill({pid}, 0)",
    "trace-a-process-of-the-host": "call('ptrace', 0x4206, {pid}, 0, 0)",
    "limit-a-process-of-the-host": "resource.prlimit({pid}, resource.RLIMIT_CORE, (0, 0))",
    "start-an-io-ring": "call('syscall', 425, 1, bytes(120))",
    "load-a-kernel-program": "call('syscall', bpf, 0, bytes(120), 120)",
    "make-a-key-ring": "call('syscall', add_key, b'keyring', b'x', None, 0, -3)",
    "mount-over-the-data": "call('mount', b'tmpfs', b'/tmp', b'tmpfs', 0, None)",
    "make-the-root-writable": "call('mount', None, b'/', None, 32 | 4096, None)",
    "unmount-a-cover": "call('umount2', b'/proc/keys', 2)",
    "make-a-user-namespace": "call('unshare', 0x10000000)",
    "make-a-network-namespace": "call('unshare', 0x40000000)",
    "enter-the-host-namespaces": "call('setns', os.open('/proc/1/ns/mnt', os.O_RDONLY), 0)",
    "become-root": "os.setuid(0)",
    "change-the-root": "os.chroot('/tmp')",
    "rename-the-machine": "socket.sethostname('x')",
    "use-a-descriptor-of-the-caller": "os.read(next(fd for fd in range(3, 64) if readable(fd)), 1)",
    "fill-the-temporary-folder": "open('/tmp/x', 'wb').write(bytes(3 << 20))",
    "fill-the-shared-memory": "open('/dev/shm/x', 'wb').write(bytes(3 << 20))",
    "raise-a-limit": "raised(resource.RLIMIT_NOFILE)",
}

PRELUDE = """
    import ctypes, os, platform, resource, socket, stat, sys

    bpf, add_key = (321, 248) if platform.machine() == "x86_64" else (280, 217)

    def call(name, *arguments):
        libc = ctypes.CDLL(None, use_errno=True)
        if getattr(libc, name)(*arguments) < 0:
            raise OSError(ctypes.get_errno(), name)

    def unless_empty(found):
        if not found:
            raise OSError("nothing of the host there")

    def readable(descriptor):
        try:
            return os.read(descriptor, 0) == b""
        except OSError:
            return False

    def raised(kind):
        try:
            resource.setrlimit(kind, (1 << 20, 1 << 20))
        except ValueError as error:
            raise OSError(str(error))

    open(sys.argv[2] + "/model.txt", "w").write("x")
    try:
        {attempt}
    except (OSError, StopIteration) as error:
        print("refused:", repr(error))
    else:
        print("ESCAPED")
"""


@pytest.fixture
def surroundings(secret: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the caller has that the training must not reach."""
    inherited = os.open(secret, os.O_RDONLY)
    os.set_inheritable(inherited, True)
    abstract = f"interlock-test-{os.getpid()}"
    # Not below the test's own folder, whose name may be longer than an address of a socket.
    unix_path = tmp_path_factory.mktemp("s") / "s"
    other = tmp_path / "other-run" / "rows.csv"
    other.parent.mkdir()
    other.write_text("a,label\n2,1\n")
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(type=socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as unix_file,
        subprocess.Popen(["/bin/sleep", "600"]) as process,
    ):
        udp.bind(("127.0.0.1", 0))
        udp.setblocking(False)
        unix.bind(f"\0{abstract}")
        unix.listen()
        unix_file.bind(os.fspath(unix_path))
        unix_file.listen()
        home, python = Path.home(), Path(sys.base_prefix)
        yield {
            "secret": secret,
            "other": other,
            "home": home,
            "shown": python.relative_to(home).parts[0] if home in python.parents else "",
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "udp_socket": udp,
            "abstract": abstract,
            "unix": unix_path,
            "pid": process.pid,
            "python": sys.prefix,
        }
        process.kill()
    os.close(inherited)


def attempt(name: str, surroundings: dict[str, Any]) -> str:
    text = ATTEMPTS[name].format(**surroundings)
    return textwrap.dedent(PRELUDE).replace("{attempt}", text)


def escaped(names: Iterable[str], surroundings: dict[str, Any], run_script: Any, sandbox: Sandbox) -> set[str]:
    """Which attempts succeed, all of them made by one run, each in a process of its own."""
    texts = {name: ATTEMPTS[name].format(**surroundings) for name in names}
    source = textwrap.dedent(PRELUDE).rpartition("try:")[0] + textwrap.dedent(f"""
        for name, text in {texts!r}.items():
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    exec(text)
                except (OSError, StopIteration):
                    status = 0
                os._exit(status)
            print(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    """)
    run: TrainingRun = run_script(source, sandbox=sandbox, limits=Limits(scratch_bytes=1 << 20, wall_seconds=60))
    assert not run.failed, run.log_tail
    statuses = dict(line.split(" ") for line in run.log_tail.splitlines() if line.count(" ") == 1)
    assert statuses.keys() == texts.keys(), run.log_tail
    assert set(statuses.values()) <= {"0", "1"}, run.log_tail
    return {name for name, status in statuses.items() if status == "1"}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_attempt_is_refused_in_bubblewrap(
    name: str, bwrap: BwrapSandbox, run_script: Any, surroundings: dict[str, Any]
) -> None:
    run: TrainingRun = run_script(
        attempt(name, surroundings), sandbox=bwrap, limits=Limits(scratch_bytes=1 << 20, wall_seconds=30)
    )
    assert "refused:" in run.log_tail, run.log_tail
    assert "ESCAPED" not in run.log_tail
    assert not run.failed


# What each version of Landlock's interface leaves open; from the sixth on, nothing of it.
OPEN_WITH_LANDLOCK = {abi: {"signal-a-process-of-the-host"} if abi < 6 else set() for abi in range(1, 8)}


@pytest.mark.parametrize("abi", OPEN_WITH_LANDLOCK)
def test_every_attempt_is_refused_by_landlock_and_the_filter(
    abi: int, landlock: LandlockSandbox, run_script: Any, surroundings: dict[str, Any]
) -> None:
    if abi > abi_version():
        pytest.skip(f"this kernel's Landlock has the ABI {abi_version()}")
    found = escaped(ATTEMPTS, surroundings, run_script, LandlockSandbox(abi))
    assert found == OPEN_WITH_LANDLOCK[abi]


OPEN_AT_RLIMITS = {
    "tcp-to-a-service-of-the-host",
    "abstract-socket-of-the-host",
    "socket-in-a-file-of-the-host",
    "read-the-signing-key",
    "read-the-data-of-another-run",
    "read-the-variables-of-a-process-of-the-host",
    "read-the-command-of-a-process-of-the-host",
    "list-the-home-folder",
    "list-sys",
    "list-run",
    "write-beside-the-output",
    "change-rights-of-the-data",
    "change-times-of-the-data",
    "signal-a-process-of-the-host",
    "limit-a-process-of-the-host",
}
OPEN_AT_RLIMITS_TO_ROOT = {
    "raw-socket",
    "packet-socket",
    "trace-a-process-of-the-host",
    "read-the-memory-of-a-process-of-the-host",
    "read-the-password-hashes",
    "make-a-network-namespace",
}


def test_the_same_attempts_succeed_at_the_weakest_level_so_they_are_real_ones(
    run_script: Any, surroundings: dict[str, Any]
) -> None:
    expected = OPEN_AT_RLIMITS | (OPEN_AT_RLIMITS_TO_ROOT if os.getuid() == 0 else set())
    assert escaped(expected, surroundings, run_script, RlimitsSandbox()) == expected


def test_a_datagram_to_the_host_does_not_arrive(
    confining_sandbox: Sandbox, run_script: Any, surroundings: dict[str, Any]
) -> None:
    source = f"""
        import contextlib, socket, sys
        with contextlib.suppress(PermissionError):
            socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", {surroundings["udp"]}))
        open(sys.argv[2] + "/model.txt", "w").write("x")
    """
    assert not run_script(source, sandbox=confining_sandbox).failed
    with pytest.raises(BlockingIOError):
        surroundings["udp_socket"].recv(1)
    assert not run_script(source, sandbox=RlimitsSandbox()).failed
    assert surroundings["udp_socket"].recv(1) == b"x"


def test_no_variable_and_no_path_of_the_caller_is_seen(
    bwrap: BwrapSandbox, run_script: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    run: TrainingRun = run_script(
        """
        import os, pathlib, sys
        print(dict(os.environ))
        for name in os.listdir("/proc"):
            if name.isdigit():
                for part in ("environ", "cmdline"):
                    print(pathlib.Path("/proc", name, part).read_bytes())
        open(sys.argv[2] + "/model.txt", "w").write("x")
        """,
        sandbox=bwrap,
    )
    assert not run.failed, run.log_tail
    assert "s3cr3t" not in run.log_tail
    assert str(tmp_path) not in run.log_tail


def test_no_variable_is_handed_over_at_the_weaker_level(run_script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    run: TrainingRun = run_script(
        "import os; print(dict(os.environ), open('/proc/self/environ').read())", sandbox=RlimitsSandbox()
    )
    assert "INTERLOCK_DATA" in run.log_tail
    assert "s3cr3t" not in run.log_tail


def test_loopback_inside_works_because_distributed_training_needs_it(bwrap: BwrapSandbox, run_script: Any) -> None:
    run: TrainingRun = run_script(
        """
        import socket, sys
        server = socket.create_server(("localhost", 0))
        socket.create_connection(server.getsockname())
        open(sys.argv[2] + "/model.txt", "w").write("x")
        """,
        sandbox=bwrap,
    )
    assert not run.failed, run.log_tail


def test_nothing_but_loopback_is_there(bwrap: BwrapSandbox, run_script: Any) -> None:
    run: TrainingRun = run_script("import socket; print('links', socket.if_nameindex())", sandbox=bwrap)
    assert "links [(1, 'lo')]" in run.log_tail


def test_the_code_has_no_capability_and_can_gain_none(confining_sandbox: Sandbox, run_script: Any) -> None:
    run: TrainingRun = run_script("print(open('/proc/self/status').read())", sandbox=confining_sandbox)
    status = dict(line.split(":\t", 1) for line in run.log_tail.splitlines() if ":\t" in line)
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


def test_no_level_lets_a_setuid_program_gain_anything(each_sandbox: Sandbox, run_script: Any) -> None:
    assert "NoNewPrivs:\t1" in run_script("print(open('/proc/self/status').read())", sandbox=each_sandbox).log_tail


def test_shared_memory_of_python_works_in_namespaces_only(
    bwrap: BwrapSandbox, landlock: LandlockSandbox, run_script: Any
) -> None:
    source = "import multiprocessing; multiprocessing.Lock(); print('made')"
    assert "made" in run_script(source, sandbox=bwrap).log_tail
    assert "PermissionError" in run_script(source, sandbox=landlock).log_tail


def test_names_and_sizes_outside_are_hidden_by_namespaces_only(
    bwrap: BwrapSandbox, landlock: LandlockSandbox, run_script: Any, secret: Path
) -> None:
    source = f"import os; print('bytes', os.stat({str(secret)!r}).st_size)"
    assert "FileNotFoundError" in run_script(source, sandbox=bwrap).log_tail
    assert f"bytes {secret.stat().st_size}" in run_script(source, sandbox=landlock).log_tail


def test_the_code_sees_its_own_processes_only(bwrap: BwrapSandbox, run_script: Any) -> None:
    run: TrainingRun = run_script(
        "import os; print('processes', len([n for n in os.listdir('/proc') if n.isdigit()]))", sandbox=bwrap
    )
    assert "processes 2" in run.log_tail


def test_a_folder_that_holds_the_home_folder_is_not_shown(
    confining_sandbox: Sandbox, run_script: Any, tmp_path: Path
) -> None:
    from interlock.gate import UsageError

    with pytest.raises(UsageError, match="too wide"):
        run_script("print(1)", sandbox=confining_sandbox, visible=[tmp_path])


def test_a_named_folder_is_shown_read_only(confining_sandbox: Sandbox, run_script: Any, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "vocabulary.txt").write_text("words")
    run: TrainingRun = run_script(
        f"""
        import sys
        print(open({str(tools / "vocabulary.txt")!r}).read())
        open({str(tools / "new")!r}, "w")
        """,
        sandbox=confining_sandbox,
        visible=[tools],
    )
    assert "words" in run.log_tail
    assert "Read-only file system" in run.log_tail or "Permission denied" in run.log_tail
    with suppress(FileNotFoundError):
        (tools / "new").unlink()
        pytest.fail("the folder was written")
