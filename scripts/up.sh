#!/bin/sh
# Starts the server, then takes the example agent through everything. Arguments go to `skep up`.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh
skep=.venv/bin/skep

step "starting Skep"
$skep up --detach "$@"

step "deploying examples/hello"
$skep deploy examples/hello --name hello

step "running it: skep run hello --input topic=bees"
$skep run hello --input topic=bees

cat >&2 <<EOF

${BOLD}Skep is up and has run its first agent.${PLAIN} Next:

  export PATH="$(pwd)/.venv/bin:\$PATH"
  skep run hello --input topic=hives     run it again
  skep runs                              what was run; skep output hello shows what it printed
  skep deploy ./your-agent               deploy a folder, or https://host/you/agent.git
  skep doctor                            which isolation is active, and what to mend
  make down                              stop the server
EOF
