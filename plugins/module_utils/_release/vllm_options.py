# Copyright (c) 2026, ascend.fleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `vllm serve` and vllm-ascend understand, by version: data only, so that a slip is found before anything starts.

The options are those that `vllm serve --help=all` of vLLM 0.16.0 prints; the keys of ``--additional-config`` are those
that vllm-ascend reads (unknown ones are ignored silently up to 0.26, so nothing else would find a slip).
"""

from __future__ import annotations

from typing import Optional

# Flags with a negative form: `--NAME` and `--no-NAME`.
_FLAG = """
    allow-credentials allow-deprecated-quantization async-scheduling calculate-kv-scales cudagraph-metrics
    data-parallel-external-lb data-parallel-hybrid-lb disable-cascade-attn disable-chunked-mm-input
    disable-custom-all-reduce disable-fastapi-docs disable-frontend-multiprocessing
    disable-hybrid-kv-cache-manager disable-log-requests disable-nccl-for-dp-synchronization
    disable-sliding-window disable-uvicorn-access-log enable-auto-tool-choice enable-chunked-prefill enable-dbo
    enable-eplb enable-expert-parallel enable-flashinfer-autotune enable-force-include-usage
    enable-layerwise-nvtx-tracing enable-log-deltas enable-log-outputs enable-log-requests
    enable-logging-iteration-details enable-lora enable-mfu-metrics enable-mm-embeds enable-offline-docs
    enable-prefix-caching enable-prompt-embeds enable-prompt-tokens-details enable-request-id-headers
    enable-return-routed-experts enable-server-load-tracking enable-sleep-mode enable-ssl-refresh
    enable-tokenizer-info-endpoint enable-tower-connector-lora enforce-eager exclude-tools-when-tool-choice-none
    fully-sharded-loras interleave-mm-strings kv-cache-metrics kv-sharing-fast-prefill log-error-stack
    mm-encoder-only ray-workers-use-nsight return-tokens-as-token-ids skip-mm-profiling skip-tokenizer-init
    specialize-active-lora tokens-only trust-remote-code trust-request-chat-template use-tqdm-on-load
"""

# Flags without one.
_SWITCH = """
    aggregate-engine-logging disable-log-stats headless
"""

# Options that take several values.
_VALUES = """
    allowed-media-domains api-key collect-detailed-traces cudagraph-capture-sizes ignore-patterns
    logits-processors lora-modules served-model-name
"""

# Options that take a JSON object.
_JSON = """
    additional-config attention-config compilation-config default-chat-template-kwargs default-mm-loras
    ec-transfer-config eplb-config hf-overrides kernel-config kv-events-config kv-transfer-config
    limit-mm-per-prompt media-io-kwargs mm-processor-kwargs model-loader-extra-config override-generation-config
    pooler-config profiler-config speculative-config structured-outputs-config weight-transfer-config
"""

# Options that take one value.
_VALUE = """
    all2all-backend allowed-headers allowed-local-media-path allowed-methods allowed-origins api-server-count
    attention-backend block-size chat-template chat-template-content-format code-revision config config-format
    convert cp-kv-cache-interleave-size cpu-offload-gb data-parallel-address data-parallel-backend
    data-parallel-rank data-parallel-rpc-port data-parallel-size data-parallel-size-local
    data-parallel-start-rank dbo-decode-token-threshold dbo-prefill-token-threshold dcp-kv-cache-interleave-size
    decode-context-parallel-size disable-access-log-for-endpoints distributed-executor-backend download-dir
    dtype expert-placement-strategy generation-config gpu-memory-utilization h11-max-header-count
    h11-max-incomplete-event-size hf-config-path hf-token host io-processor-plugin kv-cache-dtype
    kv-cache-memory-bytes kv-cache-metrics-sample kv-offloading-backend kv-offloading-size load-format
    log-config-file logits-processor-pattern logprobs-mode long-prefill-token-threshold lora-dtype
    mamba-block-size mamba-cache-dtype mamba-cache-mode mamba-ssm-cache-dtype master-addr master-port
    max-cpu-loras max-cudagraph-capture-size max-log-len max-logprobs max-long-partial-prefills max-lora-rank
    max-loras max-model-len max-num-batched-tokens max-num-partial-prefills max-num-seqs
    max-parallel-loading-workers middleware mm-encoder-attn-backend mm-encoder-tp-mode mm-processor-cache-gb
    mm-processor-cache-type mm-shm-cache-max-object-size-mb model model-impl nnodes node-rank
    num-gpu-blocks-override optimization-level otlp-traces-endpoint override-attention-dtype
    pipeline-parallel-size port prefill-context-parallel-size prefix-caching-hash-algo pt-load-map-location
    quantization reasoning-parser reasoning-parser-plugin response-role revision root-path runner
    safetensors-load-strategy scheduler-cls scheduling-policy seed show-hidden-metrics-for-version ssl-ca-certs
    ssl-cert-reqs ssl-certfile ssl-ciphers ssl-keyfile stream-interval swap-space tensor-parallel-size tokenizer
    tokenizer-mode tokenizer-revision tool-call-parser tool-parser-plugin tool-server ubatch-size uds
    uvicorn-log-level video-pruning-rate worker-cls worker-extension-cls
