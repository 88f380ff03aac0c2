"""The system calls that a sandbox may make: what is not named here fails with EPERM. Pure.

In the spirit of Docker's default profile, but narrower: only the machine's own architecture (no 32-bit doors), only
sockets of four families, no new namespaces, no ptrace, no io_uring, no keys. Calls that only one of the architectures
has are named as well; the runtime passes over names that the machine does not know.
"""

from typing import Any, Final

_ENOSYS: Final = 38
_EPERM: Final = 1
#: CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET.
_NEW_NAMESPACES: Final = 0x7E020000
_AF_UNIX: Final = 1
_AF_INET: Final = 2
_AF_INET6: Final = 10
_AF_NETLINK: Final = 16
_NETLINK_ROUTE: Final = 0
#: PER_LINUX, with or without UNAME26 and ADDR_NO_RANDOMIZE, and the query.
_PERSONALITIES: Final = (0x0, 0x40000, 0x20000, 0xFFFFFFFF)

_FILES: Final = """
    access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
    fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fremovexattr
    fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch
    inotify_init inotify_init1 inotify_rm_watch ioctl lchown lgetxattr link linkat listxattr listxattrat llistxattr
    lremovexattr lseek lsetxattr lstat mkdir mkdirat mknod mknodat newfstatat open openat openat2 pread64 preadv preadv2
    pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr removexattrat rename renameat
    renameat2 rmdir sendfile setxattr setxattrat splice stat statfs statx symlink symlinkat sync sync_file_range syncfs
    tee truncate umask unlink unlinkat utime utimensat utimes vmsplice write writev
"""
_MEMORY: Final = """
    brk cachestat madvise map_shadow_stack membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect mremap
    mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages
"""
_PROCESSES: Final = """
    arch_prctl capget capset execve execveat exit exit_group fork get_robust_list getcpu getegid geteuid getgid
    getgroups getpgid getpgrp getpid getppid getpriority getresgid getresuid getrlimit getrusage getsid gettid getuid
    ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self pause pidfd_open
    pidfd_send_signal prctl prlimit64 process_mrelease restart_syscall riscv_flush_icache rseq sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp set_robust_list
    set_tid_address setfsgid setfsuid setgid setgroups setpgid setpriority setregid setresgid setresuid setreuid
    setrlimit setsid setuid sysinfo tgkill tkill uname vfork wait4 waitid
"""
_SIGNALS_AND_TIME: Final = """
    adjtimex alarm clock_adjtime clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_tgsigqueueinfo setitimer sigaltstack signalfd signalfd4 time timer_create timer_delete timer_getoverrun
    timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times
"""
_WAITING: Final = """
    epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 futex futex_requeue
    futex_wait futex_waitv futex_wake getrandom io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit poll
    ppoll pselect6 select
"""
_TALKING: Final = """
    accept accept4 bind connect getpeername getsockname getsockopt listen mq_getsetattr mq_notify mq_open
    mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd pipe pipe2 recvfrom recvmmsg recvmsg semctl
    semget semop semtimedop sendmmsg sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown
"""

#: Never allowed, whatever else is changed here; `clone3`, `clone`, `socket` have rules of their own.
DENIED: Final = """
    acct add_key bpf chroot clock_settime delete_module fanotify_init finit_module fsconfig fsmount fsopen fspick
    init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl
    lookup_dcookie mount mount_setattr move_mount name_to_handle_at open_by_handle_at open_tree perf_event_open
    pidfd_getfd pivot_root process_madvise process_vm_readv process_vm_writev ptrace quotactl quotactl_fd reboot
    request_key setdomainname sethostname setns settimeofday swapoff swapon syslog umount umount2 unshare userfaultfd
    vhangup
"""

_ARCHITECTURES: Final = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64", "riscv64": "SCMP_ARCH_RISCV64"}


def supported(machine: str) -> bool:
    """Tell whether there is a profile for this architecture (`uname -m`)."""
    return machine in _ARCHITECTURES


def _allow(names: list[str], *args: dict[str, Any]) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": names, "action": "SCMP_ACT_ALLOW"}
    if args:
        rule["args"] = list(args)
    return rule


def _equal(index: int, value: int) -> dict[str, Any]:
    return {"index": index, "value": value, "op": "SCMP_CMP_EQ"}


def profile(machine: str) -> dict[str, Any]:
    """Return the `linux.seccomp` value of an OCI configuration for the architecture *machine*."""
    groups = (_FILES, _MEMORY, _PROCESSES, _SIGNALS_AND_TIME, _WAITING, _TALKING)
    plain: list[str] = sorted(name for group in groups for name in group.split())
    no_new_namespace = {"index": 0, "value": _NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _EPERM,
        "architectures": [_ARCHITECTURES[machine]],
        "syscalls": [
            _allow(plain),
            _allow(["clone"], no_new_namespace),
            # The C library falls back to clone, whose flags can be looked at.
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS},
            *(_allow(["socket"], _equal(0, family)) for family in (_AF_UNIX, _AF_INET, _AF_INET6)),
            _allow(["socket"], _equal(0, _AF_NETLINK), _equal(2, _NETLINK_ROUTE)),
            _allow(["socketpair"], _equal(0, _AF_UNIX)),
            *(_allow(["personality"], _equal(0, value)) for value in _PERSONALITIES),
        ],
    }
