"""Numbers of the system calls that the filter names, on the two machines that it is built for.

Decides nothing: `interlock.training.seccomp` says what becomes of each. The numbers are the kernel's own tables
(``arch/x86/entry/syscalls/syscall_64.tbl`` and ``include/uapi/asm-generic/unistd.h``, which is arm64's); a test holds
them against the headers of the machine that it runs on.
"""

from __future__ import annotations

import platform
from enum import Enum
from types import MappingProxyType

from interlock.gate import UnavailableError


class Machine(Enum):
    """An ABI: its ``AUDIT_ARCH_*`` value (linux/audit.h), as seccomp shows it to the filter."""

    X86_64 = 0xC000003E
    AARCH64 = 0xC00000B7


def this_machine() -> Machine:
    """The ABI of this machine's own programs.

    Raises:
        UnavailableError: There is no table for it.
    """
    try:
        return Machine[platform.machine().upper()]
    except KeyError:
        where = platform.machine()
        step = "run the training on x86_64 or aarch64"
        raise UnavailableError("there is no system call filter for this machine", where=where, next_step=step) from None


def number(name: str, machine: Machine) -> int | None:
    """The number of the call `name` on `machine`; None when it has no such call."""
    return NUMBERS[name][0 if machine is Machine.X86_64 else 1]


NUMBERS = MappingProxyType(
    {
        "_sysctl": (156, None),
        "acct": (163, 89),
        "add_key": (248, 217),
        "bind": (49, 200),
        "bpf": (321, 280),
        "chmod": (90, None),
        "chown": (92, None),
        "chroot": (161, 51),
        "clock_settime": (227, 112),
        "clone": (56, 220),
        "clone3": (435, 435),
        "connect": (42, 203),
        "creat": (85, None),
        "create_module": (174, None),
        "delete_module": (176, 106),
        "fanotify_init": (300, 262),
        "fchmod": (91, 52),
        "fchmodat": (268, 53),
        "fchmodat2": (452, 452),
        "fchown": (93, 55),
        "fchownat": (260, 54),
        "file_setattr": (469, 469),
        "finit_module": (313, 273),
        "fremovexattr": (199, 16),
        "fsconfig": (431, 431),
        "fsetxattr": (190, 7),
        "fsmount": (432, 432),
        "fsopen": (430, 430),
        "fspick": (433, 433),
        "futimesat": (261, None),
        "get_kernel_syms": (177, None),
        "init_module": (175, 105),
        "io_uring_enter": (426, 426),
        "io_uring_register": (427, 427),
        "io_uring_setup": (425, 425),
        "ioctl": (16, 29),
        "ioperm": (173, None),
        "iopl": (172, None),
        "kcmp": (312, 272),
        "kexec_file_load": (320, 294),
        "kexec_load": (246, 104),
        "keyctl": (250, 219),
        "landlock_add_rule": (445, 445),
        "landlock_create_ruleset": (444, 444),
        "landlock_restrict_self": (446, 446),
        "lchown": (94, None),
        "link": (86, None),
        "linkat": (265, 37),
        "lookup_dcookie": (212, 18),
        "lremovexattr": (198, 15),
        "lsetxattr": (189, 6),
        "lsm_set_self_attr": (460, 460),
        "migrate_pages": (256, 238),
        "mkdir": (83, None),
        "mkdirat": (258, 34),
        "mknod": (133, None),
        "mknodat": (259, 33),
        "mount": (165, 40),
        "mount_setattr": (442, 442),
        "move_mount": (429, 429),
        "move_pages": (279, 239),
        "mq_open": (240, 180),
        "mq_unlink": (241, 181),
        "msgctl": (71, 187),
        "msgget": (68, 186),
        "msgrcv": (70, 188),
        "msgsnd": (69, 189),
        "nfsservctl": (180, 42),
        "open": (2, None),
        "open_by_handle_at": (304, 265),
        "open_tree": (428, 428),
        "open_tree_attr": (467, 467),
        "openat": (257, 56),
        "openat2": (437, 437),
        "perf_event_open": (298, 241),
        "personality": (135, 92),
        "pidfd_getfd": (438, 438),
        "pivot_root": (155, 41),
        "prlimit64": (302, 261),
        "process_madvise": (440, 440),
        "process_mrelease": (448, 448),
        "process_vm_readv": (310, 270),
        "process_vm_writev": (311, 271),
        "ptrace": (101, 117),
        "query_module": (178, None),
        "quotactl": (179, 60),
        "quotactl_fd": (443, 443),
        "reboot": (169, 142),
        "removexattr": (197, 14),
        "removexattrat": (466, 466),
        "rename": (82, None),
        "renameat": (264, 38),
        "renameat2": (316, 276),
        "request_key": (249, 218),
        "rmdir": (84, None),
        "seccomp": (317, 277),
        "semctl": (66, 191),
        "semget": (64, 190),
        "semop": (65, 193),
        "semtimedop": (220, 192),
        "sendto": (44, 206),
        "setdomainname": (171, 162),
        "setfsgid": (123, 152),
        "setfsuid": (122, 151),
        "setgid": (106, 144),
        "setgroups": (116, 159),
        "sethostname": (170, 161),
        "setns": (308, 268),
        "setregid": (114, 143),
        "setresgid": (119, 149),
        "setresuid": (117, 147),
        "setreuid": (113, 145),
        "settimeofday": (164, 170),
        "setuid": (105, 146),
        "setxattr": (188, 5),
        "setxattrat": (463, 463),
        "shmat": (30, 196),
        "shmctl": (31, 195),
        "shmget": (29, 194),
        "socket": (41, 198),
        "socketpair": (53, 199),
        "swapoff": (168, 225),
        "swapon": (167, 224),
        "symlink": (88, None),
        "symlinkat": (266, 36),
        "sysfs": (139, None),
        "syslog": (103, 116),
        "truncate": (76, 45),
        "umount2": (166, 39),
        "unlink": (87, None),
        "unlinkat": (263, 35),
        "unshare": (272, 97),
        "uselib": (134, None),
        "userfaultfd": (323, 282),
        "ustat": (136, None),
        "utime": (132, None),
        "utimensat": (280, 88),
        "utimes": (235, None),
        "vhangup": (153, 58),
        "vmsplice": (278, 75),
    }
)
"""Name to its number on x86_64 and on aarch64; None where the machine has no such call."""
