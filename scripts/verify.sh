#!/bin/sh
# Says whether this machine has what Skep needs, and whether the running server is all right.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh

bad=0
check() {
    name=$1
    shift
    if found=$("$@" 2>&1); then
        printf '  ok       %-12s %s\n' "$name" "$(printf '%s\n' "$found" | head -n 1)"
    else
        printf '  %smissing%s  %s\n' "$RED" "$PLAIN" "$name"
        bad=1
    fi
}

listed() { grep -w -m 1 "$1" "$2"; }

check kernel uname -r
check python .venv/bin/python --version
check skep .venv/bin/skep version
check uv .venv/bin/uv --version
check git git --version
check runc runc --version
check mke2fs mke2fs -V
check overlay listed overlay /proc/filesystems
check userns ls /proc/self/ns/user
[ -e /dev/loop-control ] || say "  note     no loop devices: the disks of sandboxes are held in memory"
[ "$bad" = 0 ] || fail "something is missing" "make setup installs it"

if .venv/bin/skep version --json | grep -q '"server": null'; then
    say "no server runs here; start one with: make up"
else
    .venv/bin/skep doctor
fi
