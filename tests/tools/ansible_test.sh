#!/usr/bin/env bash
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# ansible_test.sh KIND VENV PYTHON_VERSION WORK: ansible-test KIND (sanity or units) of the checkout, with the ansible-core of VENV.
#
# ansible-test accepts a collection only at .../ansible_collections/NAMESPACE/NAME and no symbolic link there, so the tracked and
# the new files are copied into WORK first. Its virtual environments are made with --venv and no container.
set -euo pipefail
kind=$1 venv=$(realpath "$2") version=$3 work=$4-$1-$3
root=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
mkdir -p "$work"
work=$(realpath "$work")
target=$work/ansible_collections/ascend/fleet
rm -rf "$target"
mkdir -p "$target"
git -C "$root" ls-files -z --cached --others --exclude-standard \
  | python3 -c 'import os, sys; sys.stdout.write("".join(f + "\0" for f in sys.stdin.read().split("\0") if f and not f.startswith(".collections/") and os.path.lexists(os.path.join(sys.argv[1], f))))' "$root" \
  | tar -C "$root" --null --files-from=- -cf - | tar -C "$target" -xf -
# ansible-test reads the list of files from git.
git -C "$target" init -q
git -C "$target" add -A -f .

# ansible-test fetches get-pip from a host that closed networks do not reach. pip comes with Python's own ensurepip.
export HOME=$work/home
mkdir -p "$HOME/.ansible/test/cache"
for v in 24_2 25_2 25_3; do
  cat > "$HOME/.ansible/test/cache/get_pip_$v.py" <<'PY'
import ensurepip
import runpy
import sys

ensurepip.bootstrap()
packages = [a for a in sys.argv[1:] if not a.startswith("-") and not a.startswith("pip")]
if packages:
    sys.argv = ["pip", "install", "--disable-pip-version-check", *packages]
    runpy.run_module("pip", run_name="__main__")
PY
done
# Version managers' shims abort ansible-test: the real interpreter goes first, the shims go.
interpreter=$("$venv/bin/python" -c 'import os, sys; print(os.path.dirname(os.path.realpath(sys.executable)))')
path=$venv/bin:$interpreter
IFS=: read -ra parts <<<"$PATH"
for p in "${parts[@]}"; do case $p in *shims*|"") ;; *) path=$path:$p ;; esac; done
export PATH=$path

cd "$target"
# How the unit tests are written is checked once, by the newer ansible-core; the older one checks what is installed, and
# leaves out the tests whose programs are the same files in both.
once=()
if [ "$version" = 3.11 ]; then
  once=(--exclude tests/unit/)
  for test in action-plugin-docs changelog empty-init line-endings no-assert no-get-exception no-illegal-filenames no-smart-quotes \
    replace-urlopen shebang symlinks use-argspec-type-path use-compat-six; do
    once+=(--skip-test "$test")
  done
fi
options=(--venv --python "$version" --color no)
case $kind in
  sanity) exec ansible-test sanity "${options[@]}" --exclude tests/sim/ --exclude tests/bench/ --exclude tests/load/ --exclude tests/unit/fixtures/ --exclude tests/tools/ --exclude molecule/ "${once[@]}" ;;
  # Two workers, on however few cores: the tests wait for processes and files as much as they compute.
  units)
    # What meets Ansible. The rest knows nothing of it; there a process for every test would show nothing more.
    meets=(tests/unit/plugins/{action,filter,modules,plugin_utils}/)
    ansible-test units "${options[@]}" --num-workers 2 "${meets[@]}"
    cd "$root"
    exec "$venv/bin/python" -m pytest tests/unit -q -n 2 -p no:cacheprovider "${meets[@]/#/--ignore=}"
    ;;
  *) echo "found $kind; needed sanity or units" >&2; exit 2 ;;
esac
