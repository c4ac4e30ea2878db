#!/usr/bin/python
# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lfs_artifact
short_description: Keep named files of a git-lfs repository on a host, complete and verified
version_added: 0.1.0
author: ascend.fleet contributors (@ascend-fleet)
description:
  - Brings named files of a git-lfs repository into a folder, with the C(git) and C(git-lfs) of the host.
    Nothing else of the repository is downloaded, neither large files nor small ones nor history.
  - Before anything large is downloaded, hash and size of every file are read from its pointer, so that a file system
    that is too small is reported first.
  - An interrupted download goes on where it stopped. C(git-lfs) itself starts from zero after a kill, as it leaves its
    unfinished bytes under a name that it does not look for; this module gives them the right name.
  - Every file is compared with its SHA-256 once. Size, time and inode are remembered then, so that the next run reads
    nothing and asks the network nothing.
  - A file exists once on the disk, as the object of C(git-lfs) and the file in the folder are two names of it.
  - Files that are in the folder already, for example copied by hand onto a host without a network, are hashed and
    adopted instead of being downloaded.
  - What it brought can be handed on. A folder with O(store) set is served to others by any web server that answers
    range requests, and they take from it with O(sources), by the same hashes, without C(git) or C(git-lfs).
requirements:
  - git 2.25 or newer and git-lfs on the host, where the origin is asked
