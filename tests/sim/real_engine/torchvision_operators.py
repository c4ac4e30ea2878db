# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put into the environment's site-packages: declares torchvision's operators before torchvision looks for them.

PyPI's torchvision is built against a CUDA torch; beside a CPU torch its extension does not load, the operators stay
undeclared and ``import torchvision`` fails. Nothing here computes them: serving does not call them.
"""

from __future__ import annotations

import importlib.abc
import sys


class _DeclareOperators(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            for operator in ("nms", "qnms"):
                torch.library.define(
                    "torchvision::" + operator, "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                )


sys.meta_path.insert(0, _DeclareOperators())
