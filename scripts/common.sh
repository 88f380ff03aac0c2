# What the scripts share; sourced, never run. POSIX sh.

LEAST="3.11"
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

if [ -t 2 ] && [ -z "${NO_COLOR:-}" ]; then
    BOLD=$(printf '\033[1m') RED=$(printf '\033[31m') PLAIN=$(printf '\033[0m')
else
    BOLD='' RED='' PLAIN=''
fi

say() { printf '%s\n' "$*" >&2; }
step() { printf '%s==>%s %s\n' "$BOLD" "$PLAIN" "$*" >&2; }
fail() {
    printf '%serror:%s %s\n' "$RED" "$PLAIN" "$1" >&2
    shift
    for line in "$@"; do printf '       %s\n' "$line" >&2; done
    exit 1
}

# A name on PATH may be a shim that works in no folder but its own: only running it tells.
is_new_enough() {
    "$1" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# Prints the Python to use: $PYTHON if it is given, else the first that works and is new enough.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        if is_new_enough "$PYTHON"; then
            printf '%s\n' "$PYTHON"
            return 0
        fi
        fail "PYTHON=$PYTHON does not work or is older than $LEAST"
    fi
    for candidate in python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 && is_new_enough "$candidate"; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    found=$(python3 --version 2>&1 || true)
    fail "Skep needs Python $LEAST or newer; here is: ${found:-none}" \
        "install one, or name one: make setup PYTHON=/path/to/python3.12"
}
