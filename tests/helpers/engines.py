"""Which engine is installed here, for tests that depend on it."""

import pytest

from niah.engines.vllm.process import is_cpu_build

exact_on_cpus = pytest.mark.skipif(
    not is_cpu_build(), reason="on GPUs a prefix-cache hit may change rounding: docs/methods.md"
)
