"""Which system calls training code is refused, at each level that has a filter, and the filter that says so.

The lists follow what container runtimes refuse a container without capabilities (Podman's and Docker's default
profile, github.com/containers/common ``pkg/seccomp/seccomp.json``), turned round: those profiles name what is allowed,
this one names what is refused and why, because training code of any framework has to run. It is stricter where training
needs less than a container: no io_uring, no key ring, no namespaces, sockets of four families only.

A refusal is EPERM, never a kill, so code that only tries falls back on something else. Where a supervisor listens, the
refused calls are asked of it (``SECCOMP_RET_USER_NOTIF``, seccomp_unotify(2)), so that the report can name them; see
`interlock.training.listener`. What the answer rests on are numbers in registers, which nobody can change meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from interlock.training.bpf import Outcome, Step, Where, assemble
from interlock.training.refusals import Kind
from interlock.training.syscalls import Machine, number

WRITING = 0x1 | 0x2 | 0x40 | 0x200
"""Flags of open(2) that ask for more than reading: O_WRONLY, O_RDWR, O_CREAT, O_TRUNC; the same on both machines."""

_O_ACCMODE, _O_TRUNC = 0x3, 0x200
_NAMESPACES = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_NEW_LISTENER = 0x8  # SECCOMP_FILTER_FLAG_NEW_LISTENER
_S_IFMT, _S_IFCHR, _S_IFBLK = 0xF000, 0x2000, 0x6000
_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_STREAM, _DATAGRAM, _SOCKET_TYPE = 1, 2, 0xF
_TCP, _UDP = 6, 17
# PER_LINUX, PER_LINUX32, UNAME26 and "which is it?", as the runtimes allow (setarch(8) and gdb ask for the others).
_PERSONALITIES = (0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
# TIOCSTI and TIOCLINUX type into a terminal (CVE-2017-5226); the others change attributes of a file that is only read.
_IOCTLS = (0x5412, 0x541C, 0x40086602, 0x401C5820)


class Verdict(Enum):
    """What becomes of a call."""

    ALLOW = "allow"
    REFUSE = "refuse"
    """EPERM, and reported where somebody listens."""
    TELL = "tell"
    """Allowed by the filter, and told to who listens: something else (a namespace, Landlock) refuses it by its path."""
    SERVE = "serve"
    """Done by who listens, if it may be; EPERM where nobody does."""
    FORBID = "forbid"
    """EPERM from the kernel itself, asked of nobody."""
    ABSENT = "absent"
    """ENOSYS, as from a kernel that has no such call."""
    UNSUPPORTED = "unsupported"
    """EOPNOTSUPP, as from a file system that cannot do it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Calls and what becomes of them.

    Args:
        names: System calls.
        verdict: What becomes of them.
        kind: What a refusal of them counts as.
        where: Conditions on the arguments, all of which hold for the rule to fit.
    """

    names: tuple[str, ...]
    verdict: Verdict
    kind: Kind = Kind.KERNEL
    where: tuple[Where, ...] = ()


class Confinement(Enum):
    """What stands behind the filter: namespaces, or the host's own file system and processes with Landlock."""

    NAMESPACES = "bwrap"
    LANDLOCK = "landlock+seccomp"


# The calls that end the program's ABI or the filter itself. clone3 hides its flags in memory; on ENOSYS the C libraries
# use clone (as in the runtimes' profiles). A second listener could answer for the first one (linux/seccomp.h).
_ALWAYS = (
    Rule(names=("clone3",), verdict=Verdict.ABSENT),
    Rule(
        names=("seccomp",),
        verdict=Verdict.FORBID,
        where=(Where(argument=1, mask=_NEW_LISTENER, among=(0,), inside=False),),
    ),
)

_OTHER_PROCESSES = Rule(
    names=(
        *("kcmp", "pidfd_getfd", "process_madvise", "process_mrelease", "process_vm_readv", "process_vm_writev"),
        *("ptrace", "setns", "unshare"),
    ),
    verdict=Verdict.REFUSE,
    kind=Kind.PROCESS,
)

