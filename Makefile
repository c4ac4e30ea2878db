# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The Python that chooses the tool set: 3.11 gets ansible-core 2.19, 3.12 and later 2.21.
PYTHON ?= python3
TOOLS = set -e; bin=$$(tests/tools/toolset.sh $(PYTHON))/bin;

.DEFAULT_GOAL := help
.PHONY: help tools test lint unit demo demo-down serving upgrade driver monitoring benchmark bench test-down check-argv docs clean

help: ## Show the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

tools: ## Install the pinned tools into .cache (every other command does so by itself)
	@$(TOOLS) echo "tools: $$bin"

test: ## Everything CI checks; locally without the steps whose inputs have not changed since they passed
	@$(TOOLS) exec $$bin/python tests/tools/gate.py

lint: ## The static checks alone
	@$(TOOLS) $$bin/python tests/tools/gate.py ruff ruff-format mypy ansible-lint antsibull-docs

unit: ## The unit tests alone
	@$(TOOLS) $$bin/python -m pytest tests/unit -q

demo: ## Start the simulated fleet and take it through site.yml
	@$(TOOLS) exec bash tests/tools/demo.sh $$bin

demo-down: ## Remove the simulated fleet, leave nothing behind (KEEP_CACHE=1: but what makes the next start fast)
	@$(TOOLS) $$bin/python tests/sim/fleet --name demo down $(if $(KEEP_CACHE),,--cache)

check-argv: ## Put the rendered `vllm serve` line before the real vLLM's own parser
	@$(TOOLS) $$bin/python tests/sim/real_engine/check_argv.py

docs: ## Write the generated pages of docs/
	@$(TOOLS) $$bin/python tests/tools/findings_doc.py

serving: ## Change and break a simulated fleet under load, in all the ways there are, then two real engines; print what a client noticed
	@$(TOOLS) export ASCEND_SERVING_EVENTS=all; $$bin/python tests/tools/molecule.py serving; $$bin/python tests/sim/real_engine/scenario.py

upgrade: ## Take a simulated fleet under load from release to release, good and bad ones, in all the ways there are; print what a client noticed
	@$(TOOLS) ASCEND_UPGRADE_EVENTS=all exec $$bin/python tests/tools/molecule.py upgrade

driver: ## Change driver and firmware of a simulated fleet under load, with good and bad packages, through reboots; print what a client noticed
	@$(TOOLS) ASCEND_DRIVER_EVENTS=all exec $$bin/python tests/tools/molecule.py driver

monitoring: ## Watch a simulated fleet with a real Prometheus while chips, engines and hosts break
	@$(TOOLS) exec $$bin/python tests/tools/molecule.py monitoring

benchmark: ## Run benchmark.yml on a simulated fleet in all the ways there are
	@$(TOOLS) ASCEND_BENCHMARK_RUNS=all exec $$bin/python tests/tools/molecule.py benchmark

bench: ## Measure what docs/performance.md says, as ratios (NAMES="parsers": only those)
	@$(TOOLS) exec $$bin/python tests/bench/run.py $(NAMES)

test-down: ## Remove the simulated fleets of the tests
	@$(TOOLS) for name in test test-b; do $$bin/python tests/sim/fleet --name $$name down; done

clean: demo-down test-down ## Remove the fleets, the tools and every cache
	@rm -rf .cache .sim
