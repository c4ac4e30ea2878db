#!/usr/bin/env bash
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# installed.sh BIN: the collection as users get it. Built, installed elsewhere, and run from there, it finds its playbooks, roles,
# plugins and releases without the checkout; and it carries nothing that it does not need.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
export PATH=$1:$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset ANSIBLE_CONFIG ANSIBLE_COLLECTIONS_PATH
cp -r "$root/inventories/mixed" "$work/mixed"

# Only what is in the repository, or about to be: caches and state of the checkout are no part of it.
mkdir "$work/source"
git -C "$root" ls-files -z --cached --others --exclude-standard -- ':!.collections' \
  | python3 -c 'import os, sys; sys.stdout.write("".join(f + "\0" for f in sys.stdin.read().split("\0") if f and os.path.lexists(os.path.join(sys.argv[1], f))))' "$root" \
  | tar -C "$root" --null --files-from=- -cf - | tar -C "$work/source" -xf -
cd "$work"
ansible-galaxy collection build --output-path "$work" "$work/source"
ansible-galaxy collection install --offline --no-deps -p "$work/collections" "$work"/ascend-fleet-*.tar.gz
export ANSIBLE_COLLECTIONS_PATH=$work/collections

surplus=$(cd collections/ansible_collections/ascend/fleet && find . -mindepth 1 -maxdepth 1 \
  ! -name meta ! -name plugins ! -name roles ! -name playbooks ! -name LICENSE ! -name 'README*' ! -name 'CHANGELOG*' \
  ! -name changelogs ! -name MANIFEST.json ! -name FILES.json)
[ -z "$surplus" ] || { echo "the built collection carries what nobody needs: $surplus" >&2; exit 1; }

ansible-playbook -i mixed/hosts.yml ascend.fleet.validate
# All of them in one start of ansible-playbook.
mapfile -t names < <(basename -s .yml collections/ansible_collections/ascend/fleet/playbooks/*.yml)
ansible-playbook -i mixed/hosts.yml --syntax-check "${names[@]/#/ascend.fleet.}"
for kind in module filter lookup; do ansible-doc --type $kind --list ascend.fleet; done