"""

# Of those, the ones that are a whole number of 1 or more.
_COUNT = """
    api-server-count data-parallel-size data-parallel-size-local decode-context-parallel-size max-cpu-loras
    max-long-partial-prefills max-loras max-num-batched-tokens max-num-partial-prefills max-num-seqs
    max-parallel-loading-workers nnodes num-gpu-blocks-override pipeline-parallel-size
    prefill-context-parallel-size stream-interval tensor-parallel-size
"""

# Those that are a whole number of 0 or more.
_WHOLE = """
    cp-kv-cache-interleave-size dbo-decode-token-threshold dbo-prefill-token-threshold
    dcp-kv-cache-interleave-size h11-max-header-count h11-max-incomplete-event-size
    long-prefill-token-threshold max-log-len max-logprobs mm-shm-cache-max-object-size-mb node-rank
    optimization-level seed ubatch-size
"""

# Those that are any number of 0 or more.
_NUMBER = """
    cpu-offload-gb kv-offloading-size mm-processor-cache-gb swap-space video-pruning-rate
"""

COUNTS = frozenset(_COUNT.split())
WHOLE = frozenset(_WHOLE.split())
NUMBERS = frozenset(_NUMBER.split())
PORTS = frozenset(("data-parallel-rpc-port", "master-port"))

# Options that are one of a few words, where no plugin of an image adds others.
CHOICES: dict[str, tuple[str, ...]] = {
    option: tuple(words.split())
    for option, words in {
        "chat-template-content-format": "auto openai string",
        "convert": "auto classify embed none",
        "dtype": "auto bfloat16 float float16 float32 half",
        "expert-placement-strategy": "linear round_robin",
        "logprobs-mode": "processed_logits processed_logprobs raw_logits raw_logprobs",
        "mm-encoder-tp-mode": "data weights",
        "mm-processor-cache-type": "lru shm",
        "prefix-caching-hash-algo": "sha256 sha256_cbor xxhash xxhash_cbor",
        "runner": "auto draft generate pooling",
        "scheduling-policy": "fcfs priority",
        "uvicorn-log-level": "critical debug error info trace warning",
    }.items()
}

# vLLM release line -> option -> kind ("flag", "switch", "values", "json", "value").
SERVE_OPTIONS: dict[str, dict[str, str]] = {
    "0.16": {
        name: kind
        for kind, names in (
            ("flag", _FLAG),
            ("switch", _SWITCH),
            ("values", _VALUES),
            ("json", _JSON),
            ("value", _VALUE),
        )
        for name in names.split()
    },
}

# Keys of `--additional-config` that every listed version of vllm-ascend knows.
_COMMON = """
    enable_cpu_binding enable_shared_expert_dp multistream_overlap_shared_expert refresh
