"""Listens to the system calls of a job that its filter asks about: answers them, and counts what was refused.

Three kinds of answer (`interlock.training.seccomp.Verdict`). A refused call gets EPERM; so does everything that is not
understood, because EPERM is the answer unless another was found. A call that something else refuses by its path or
address is told on and then goes its way; it is only for the report that its argument is read from the job's memory,
which the job can change meanwhile (seccomp_unotify(2), "Caveats"): a namespace or Landlock decides about it, and the
worst that such a race gets is a wrong line in the report. A served call is done here, on the file that was opened here.

When this listener ends for whatever reason, its descriptor closes, and the kernel answers all that is asked with
ENOSYS: the job is not let through and does not hang. What stays unseen: attempts to read, calls that are refused by a
namespace only after the filter (a datagram sent by sendmsg, a connection to loopback), and the paths of a process that
makes its memory unreadable.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from interlock.training.attempts import ORDINARY, Caller, describe
from interlock.training.refusals import Kind, Refusal, Tally
from interlock.training.seccomp import Rule, Verdict, fitting, names_by_number
from interlock.training.syscalls import Machine

_NOTIFICATION = struct.Struct("=QIIiIQ6Q")  # struct seccomp_notif
_ANSWER = struct.Struct("=QqiI")  # struct seccomp_notif_resp
_RECEIVE, _SEND, _STILL_VALID = 0xC0502100, 0xC0182101, 0x40082102
_GO_ON = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
_PATIENCE = 5.0
_LONGEST_MESSAGE = 1 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What a listener goes by.

    Args:
        rules: Those that the job's filter was made from.
        machine: Whose numbers the calls have.
        writable: Folders and files that may be written, as the job sees them.
        serve: Does a served call and returns 0 or an error number; None where no rule asks for it.
    """

    rules: tuple[Rule, ...]
    machine: Machine
    writable: tuple[str, ...]
    serve: Callable[[Caller], int] | None = None


@dataclass(slots=True)
class Heard:
    """What came of it; complete once the listener has ended.

    Args:
        listening: Whether the kernel let somebody listen.
        unheard: Why nobody could; empty when somebody did, or when the job never came so far.
        unconfined: Why the job could not be confined, and so was not started; empty when it was.
        failed: Why the job's program could not be started; empty when it was.
        refused: What was refused, counted.
    """

    listening: bool = False
    unheard: str = ""
    unconfined: str = ""
    failed: str = ""
    refused: tuple[Refusal, ...] = field(default=())


class Listener:
    """A thread that listens from the start of a job to its end.

    Args:
        control: Socket over which `launcher` says what became of the filter; this object closes it.
        watch: What to go by.
    """

    def __init__(self, control: socket.socket, watch: Watch) -> None:
        self._control = control
        self._watch = watch
        self._names = names_by_number(watch.rules, watch.machine)
        self._tally = Tally()
        self._heard = Heard()
        self._stop, self._stopped = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="interlock-refusals", daemon=True)
        self._thread.start()

    def end(self) -> Heard:
        """Stop listening, once no process of the job is alive any more."""
        with suppress(OSError):
            os.write(self._stopped, b".")
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            self._heard.unheard = "the listener did not come to its end"
        os.close(self._stopped)
        if not self._heard.listening and not self._heard.unheard:
            self._heard.unheard = "the job ended before its filter was there"
        self._heard.refused = self._tally.refusals()
        return self._heard

    def _run(self) -> None:
        listeners: list[int] = []
        try:
            with self._control:
                while self._ready(self._control.fileno()) and self._told(listeners):
                    if listeners:
                        while self._ready(listeners[0]) & select.POLLIN:
                            self._answer(listeners[0])
        except Exception as error:  # noqa: BLE001 (the end of a thread: it goes into the report, which then counts nothing)
            self._heard.unheard = f"the listener failed: {error!r}"
        finally:
            for descriptor in (*listeners, self._stop):
                os.close(descriptor)

    def _ready(self, descriptor: int) -> int:
        """Wait until there is something on `descriptor`, by the bits of poll(2); none once the end has come."""
        eyes = select.poll()
        for one in (descriptor, self._stop):
            eyes.register(one, select.POLLIN)
        return dict(eyes.poll()).get(descriptor, 0)

    def _told(self, listeners: list[int]) -> bool:
        """Take one message of the launcher; False when it has no more to say."""
        message, descriptors, _, _ = socket.recv_fds(self._control, _LONGEST_MESSAGE, 1)
        listeners += descriptors
        word, _, reason = message.decode(errors="replace").partition(" ")
        if word == "heard":
            self._heard.listening = bool(descriptors)
        elif word == "unheard":
            self._heard.unheard = reason or "unknown"
        elif word == "unconfined":
            self._heard.unconfined = reason or "unknown"
        elif word == "failed":
            self._heard.failed = reason or "unknown"
        return bool(message)

    def _answer(self, descriptor: int) -> None:
        """Receive one call and answer it; ENOENT says that its process has gone or was interrupted meanwhile."""
        asked = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(descriptor, _RECEIVE, asked)
        except (FileNotFoundError, InterruptedError):
            return
        identity, pid, _, number, _, _, *arguments = _NOTIFICATION.unpack(asked)
        error, flags = errno.EPERM, 0
        try:
            error, flags = self._judged(descriptor, identity, pid, number, arguments)
        finally:
            with suppress(FileNotFoundError):
                fcntl.ioctl(descriptor, _SEND, bytearray(_ANSWER.pack(identity, 0, -error, flags)))

    def _judged(
        self, descriptor: int, identity: int, pid: int, number: int, arguments: Sequence[int]
    ) -> tuple[int, int]:
        """The error to answer with, 0 for success, and the answer's flags."""
        name = self._names.get(number, "")
        rule = fitting(self._watch.rules, name, arguments)
        if rule is None:
            self._tally.add(Kind.KERNEL, name or f"system call {number}")
            return errno.EPERM, 0
        caller = Caller(pid=pid, call=name, arguments=tuple(arguments))
        told = describe(caller, rule.kind, self._watch.writable)
        if rule.verdict is Verdict.TELL:
            answer, refused = (0, _GO_ON), told.outside
        elif rule.verdict is Verdict.SERVE:
            error = self._served(descriptor, identity, caller)
            answer, refused = (error, 0), error == errno.EPERM
        else:
            answer, refused = (errno.EPERM, 0), told.what not in ORDINARY
        if refused:
            self._tally.add(rule.kind, told.what)
        return answer

    def _served(self, descriptor: int, identity: int, caller: Caller) -> int:
        if self._watch.serve is None:
            return errno.EPERM
        try:
            # The number of a process that has ended may be another's by now.
            fcntl.ioctl(descriptor, _STILL_VALID, bytearray(struct.pack("=Q", identity)))
            return self._watch.serve(caller)
        except OSError as error:
            return error.errno or errno.EPERM
        except (OverflowError, ValueError, struct.error):
            # A time or a mode that nobody can set.
            return errno.EINVAL
