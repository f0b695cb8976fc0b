"""``python -m tests.faults [PART ...]``: the campaign, with a table at its end. Exit code 1 where it found anything.

FAULTS_S seconds for each part (60), FAULTS_SEED what is drawn (0), FAULTS_WORKERS processes at once (one a core),
FAULTS_OUT where table, counts and what failed are put (outputs/faults).
"""

import os
import sys
from importlib import import_module

if __name__ == "__main__":
    # numpy reads these when it is imported, and a process that forks may have no threads
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
    sys.exit(import_module("tests.faults.campaign").main(sys.argv[1:]))