options:
  repository:
    description:
      - URL of the git repository. It must not carry a user name or a token; see O(token_file).
    type: str
    required: true
  identity:
    description:
      - Path of the repository without host and C(.git), which identifies it wherever it is taken from. Two repositories
        share neither a folder nor an entry of a store.
      - By default the path in O(repository). Needed where O(repository) leads to a copy under another path, like
        C(https://mirror.example/lfs/Qwen-AI/Qwen3.5-27B.git).
    type: str
  revision:
    description:
      - Branch, tag or full commit hash.
      - A host stays at the commit it first saw under this name until O(refresh) is set.
    type: str
    default: main
  commit:
    description:
      - The full commit hash that O(revision) is held to, as the lock of a release has it. The revision is then only the
        name under which folder and request are kept, and O(refresh) does not move it.
      - A source that holds another commit is passed over.
      - With O(layout=model) and no O(store), where O(dest) holds another commit, these files have a folder of their
        own beside it, O(dest) with C(@) and the first 12 digits of the commit behind it. RV(dest) says so. Engines read
        what is in O(dest), and a rollback needs it. Files that are the same get a second name and are not downloaded.
    type: str
  dest:
    description:
      - Folder for the files. The repository itself is kept in C(.git) therein.
      - It belongs to one repository. One with files of another repository is an error.
    type: path
    required: true
  former_dest:
    description:
      - Folder in which version 0.1 of this collection kept the same. Where it is proven to hold this repository, and
        O(dest) holds nothing yet, it is used instead of O(dest), and RV(dest) says so. It is never moved.
    type: path
  adopt:
    description:
      - Folders on the host in which files of the repository may lie already, under the same paths, such as a clone made
        by hand.
      - A file there whose SHA-256 is right gets a second name in O(dest) and is not downloaded. It stays where it is.
        On another file system it is copied.
    type: list
    elements: path
    default: []
  paths:
    description:
      - The files wanted, as paths or patterns. A pattern without a slash is a file name in any folder, V(*) and V(?)
        stay within a folder, V(**) crosses folders, and the name of a folder stands for everything in it.
      - A path or pattern that names nothing is an error.
    type: list
    elements: str
    default: ['*']
  exclude:
    description:
      - Files not wanted, in the same form.
    type: list
    elements: str
    default: []
  checksums:
    description:
      - Pinned SHA-256 by path. A pointer that says another hash is an error before anything is downloaded.
    type: dict
    default: {}
  layout:
    description:
      - With V(model) the files together must be a complete model, which is every shard that
        C(model.safetensors.index.json) names, the configuration and a tokenizer. What is missing is said before the
        first shard is downloaded.
    type: str
    choices: [files, model]
    default: files
  ca_path:
    description:
      - File or folder on the host with the certificate authority that signed the origin's certificate. There is no way
        to switch the checking of certificates off.
    type: path
  sources_ca_path:
    description:
      - File or folder on the host with the certificate authority of O(sources). To share, C(aria2c) needs a file.
    type: path
  token_file:
    description:
      - File on the host, readable by its owner only, whose first line is the token for the origin.
        It is given to C(git) and C(git-lfs) by a credential helper, never in a command line or a URL, and only to this
        origin.
    type: path
  token_user:
    description:
      - User name that goes with the token.
    type: str
    default: oauth2
  sources:
    description:
      - Stores to take the files from, tried in this order before the origin. Each is a URL (V(http) or V(https)) or an
        absolute path on the host.
      - One that does not answer, does not have the files, has other ones, or breaks off without getting further is
        passed over, and what it brought is kept.
      - A store is asked directly, never through a proxy.
    type: list
    elements: str
    default: []
  origin_fallback:
    description:
      - Ask the origin when no source gives the files.
    type: bool
    default: true
  store:
    description:
      - Folder in which to publish the files for others, by their hashes. On the file system of O(dest) they are further
        names of the same bytes, elsewhere copies.
    type: path
  share:
    description:
      - Publish in O(store) also what other hosts need to share the files among each other.
    type: bool
    default: false
  trackers:
    description:
      - Announce URLs of BitTorrent trackers, the preferred one first. With one, files that a source of O(sources)
        shares (O(share)) come from it and from other hosts that fetch the same at the time, by C(aria2c) in a systemd
        unit without rights. None, or no C(aria2c), and they come from the source alone.
    type: list
    elements: str
    default: []
  swarm_ports:
    description:
      - TCP ports on which to answer other hosts. One is used while fetching and, for O(seed_minutes), one for each
        folder that was brought.
    type: str
    default: 6881-6889
  seed_minutes:
    description:
      - Minutes for which what came with O(trackers) is given to others afterwards. V(0) for not at all.
    type: int
    default: 30
  bundle:
    description:
      - Store on the controller. What the host lacks is copied from there over the connection, resumable, and neither
        O(sources) nor the origin is asked.
    type: str
  refresh:
    description:
      - Ask the origin what O(revision) is now, and follow it when it has moved.
      - Files that it has no longer are removed.
    type: bool
    default: false
  rehash:
    description:
      - Read and hash every file again, whatever is remembered of it.
    type: bool
    default: false
  retries:
    description:
      - How often to try again without getting any further. As long as every attempt brings something the number does
        not matter.
    type: int
    default: 5
  timeout:
    description:
      - Seconds for everything together, whoever gives the files. What arrived by then is kept, and the next run goes on
        from there.
    type: int
    default: 86400
  lock_timeout:
    description:
      - Seconds to wait for another run that works on the same folder, or for a C(git-lfs) that survived one,
        counted from the last time that it brought something.
    type: int
    default: 600
  title:
    description:
      - What the controller's lines call the transfer, in a word or two. By default the repository's name.
    type: str
attributes:
  check_mode:
    description: >-
      The pointers are read from the origin into a temporary folder, so that the bytes to download are exact. Where
      C(git) is not installed yet, RV(known) is V(false).
    support: full
  diff_mode:
    description: Shows hash, size and path of the files, as they are and as they will be.
    support: full
extends_documentation_fragment:
  - ascend.fleet.detached
"""

EXAMPLES = r"""
- name: Bring one image archive out of a repository of hundreds of gigabytes
  ascend.fleet.lfs_artifact:
    repository: https://modelers.cn/Eco-Tech/Qwen3.5-397B-A17B-w8a8-mtp.git
    dest: /var/lib/ascend-fleet/repositories/Eco-Tech--Qwen3.5-397B-A17B-w8a8-mtp
    paths:
      - vllm-image/Vllm-ascend-Qwen3_5-A2-Ubuntu-v0.tar

- name: Bring the weights of a model, all of them
  ascend.fleet.lfs_artifact:
    repository: https://modelers.cn/Qwen-AI/Qwen3.5-27B.git
    dest: /var/lib/ascend-fleet/models/Qwen3.5-27B
    layout: model
    exclude: ['*.png', README.md]

- name: The same from a mirror with its own certificate authority and a token
  ascend.fleet.lfs_artifact:
    repository: https://mirror.example/Qwen-AI/Qwen3.5-27B.git
    dest: /var/lib/ascend-fleet/models/Qwen3.5-27B
    layout: model
    ca_path: /etc/ascend-fleet/mirror-ca.pem
    token_file: /etc/ascend-fleet/mirror-token
"""

RETURN = r"""
commit:
  description: The commit the files are of.
  returned: when it is known
  type: str
  sample: 9f3c0f6a1f0a4e1e2b9d5d3d6c0f7b8a9e1c2d3f
moved_from:
  description: The commit this host had before, when O(refresh) found that the revision has moved.
  returned: when it moved
  type: str
  sample: 1d2c3b4a5968778695a4b3c2d1e0f00112233445
content:
  description: Identifies the files together. It changes exactly when a name or a byte of them does.
  returned: when the files are known
  type: str
  sample: 0b7d3c9d8d1c6f1e6a3b0e7d2c6a5f4e3d2c1b0a99887766554433221100ffee
source:
  description: Who gave the files, a source or the repository.
  returned: when it was looked for
  type: str
  sample: http://mirror.example:8008
missing:
  description: The files that were not in place when the run began.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: Path in the repository.
      type: str
      sample: model-00001-of-00011.safetensors
    oid:
      description: SHA-256 of the content.
      type: str
      sample: 5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef
    size:
      description: Bytes.
      type: int
      sample: 4995000000
    lfs:
      description: Whether the file lies behind a git-lfs pointer.
      type: bool
      sample: true
dest:
  description: The folder of the files, O(dest) or O(former_dest).
  returned: always
  type: str
  sample: /var/lib/ascend-fleet/models/Qwen3.5-27B
removed:
  description: Paths that the commit before had and this one has not, and that no other request of the folder names.
  returned: always
  type: list
  elements: str
  sample: []
request:
  description: Identifies what was asked for, whatever it turned out to be. M(ascend.fleet.artifact_prune) takes it.
  returned: always
  type: str
  sample: 4f1c9f5b8c0e2a7d6b3f0e9d8c7b6a51
files:
  description: The files asked for.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: Path in the repository.
      type: str
      sample: model-00001-of-00011.safetensors
    file:
      description: Absolute path on the host.
      type: str
      sample: /var/lib/ascend-fleet/models/Qwen3.5-27B/model-00001-of-00011.safetensors
    oid:
      description: SHA-256 of the content.
      type: str
      sample: 5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef
    size:
      description: Bytes.
      type: int
      sample: 4995000000
    lfs:
      description: Whether the file lies behind a git-lfs pointer.
      type: bool
      sample: true
settled:
  description: Whether nothing was to be done, not even to remember what was verified.
  returned: always
  type: bool
  sample: false
known:
  description: Whether the files could be told. V(false) only in check mode on a host without git.
  returned: always
  type: bool
  sample: true
missing_bytes:
  description: What had to be downloaded when the run began.
  returned: always
  type: int
  sample: 53800000000
downloaded_bytes:
  description: What was downloaded.
  returned: always
  type: int
  sample: 53800000000
shared:
  description: Whether files came by BitTorrent, from a source and from whoever else fetched them.
  returned: always
  type: bool
  sample: false
resumed_bytes:
  description: What an earlier, interrupted run had already brought.
  returned: always
  type: int
  sample: 0
notes:
  description: What else is worth knowing, for example a file that was damaged.
  returned: always
  type: list
  elements: str
  sample: []
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._artifacts import repository as _repository
from ..module_utils._artifacts.errors import ArtifactError, describe_os_error
from ..module_utils._artifacts.request import Request
from ..module_utils._artifacts.result import result_of
from ..module_utils._artifacts.swarm import Settings
from ..module_utils._base.detached import remove_leftovers

ARGUMENTS: dict[str, Any] = {
    "repository": {"type": "str", "required": True},
    "identity": {"type": "str"},
    "revision": {"type": "str", "default": "main"},
    "commit": {"type": "str"},
    "dest": {"type": "path", "required": True},
    "former_dest": {"type": "path"},
    "adopt": {"type": "list", "elements": "path", "default": []},
    "paths": {"type": "list", "elements": "str", "default": ["*"]},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "checksums": {"type": "dict", "default": {}},
    "layout": {"type": "str", "choices": ["files", "model"], "default": "files"},
    "ca_path": {"type": "path"},
    "sources_ca_path": {"type": "path"},
    "token_file": {"type": "path", "no_log": False},
    "token_user": {"type": "str", "default": "oauth2", "no_log": False},
    "sources": {"type": "list", "elements": "str", "default": []},
    "origin_fallback": {"type": "bool", "default": True},
    "store": {"type": "path"},
    "share": {"type": "bool", "default": False},
    "trackers": {"type": "list", "elements": "str", "default": []},
    "swarm_ports": {"type": "str", "default": "6881-6889"},
    "seed_minutes": {"type": "int", "default": 30},
    "bundle": {"type": "str"},
    "refresh": {"type": "bool", "default": False},
    "rehash": {"type": "bool", "default": False},
    "retries": {"type": "int", "default": 5},
    "timeout": {"type": "int", "default": 86400},
    "lock_timeout": {"type": "int", "default": 600},
    "title": {"type": "str"},
    "progress": {"type": "path"},
    "check_settled": {"type": "bool", "default": False},
}


def request_of(params: dict[str, Any]) -> Request:
    """Turn the module's parameters into a request."""
    named = [(name, params.get(name)) for name in ("dest", "former_dest")]
    for name, path in [*named, *(("adopt", folder) for folder in params.get("adopt") or [])]:
        if path and not os.path.isabs(path):
            raise ArtifactError("%s is %r; needed is an absolute path" % (name, path))
    verified = any(url.startswith("https://") for url in (*params["sources"], *params["trackers"]))
    return Request(
        repository=params["repository"],
        identity=params["identity"],
        revision=params["revision"],
        commit=params["commit"] or None,
        dest=params["dest"].rstrip("/"),
        former_dest=params["former_dest"].rstrip("/") if params["former_dest"] else None,
        adopt=tuple(folder.rstrip("/") for folder in params["adopt"]),
        paths=tuple(params["paths"]),
        exclude=tuple(params["exclude"]),
        checksums={str(path): str(value) for path, value in params["checksums"].items() if value},
        layout=params["layout"],
        ca_path=params["ca_path"],
        sources_ca_path=params["sources_ca_path"],
        token_file=params["token_file"],
        token_user=params["token_user"],
        sources=tuple(params["sources"]),
        ask_origin=params["origin_fallback"],
        store=params["store"],
        share=params["share"],
        swarm=Settings(
            trackers=tuple(params["trackers"]),
            ports=params["swarm_ports"],
            seed_minutes=params["seed_minutes"],
            ca_path=params["sources_ca_path"] if verified else None,
        ),
        refresh=params["refresh"],
        rehash=params["rehash"],
        retries=params["retries"],
        timeout=params["timeout"],
        lock_timeout=params["lock_timeout"],
        progress=None if params["check_settled"] else params["progress"],
    )


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        request = request_of(module.params)
        repository = _repository.Repository(request)
        if module.params["check_settled"]:
            remove_leftovers(module.params["progress"])
            outcome = repository.is_settled()
        elif module.check_mode:
            outcome = repository.plan(module.tmpdir)
        else:
            outcome = repository.ensure()
    except ArtifactError as exc:
        module.fail_json(msg=str(exc))
    except OSError as exc:
        module.fail_json(msg=describe_os_error(exc, "keeping %s in %s" % (request.repository, request.dest)))
    for note in outcome.notes:
        module.warn(note)
    module.exit_json(**result_of(request, outcome))


if __name__ == "__main__":
    main()