"""

# vllm-ascend version (or commit, where a version string names one) -> the keys it knows besides the common ones.
_KEYS: dict[str, str] = {
    "0.11.0": """
        ascend_scheduler_config chunked_prefill_for_mla dynamic_eplb eplb_policy_type expert_map_path
        expert_map_record_path gate_eplb init_redundancy_expert kv_cache_dtype lmhead_tensor_parallel_size
        num_iterations_eplb_update num_wait_worker_iterations oproj_tensor_parallel_size
        recompute_scheduler_enable torchair_graph_config weight_prefetch_config
    """,
    "0.13.0": """
        SLO_limits_for_dynamic_batch ascend_compilation_config dump_config_path dynamic_eplb
        enable_async_exponential enable_kv_nz enable_npugraph_ex eplb_config eplb_policy_type expert_map_path
        expert_map_record_path finegrained_tp_config gate_eplb init_redundancy_expert layer_sharding
        mix_placement multistream_overlap_gate num_iterations_eplb_update num_wait_worker_iterations
        pa_shape_list recompute_scheduler_enable weight_prefetch_config xlite_graph_config
    """,
    "0.14.0rc1": """
        SLO_limits_for_dynamic_batch ascend_compilation_config ascend_fusion_config dump_config_path
        enable_async_exponential enable_kv_nz eplb_config finegrained_tp_config layer_sharding
        multistream_overlap_gate npugraph_ex_config pa_shape_list recompute_scheduler_enable
        weight_prefetch_config xlite_graph_config
    """,
    "52aa9c006": """
        SLO_limits_for_dynamic_batch ascend_compilation_config ascend_fusion_config dump_config_path
        enable_async_exponential enable_kv_nz eplb_config finegrained_tp_config layer_sharding
        multistream_overlap_gate npugraph_ex_config pa_shape_list recompute_scheduler_enable
        weight_prefetch_config xlite_graph_config
    """,
    "0.15.0rc1": """
        SLO_limits_for_dynamic_batch ascend_compilation_config ascend_fusion_config dump_config_path
        enable_async_exponential enable_kv_nz eplb_config finegrained_tp_config layer_sharding
        multistream_overlap_gate npugraph_ex_config pa_shape_list recompute_scheduler_enable sp_threshold
        weight_prefetch_config xlite_graph_config
    """,
    "0.16.0rc1": """
        SLO_limits_for_dynamic_batch ascend_compilation_config ascend_fusion_config dump_config_path
        enable_async_exponential enable_kv_nz eplb_config finegrained_tp_config layer_sharding
        multistream_overlap_gate pa_shape_list recompute_scheduler_enable sp_threshold weight_prefetch_config
        xlite_graph_config
    """,
    "0.17.0rc1": """
        SLO_limits_for_dynamic_batch ascend_compilation_config ascend_fusion_config dump_config_path
        enable_async_exponential enable_kv_nz eplb_config finegrained_tp_config layer_sharding
        multistream_overlap_gate pa_shape_list recompute_scheduler_enable sp_threshold weight_prefetch_config
        xlite_graph_config
    """,
    "0.18.0": """
        SLO_limits_for_dynamic_batch ascend_compilation_config ascend_fusion_config dump_config_path
        enable_async_exponential enable_kv_nz enable_mc2_hierarchy_comm enable_sparse_c8 eplb_config
        finegrained_tp_config layer_sharding multistream_overlap_gate pa_shape_list recompute_scheduler_enable
        weight_prefetch_config xlite_graph_config
    """,
    "0.19.1rc1": """
        SLO_limits_for_dynamic_batch ascend_compilation_config ascend_fusion_config dump_config_path
        enable_async_exponential enable_hamming_sparse enable_kv_nz enable_mc2_hierarchy_comm enable_sparse_c8
        eplb_config finegrained_tp_config hamming_sparse layer_sharding mix_placement multistream_overlap_gate
        pa_shape_list profiling_chunk_config recompute_scheduler_enable weight_prefetch_config
        xlite_graph_config
    """,
    "0.20.2rc1": """
        SLO_limits_for_dynamic_batch ascend_compilation_config ascend_fusion_config dump_config dump_config_path
        enable_async_exponential enable_balance_scheduling enable_context_parallel enable_dsa_cp
        enable_flashcomm1 enable_flashcomm2_parallel_size enable_fused_mc2 enable_hamming_sparse enable_kv_nz
        enable_matmul_allreduce enable_mc2_hierarchy_comm enable_mlapo enable_reduce_sample enable_sparse_c8
        enable_transpose_kv_cache_by_block eplb_config finegrained_tp_config hamming_sparse layer_sharding
        mix_placement msmonitor_use_daemon multistream_dsa_preprocess multistream_dsv4_dsa_overlap
        multistream_overlap_gate pa_shape_list prefill_comm_compute_overlap profiling_chunk_config
        recompute_scheduler_enable weight_nz_mode weight_prefetch_config xlite_graph_config
    """,
    "0.21.0rc1": """
        SLO_limits_for_dynamic_batch ascend_compilation_config ascend_fusion_config c8_enable_reshape_optim
        dp_allreduce_on_npu dump_config dump_config_path enable_async_exponential enable_balance_scheduling
        enable_dsa_cp enable_flashcomm1 enable_flashcomm2_parallel_size enable_fused_mc2 enable_hamming_sparse
        enable_kv_nz enable_matmul_allreduce enable_mc2_hierarchy_comm enable_mlapo enable_reduce_sample
        enable_sparse_c8 enable_transpose_kv_cache_by_block eplb_config finegrained_tp_config hamming_sparse
        layer_sharding mix_placement msmonitor_use_daemon multistream_dsa_preprocess
        multistream_dsv4_dsa_overlap multistream_overlap_gate pa_shape_list prefill_comm_compute_overlap
        profiling_chunk_config recompute_scheduler_enable rejection_sampler_config weight_nz_mode
        weight_prefetch_config xlite_graph_config
    """,
    "0.22.1rc1": """
        SLO_limits_for_dynamic_batch ascend_compilation_config ascend_fusion_config ascend_log_path
        c8_enable_reshape_optim dp_allreduce_on_npu dump_config dump_config_path enable_async_exponential
        enable_balance_scheduling enable_dsa_cp enable_flashcomm1 enable_flashcomm2_parallel_size
        enable_fused_mc2 enable_hamming_sparse enable_kv_nz enable_matmul_allreduce enable_mc2_hierarchy_comm
        enable_mlapo enable_reduce_sample enable_sparse_c8 enable_transpose_kv_cache_by_block eplb_config
        finegrained_tp_config hamming_sparse layer_sharding mix_placement msmonitor_use_daemon
        multistream_dsv4_dsa_overlap multistream_overlap_gate pa_shape_list profiling_chunk_config
        recompute_scheduler_enable rejection_sampler_config weight_nz_mode weight_prefetch_config
        xlite_graph_config
    """,
    "0.23.0": """
        SLO_limits_for_dynamic_batch ascend_compilation_config ascend_fusion_config ascend_log_path
        c8_enable_reshape_optim dp_allreduce_on_npu dump_config dump_config_path enable_async_exponential
        enable_balance_scheduling enable_dsa_cp enable_flashcomm1 enable_flashcomm2_parallel_size
        enable_fused_mc2 enable_hamming_sparse enable_kv_nz enable_matmul_allreduce enable_mc2_hierarchy_comm
        enable_mlapo enable_prefill_mc2 enable_reduce_sample enable_sleep_mode_extra_cleanup enable_sparse_li_c8
        enable_sparse_sfa_c8 enable_transpose_kv_cache_by_block eplb_config finegrained_tp_config hamming_sparse
        layer_sharding mega_moe_max_tokens mix_placement msmonitor_use_daemon multistream_dsv4_dsa_overlap
        multistream_overlap_gate pa_shape_list profiling_chunk_config recompute_scheduler_enable
        rejection_sampler_config weight_nz_mode weight_prefetch_config xlite_graph_config
    """,
    "0.24.0rc1": """
        ascend_compilation_config ascend_fusion_config ascend_log_path c8_enable_reshape_optim
        dp_allreduce_on_npu draft_window_size dump_config dump_config_path enable_async_exponential
        enable_balance_scheduling enable_dsa_cp enable_flashcomm1 enable_flashcomm2_parallel_size
        enable_fused_mc2 enable_hamming_sparse enable_kv_nz enable_matmul_allreduce enable_mc2_hierarchy_comm
        enable_mlapo enable_prefill_mc2 enable_reduce_sample enable_sleep_mode_extra_cleanup enable_sparse_c8
        enable_transpose_kv_cache_by_block eplb_config finegrained_tp_config hamming_sparse mega_moe_max_tokens
        mix_placement msmonitor_use_daemon multistream_dsv4_dsa_overlap pa_shape_list profiling_chunk_config
        recompute_scheduler_enable rejection_sampler_config short_request_first_config weight_nz_mode
        xlite_graph_config
    """,
    "0.25.1rc1": """
        ascend_compilation_config ascend_fusion_config ascend_log_path c8_enable_reshape_optim draft_window_size
        dump_config dump_config_path enable_balance_scheduling enable_dsa_cp enable_flashcomm1 enable_fused_mc2
        enable_kv_nz enable_mc2_hierarchy_comm enable_mlapo enable_prefill_mc2 enable_reduce_sample
        enable_sleep_mode_extra_cleanup enable_sparse_c8 enable_transpose_kv_cache_by_block eplb_config
        finegrained_tp_config mega_moe_max_tokens mix_placement msmonitor_use_daemon
        multistream_dsv4_dsa_overlap pa_shape_list rejection_sampler_config scheduler_config weight_nz_mode
        xlite_graph_config
    """,
}

ADDITIONAL_CONFIG_KEYS: dict[str, frozenset[str]] = {
    version: frozenset(_COMMON.split()) | frozenset(names.split()) for version, names in _KEYS.items()
}


def serve_options(vllm_version: Optional[str]) -> Optional[dict[str, str]]:
    """The options of that ``vllm serve`` by name, with their kind; None when the version is not known here."""
    parts = str(vllm_version or "").split(".")
    return SERVE_OPTIONS.get(".".join(parts[:2]))


def additional_config_keys(vllm_ascend_version: Optional[str]) -> Optional[frozenset[str]]:
    """The keys of ``--additional-config`` that this vllm-ascend reads; None when the version is not known here.

    A development build names its commit (``0.14.0rc2.dev119+g52aa9c006``), which decides.
    """
    version, _plus, local = str(vllm_ascend_version or "").partition("+")
    commit = local.split(".")[0]
    if commit.startswith("g"):
        return next((k for v, k in ADDITIONAL_CONFIG_KEYS.items() if v.startswith(commit[1:8])), None)
    return ADDITIONAL_CONFIG_KEYS.get(version)