_KERNEL = Rule(
    names=(
        # Loads code into the kernel, or measures it.
        *("bpf", "create_module", "delete_module", "finit_module", "get_kernel_syms", "init_module", "kexec_file_load"),
        *("kexec_load", "lookup_dcookie", "lsm_set_self_attr", "perf_event_open", "query_module", "uselib"),
        # Much of the kernel behind one call, and a history of its own; io_uring also passes by the filter.
        *("io_uring_enter", "io_uring_register", "io_uring_setup", "userfaultfd", "vmsplice"),
        *("add_key", "keyctl", "request_key"),
        # Changes what the file system shows.
        *("chroot", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount"),
        *("open_by_handle_at", "open_tree", "open_tree_attr", "pivot_root", "quotactl", "quotactl_fd", "umount2"),
        # Changes the machine.
        *("_sysctl", "acct", "clock_settime", "ioperm", "iopl", "migrate_pages", "move_pages", "nfsservctl", "reboot"),
        *("setdomainname", "sethostname", "settimeofday", "swapoff", "swapon", "sysfs", "syslog", "ustat", "vhangup"),
    ),
    verdict=Verdict.REFUSE,
)

_BY_ARGUMENT = (
    Rule(
        names=("clone",),
        verdict=Verdict.REFUSE,
        kind=Kind.PROCESS,
        where=(Where(argument=0, mask=_NAMESPACES, among=(0,), inside=False),),
    ),
    Rule(
        names=("personality",),
        verdict=Verdict.REFUSE,
        where=(Where(argument=0, among=_PERSONALITIES, inside=False),),
    ),
    Rule(names=("ioctl",), verdict=Verdict.REFUSE, where=(Where(argument=1, among=_IOCTLS),)),
    Rule(
        names=("mknod",),
        verdict=Verdict.REFUSE,
        kind=Kind.FILE,
        where=(Where(argument=1, mask=_S_IFMT, among=(_S_IFCHR, _S_IFBLK)),),
    ),
    Rule(
        names=("mknodat",),
        verdict=Verdict.REFUSE,
        kind=Kind.FILE,
        where=(Where(argument=2, mask=_S_IFMT, among=(_S_IFCHR, _S_IFBLK)),),
    ),
)

# In a network namespace with nothing but loopback, which distributed training on one machine uses.
_LOOPBACK = (
    Rule(names=("socket",), verdict=Verdict.ALLOW, where=(Where(argument=0, among=(_UNIX,)),)),
    Rule(
        names=("socket",),
        verdict=Verdict.ALLOW,
        where=(
            Where(argument=0, among=(_INET, _INET6)),
            Where(argument=1, mask=_SOCKET_TYPE, among=(_STREAM, _DATAGRAM)),
            Where(argument=2, among=(0, _TCP, _UDP)),
        ),
    ),
    Rule(
        names=("socket",),
        verdict=Verdict.ALLOW,
        where=(Where(argument=0, among=(_NETLINK,)), Where(argument=2, among=(0,))),  # NETLINK_ROUTE
    ),
    Rule(names=("socket",), verdict=Verdict.REFUSE, kind=Kind.NETWORK),
    Rule(names=("connect",), verdict=Verdict.TELL, kind=Kind.NETWORK),
    *(
        Rule(
            names=("sendto",),
            verdict=Verdict.TELL,
            kind=Kind.NETWORK,
            where=(Where(argument=4, among=(0,), inside=False, high=high),),
        )
        for high in (False, True)
    ),
)

# On the host's network, its sockets in files (another user's Docker or D-Bus) and its shared memory, all of which
# Landlock leaves open. The C library makes a stream socket to ask a name service cache; it gets no further. A pair of
# datagram sockets could still send to any address.
_NO_SOCKETS = (
    Rule(
        names=("socket",),
        verdict=Verdict.ALLOW,
        where=(
            Where(argument=0, among=(_UNIX,)),
            Where(argument=1, mask=_SOCKET_TYPE, among=(_STREAM,)),
        ),
    ),
    Rule(names=("socket", "connect", "bind"), verdict=Verdict.REFUSE, kind=Kind.NETWORK),
    Rule(
        names=("socketpair",),
        verdict=Verdict.REFUSE,
        kind=Kind.NETWORK,
        where=(Where(argument=1, mask=_SOCKET_TYPE, among=(_DATAGRAM,)),),
    ),
    Rule(
        names=(
            *("mq_open", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd", "semctl", "semget", "semop"),
            *("semtimedop", "shmat", "shmctl", "shmget"),
        ),
        verdict=Verdict.REFUSE,
        kind=Kind.PROCESS,
    ),
    Rule(
        names=("prlimit64",),
        verdict=Verdict.REFUSE,
        kind=Kind.PROCESS,
        where=(Where(argument=0, among=(0,), inside=False),),
    ),
)

# What Landlock does not restrict (landlock(7), "Current limitations"): rights, owners and times of files of the same
# user. Rights and times are changed by who listens, in the folders that may be written; extended attributes and owners
# by nobody. O_TRUNC without writing would empty files before Landlock's third ABI.
_ATTRIBUTES = (
    Rule(
        names=("chmod", "fchmod", "fchmodat", "fchmodat2", "utimensat"),
        verdict=Verdict.SERVE,
        kind=Kind.FILE,
    ),
    Rule(
        names=("chown", "fchown", "fchownat", "file_setattr", "futimesat", "lchown", "utime", "utimes"),
        verdict=Verdict.REFUSE,
        kind=Kind.FILE,
    ),
    Rule(
        names=(
            *("fremovexattr", "fsetxattr", "lremovexattr", "lsetxattr", "removexattr", "removexattrat"),
            *("setxattr", "setxattrat"),
        ),
        verdict=Verdict.UNSUPPORTED,
    ),
    Rule(
        names=("open",),
        verdict=Verdict.REFUSE,
        kind=Kind.FILE,
        where=(Where(argument=1, mask=_O_ACCMODE | _O_TRUNC, among=(_O_TRUNC,)),),
    ),
    Rule(
        names=("openat",),
        verdict=Verdict.REFUSE,
        kind=Kind.FILE,
        where=(Where(argument=2, mask=_O_ACCMODE | _O_TRUNC, among=(_O_TRUNC,)),),
    ),
    # The program may become nobody else; as the user that it is, it owns what Landlock keeps it from.
    Rule(
        names=(
            *("setfsgid", "setfsuid", "setgid", "setgroups", "setregid", "setresgid", "setresuid", "setreuid"),
            "setuid",
        ),
        verdict=Verdict.REFUSE,
    ),
)

_TRUNCATE = Rule(names=("truncate",), verdict=Verdict.REFUSE, kind=Kind.FILE)
# openat2 has its flags in memory, where the filter cannot see them.
_OPEN_WITH_STRUCTURE = Rule(names=("openat2",), verdict=Verdict.ABSENT)

_CHANGES = (
    Rule(
        names=("open",),
        verdict=Verdict.TELL,
        kind=Kind.FILE,
        where=(Where(argument=1, mask=WRITING, among=(0,), inside=False),),
    ),
    Rule(
        names=("openat",),
        verdict=Verdict.TELL,
        kind=Kind.FILE,
        where=(Where(argument=2, mask=WRITING, among=(0,), inside=False),),
    ),
    Rule(
        names=(
            *("chmod", "creat", "fchmodat", "fchmodat2", "link", "linkat", "mkdir", "mkdirat", "rename", "renameat"),
            *("renameat2", "rmdir", "symlink", "symlinkat", "truncate", "unlink", "unlinkat"),
        ),
        verdict=Verdict.TELL,
        kind=Kind.FILE,
    ),
)


def rules(confinement: Confinement, *, landlock: int = 0) -> tuple[Rule, ...]:
    """What becomes of each call; the first rule that fits decides, and what none fits is allowed.

    Args:
        confinement: What stands behind the filter.
        landlock: The version of Landlock's ABI, where Landlock does.
    """
    common = (*_ALWAYS, _OTHER_PROCESSES, _KERNEL, *_BY_ARGUMENT)
    if confinement is Confinement.NAMESPACES:
        return (*common, *_LOOPBACK, *_CHANGES)
    old = (_TRUNCATE, _OPEN_WITH_STRUCTURE) if landlock < 3 else ()
    return (*common, *_NO_SOCKETS, *_ATTRIBUTES, *old, *_CHANGES)


def fitting(rules: Sequence[Rule], call: str, arguments: Sequence[int]) -> Rule | None:
    """The rule that decides on `call`; None when it is allowed because no rule fits.

    Args:
        rules: In their order.
        call: Name of the system call.
        arguments: Its six arguments, unsigned, as the registers held them.
    """
    return next(
        (rule for rule in rules if call in rule.names and all(test.holds(arguments) for test in rule.where)), None
    )


_UNHEARD = {
    Verdict.ALLOW: Outcome.ALLOW,
    Verdict.REFUSE: Outcome.EPERM,
    Verdict.TELL: Outcome.ALLOW,
    Verdict.SERVE: Outcome.EPERM,
    Verdict.FORBID: Outcome.EPERM,
    Verdict.ABSENT: Outcome.ENOSYS,
    Verdict.UNSUPPORTED: Outcome.EOPNOTSUPP,
}
_HEARD = _UNHEARD | dict.fromkeys((Verdict.REFUSE, Verdict.TELL, Verdict.SERVE), Outcome.NOTIFY)


def outcome(rule: Rule | None, *, heard: bool) -> Outcome:
    """What the kernel does where `rule` fits.

    Args:
        rule: The rule, or None for a call that none fits.
        heard: Whether somebody listens.
    """
    return Outcome.ALLOW if rule is None else (_HEARD if heard else _UNHEARD)[rule.verdict]


def program(rules: Sequence[Rule], machine: Machine, *, heard: bool) -> bytes:
    """The filter of `rules`.

    Args:
        rules: In their order.
        machine: For which ABI.
        heard: Whether a supervisor listens; the filter refuses the same calls either way.
    """
    steps = [Step(names=rule.names, outcome=outcome(rule, heard=heard), where=rule.where) for rule in rules]
    return assemble(steps, machine)


def names_by_number(rules: Sequence[Rule], machine: Machine) -> dict[int, str]:
    """The calls that `rules` speak of, by their number on `machine`."""
    named = {name for rule in rules for name in rule.names}
    return {found: name for name in named if (found := number(name, machine)) is not None}
