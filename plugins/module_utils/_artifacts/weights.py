# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the files of a folder of weights are a complete model."""

from __future__ import annotations

import json
from typing import Mapping, Optional, Sequence

from .._base.progress import human_bytes
from .tree import matches

INDEX_FILE = "model.safetensors.index.json"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "*.tiktoken", "tiktoken.model")


def model_problems(sizes: Mapping[str, int], index: Optional[str]) -> list[str]:
    """Say what a folder of weights lacks. ``sizes`` is bytes by path, ``index`` the text of the shards' index."""
    problems = []
    for name in ("config.json", "tokenizer_config.json"):
        if name not in sizes:
            problems.append("%s is missing" % name)
    if not any(matches(path, name) for path in sizes for name in _TOKENIZERS):
        problems.append("no tokenizer: none of %s" % ", ".join(_TOKENIZERS))
    shards = {path for path in sizes if path.endswith(".safetensors")}
    if index is None:
        if not shards:
            problems.append("no weights: neither %s nor any *.safetensors" % INDEX_FILE)
        elif INDEX_FILE not in sizes and len(shards) > 1:
            problems.append("%s is missing, though there are %d shards" % (INDEX_FILE, len(shards)))
        return problems
    try:
        data = json.loads(index)
        named = sorted({str(shard) for shard in data["weight_map"].values()})
        total = (data.get("metadata") or {}).get("total_size")
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        return [*problems, "%s cannot be read: %s" % (INDEX_FILE, exc)]
    missing = [shard for shard in named if shard not in sizes]
    if missing:
        problems.append(
            "%d of the %d shards that %s names are missing: %s"
            % (len(missing), len(named), INDEX_FILE, _shorten(missing))
        )
    elif isinstance(total, (int, float)) and sum(sizes[s] for s in named) < total:
        problems.append(
            "the shards hold %s, but %s says %s of weights"
            % (human_bytes(sum(sizes[s] for s in named)), INDEX_FILE, human_bytes(int(total)))
        )
    return problems


def _shorten(names: Sequence[str], count: int = 20) -> str:
    shown = ", ".join(names[:count])
    return shown if len(names) <= count else "%s and %d more" % (shown, len(names) - count)
