# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in for torch_npu: lets vllm_ascend's real configuration code be imported without an NPU. Nothing computes."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
from typing import Any
from unittest.mock import MagicMock

import torch

__version__ = "0.0.0"


def _attribute(prefix: str, name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return MagicMock(name="%s.%s" % (prefix, name))


def __getattr__(name: str) -> Any:
    value = _attribute("torch_npu", name)
    globals()[name] = value
    return value


class _Loader(importlib.abc.Loader):
    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = types.ModuleType(spec.name)
        module.__path__ = []
        module.__getattr__ = lambda name: _attribute(spec.name, name)  # type: ignore[method-assign]
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run."""


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name.startswith(("torch_npu.", "acl.", "mooncake.")):
            return importlib.machinery.ModuleSpec(name, _Loader(), is_package=True)
        return None


sys.meta_path.append(_Finder())

_C = MagicMock()
_C._NPUTaskGroupHandle = MagicMock
npu = MagicMock()
npu.current_device = MagicMock(return_value=0)
npu.device_count = MagicMock(return_value=8)
npu.get_device_name = MagicMock(return_value="Ascend910B3")
npu.Stream = MagicMock
try:
    torch.utils.rename_privateuse1_backend("npu")
except RuntimeError:
    pass  # done before in this process
torch.npu = npu
torch.version.cann = None
torch.distributed.is_hccl_available = MagicMock(return_value=True)
