#!/bin/sh
# Installs what is missing and nothing else: system packages by apt-get, then .venv from the lock.
#
#   sh scripts/setup.sh run    what the server needs
#   sh scripts/setup.sh dev    what tests and checks need, too
#
# Told again with nothing missing, it changes nothing and calls no package manager.
set -eu
umask 022 # the server, an ordinary user, reads this code
cd "$(dirname "$0")/.."
. scripts/common.sh

WHAT=${1:-run}
STAMP=.venv/.skep-synced

missing_packages() {
    [ -x /usr/bin/python3 ] || echo python3 # sandboxes run the machine's own Python
    command -v runc >/dev/null 2>&1 || echo runc
    command -v mke2fs >/dev/null 2>&1 || echo e2fsprogs # sandboxes' disks
    command -v git >/dev/null 2>&1 || echo git
    command -v ssh >/dev/null 2>&1 || echo openssh-client # repositories by ssh; sandboxes use the machine's own
    [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
    [ "$WHAT" != dev ] || [ -x /usr/sbin/sshd ] || echo openssh-server # the tests deploy from one of their own
    [ "$WHAT" != dev ] || command -v curl >/dev/null 2>&1 || echo curl # the pages' examples are run
    if [ ! -x .venv/bin/uv ]; then
        "$1" -I -c 'import ensurepip, venv' >/dev/null 2>&1 || echo python3-venv
    fi
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n -- "$@"; fi
}

install_packages() {
    command -v apt-get >/dev/null 2>&1 ||
        fail "some system packages are missing: $*" "install them with your package manager, then try again"
    if [ "$(id -u)" != 0 ] && ! sudo -n true >/dev/null 2>&1; then
        fail "some system packages are missing, and there is no password-less sudo; type:" "" \
            "sudo apt-get update && sudo apt-get install -y --no-install-recommends $*" ""
    fi
    step "installing system packages: $*"
    quick="-y --no-install-recommends"
    # Package lists may be absent or old; they are fetched only when that is so.
    ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || as_root apt-get update
    # What is installed for the tests (sshd) is not to serve anybody: no service is started.
    policy=/usr/sbin/policy-rc.d
    if [ -e $policy ]; then policy=; else printf '#!/bin/sh\nexit 101\n' | as_root install -m 755 /dev/stdin $policy; fi
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install $quick "$@" ||
        { as_root apt-get update && as_root env DEBIAN_FRONTEND=noninteractive apt-get install $quick "$@"; } ||
        failed=yes
    [ -z "$policy" ] || as_root rm -f $policy
    [ -z "${failed:-}" ] || fail "the packages could not be installed: $*"
}

# Prints the uv of the lock as a requirements line with all its hashes.
pinned_uv() {
    awk '
        /^\[\[package\]\]/ { wanted = 0 }
        /^name = "uv"$/ { wanted = 1 }
        wanted && /^version = / { gsub(/"/, "", $3); printf "uv==%s", $3 }
        wanted && match($0, /sha256:[0-9a-f]+/) { printf " --hash=%s", substr($0, RSTART, RLENGTH) }
        END { print "" }
    ' uv.lock
}

make_venv() {
    if [ ! -x .venv/bin/python ] || ! is_new_enough .venv/bin/python; then
        step "making .venv with $("$1" --version 2>&1)"
        rm -rf .venv
        "$1" -m venv .venv || fail "the virtual environment could not be made with $1"
    fi
    wanted=$(pinned_uv)
    version=${wanted%% *}
    version=${version#uv==}
    case "$(.venv/bin/uv --version 2>/dev/null || true)" in
    "uv $version" | "uv $version "*) return 0 ;;
    esac
    step "installing uv $version"
    .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null
    printf '%s\n' "$wanted" >.venv/uv.txt
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .venv/uv.txt ||
        fail "uv could not be installed from the package index"
}

state() {
    cat uv.lock pyproject.toml | cksum
    .venv/bin/python --version
    pwd
    echo "$1"
}

sync_venv() {
    # What was synced for the tests serves the server as well.
    if [ -f "$STAMP" ]; then
        kept=$(cat "$STAMP")
        [ "$kept" = "$(state dev)" ] && return 0
        [ "$kept" = "$(state "$WHAT")" ] && return 0
    fi
    rm -f "$STAMP"
    if [ "$WHAT" = dev ]; then groups=--all-groups; else groups=--no-dev; fi
    step "installing Python packages from uv.lock"
    unset VIRTUAL_ENV
    UV_PROJECT_ENVIRONMENT=.venv UV_PYTHON_DOWNLOADS=never .venv/bin/uv sync --frozen $groups --compile-bytecode \
        --python .venv/bin/python || fail "the Python packages could not be installed"
    state "$WHAT" >"$STAMP"
}

case "$(uname -s)" in
Linux) ;;
*) fail "Skep makes sandboxes of the Linux kernel; on other systems run it in a Linux VM (WSL2, Lima, UTM)" ;;
esac

PYTHON=$(find_python)
# shellcheck disable=SC2046
set -- $(missing_packages "$PYTHON")
if [ $# -gt 0 ]; then
    install_packages "$@"
    PYTHON=$(find_python)
fi
make_venv "$PYTHON"
sync_venv
# The server may not write here, so it would compile its code at each start.
.venv/bin/python -m compileall -q src
