"""An engine with a fault planted in real vLLM's speculative decoding, in this process: drafts taken without a check."""

from dataclasses import dataclass
from typing import Any

from niah.engines import Job
from niah.engines.vllm import VLLM
from niah.engines.vllm.session import VLLMSession


@dataclass(frozen=True)
class FaultyDrafts(VLLM):
    """From ``unchecked_from`` tokens of prompt and answer on, every draft is taken as it is."""

    name: str = "vllm"
    unchecked_from: int = 1024

    def open(self, job: Job) -> VLLMSession:
        session = super().open(job)
        assert isinstance(session, VLLMSession)
        runner = session._engine.engine_core.engine_core.model_executor.driver_worker.worker.model_runner
        if session._engine.vllm_config.speculative_config is not None:
            _take_all(runner, self.unchecked_from)
        return session


def _take_all(runner: Any, first: int) -> None:
    """One prompt is in work at a time: what is checked in a step is its draft, and a token of the model's follows."""
    own = runner.rejection_sampler.forward

    def forward(metadata: Any, draft_probs: Any, logits: Any, sampling_metadata: Any) -> Any:
        follows = logits[metadata.bonus_logits_indices].argmax(dim=-1)
        output = own(metadata, draft_probs, logits, sampling_metadata)
        if int(runner.input_batch.num_tokens_no_spec[0]) >= first:
            drafted = metadata.draft_token_ids
            output.sampled_token_ids[0, : len(drafted)] = drafted
            output.sampled_token_ids[0, len(drafted)] = follows[0]
        return output

    runner.rejection_sampler.forward = forward
