#!/usr/bin/env bash
# Install certpin from this clone into a new environment, with locked dependencies only: each has the
# version and the hash of requirements/. For CI: the action, and examples/ci/gitlab.yml.
#
#   scripts/install_locked.sh ENVIRONMENT [PYTHON]
set -euo pipefail

environment=${1:?usage: scripts/install_locked.sh ENVIRONMENT [PYTHON]}
python=${2:-python3}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "error: certpin needs Python 3.11 or newer, and $python is none" >&2
  echo "  fix: install one first, for example with actions/setup-python" >&2
  exit 2
fi
"$python" -m venv "$environment"
pip=("$environment/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps)
"${pip[@]}" --require-hashes --only-binary :all: -r "$here/requirements/build.txt"
"${pip[@]}" --require-hashes --only-binary :all: -r "$here/requirements/action.txt"
"${pip[@]}" --no-index --no-build-isolation "$here"
"$environment/bin/certpin" --version
