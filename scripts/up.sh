#!/bin/sh
# Starts the server, then takes the example agent through everything. Arguments go to `skep up`.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh
skep=.venv/bin/skep

# What comes after has to look where `skep up` was told to put everything.
before=
for argument in "$@"; do
    case "$before" in --data-dir) SKEP_DATA_DIR=$argument ;; esac
    case "$argument" in --data-dir=*) SKEP_DATA_DIR=${argument#--data-dir=} ;; esac
    before=$argument
done
where=
if [ -n "${SKEP_DATA_DIR:-}" ]; then
    export SKEP_DATA_DIR
    where="
  export SKEP_DATA_DIR=\"$SKEP_DATA_DIR\""
fi

step "starting Skep"
$skep up --detach "$@"

step "deploying examples/hello"
$skep deploy examples/hello --name hello

step "running it: skep run hello --input topic=bees"
$skep run hello --input topic=bees

cat >&2 <<EOF

${BOLD}Skep is up and has run its first agent.${PLAIN} Next:

  export PATH="$(pwd)/.venv/bin:\$PATH"$where
  skep run hello --input topic=hives     run it again
  skep runs                              what was run; skep output hello shows what it printed
  skep deploy ./your-agent               deploy a folder, or https://host/you/agent.git
  skep doctor                            which isolation is active, and what to mend
  make down                              stop the server
EOF
