"""Hugging Face transformers: the second engine, to tell a model's failure from an engine's."""

import time
from dataclasses import dataclass

from niah.engines import Case, Job, Session
from niah.engines.failures import OWN_CODE
from niah.engines.transformers import script
from niah.engines.transformers.settings import TransformersSettings
from niah.errors import NiahError, reason


@dataclass(frozen=True)
class Transformers(TransformersSettings):
    """Opened by loading the model's weights here."""

    def open(self, job: Job) -> Session:
        try:
            import torch

            from niah.engines.transformers import session
        except ImportError as error:
            raise NiahError(
                f"engine=transformers: cannot be imported ({error}); pip install 'niah[transformers]'"
            ) from error
        if self.device == "cuda" and not torch.cuda.is_available():
            raise NiahError("engine.device=cuda: this PyTorch sees no GPU; expected auto or cpu")
        on_gpu = self.device != "cpu" and torch.cuda.is_available()
        started = time.perf_counter()
        try:
            network = session.load(job, self.dtype or job.dtype, self.attention[0], on_gpu=on_gpu)
        except NiahError:
            raise
        except Exception as error:
            if "trust_remote_code" in str(error):
                raise NiahError(f"engine=transformers: {OWN_CODE}") from error
            raise NiahError(f"engine=transformers: the model did not load; {reason(error)}") from error
        return session.TransformersSession(network, job, self, self.chunk(on_gpu), time.perf_counter() - started)

    def script(self, job: Job, case: Case) -> str:
        """With transformers' own cache in the model's number format: niah's quantized ones are not in it."""
        import torch

        device = "cuda" if self.device != "cpu" and torch.cuda.is_available() else "cpu"
        return script.text(
            job.files.engine_path, job.files.revision, job.arguments.get("hf_overrides", {}), self.dtype or job.dtype,
            self.attention[0], device, job.tokenizer.stop_ids, case,
        )
