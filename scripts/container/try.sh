#!/usr/bin/env bash
# Runs the steps of the Dockerfile in this folder, in order, on this machine: for a bare Debian or Ubuntu without
# Docker, such as a fresh debootstrap. Then it captions one image, as a user of the container would.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export DEBIAN_FRONTEND=noninteractive
sed -n 's/^RUN //p' scripts/container/Dockerfile | sed "s|/opt/retinue|$PWD|g; s|^ln -s |ln -sf |" |
  while IFS= read -r step; do
    echo "=== RUN $step"
    bash -euo pipefail -c "$step" </dev/null
  done
retinue ask --model configs/models/emoji-captioner --image "$(find configs/examples -name '*.png' | sort | head -n 1)"
