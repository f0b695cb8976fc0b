"""What ``python -m niah --help`` says."""

from niah import __version__, choices
from niah.errors import NiahError
from niah.units import parse_length

_TEXT = """\
niah {version}: does this model really find a fact at that length?

usage:
  python -m niah [key=value ...]              run: measure, then draw the heatmap
  python -m niah plan [key=value ...] [format=json] [out=DIR] [exact=true]   what fits, how long, what it costs
  python -m niah prepare [key=value ...]      fetch and convert the model, tokenise the haystack; no engine
  python -m niah build out=DIR [key=value ...] [format=[ids,text,jsonl]]   write the exact contexts; no engine
  python -m niah ctx=128k budget=2h             as many repeats as that allows; also 2e9 tokens, or $20
  python -m niah power [key=value ...] [power.key=...]   what difference this grid can detect, and the repeats needed
  python -m niah frontier [key=value ...] [frontier.threshold=0.85] [frontier.budget=30m]   the effective length, proven
  python -m niah decide kv=[bf16,fp8] [key=value ...] [decide.margin=0.02]   repeats until a loss is proven or ruled out
  python -m niah edges [key=value ...] [edges.texts=8]   lengths, places and cache hits at every border: engine faults
  python -m niah calibrate [models=[full,scout]] [out=DIR] [tokenizer=NAME]   write models whose right answer is known
  python -m niah calibrate DIR [DIR ...]      runs of model=calibration/..., trial by trial beside what must come out
  python -m niah calibrate kv=[bf16,fp8] ctx=8k [out=DIR]   the engine's noise margin by length and KV dtype
  python -m niah report DIR [DIR ...] [report.key=...]   draw again from rows, several runs side by side
  python -m niah report DIR [DIR ...] format=csv|latex|json [table=lengths|cells|differences]   the numbers alone
  python -m niah rescore DIR [DIR ...]        score stored responses again by today's rules, old scores kept; no engine
  python -m niah compare A B [C ...] [compare.key=...]   paired tests against A, difference heatmap; exit code 2: worse
  python -m niah gate POLICY RUN [BASELINE] [out=DIR] [format=junit]   bounds: GO 0, NO-GO 3, INCONCLUSIVE 4; docs/ci.md
  python -m niah crosscheck DIR [engine=transformers] [crosscheck.trials=N]   the same ids on a second engine
  python -m niah shrink DIR --trial N [--against VARIANT|transformers|cold]   a failing trial, small, and a script
  python -m niah rag DIR [DIR ...] [rag.key=...]   readers on the same instances: when and why RAG is better
  python -m niah ruler DIR [DIR ...] [ruler.format=text|json|csv|latex] [out=DIR]   RULER's score of a sweep, one table
  python -m niah serve-check engine.base_url=URL [model=NAME] [probe=32k]   what a running server can do, its real limit
  python -m niah export DIR to=every_eval_ever|inspect|lm_eval|hf_eval_results|parquet [out=DIR]   docs/export.md
  python -m niah show DIR [--trial N | --cell 8k,50] [--whole]   what the model saw in one trial, rebuilt and verified
  python -m niah list [DIR] [format=json]     the runs in a folder: what, how far, how well, how large
  python -m niah rm DIR [DIR ...] [yes=true]  removes runs, after a question

examples:
  python -m niah                              a small real model on this machine, in minutes
  python -m niah kv=fp8 ctx.repeats=3         FP8 KV cache, three needles a cell
  python -m niah model=gemma3_270m ctx=32k
  python -m niah model.path=ORG/NAME model.max_length=128k ctx=128k
  python -m niah plan model=scout ctx=10m hardware=8xh200
  python -m niah build model=scout ctx.lengths=[10m] haystack=generated out=contexts
  python -m niah experiment=ruler outputs=outputs/a && python -m niah ruler outputs/a   RULER's 13 settings, its score
  python -m niah experiment=ruler_quick quick.difference=10   the same with the repeats that find 10 points, cost first
  python -m niah haystack=files haystack.path=notes/ task.answer=uuid name=mine
  python -m niah -m reader=full,bm25,dense reader.budget=4k   RAG beside the long context
  python -m niah experiment=rag_vs_long && python -m niah rag outputs/rag_vs_long
  python -m niah spec=[none,ngram]            with and without speculative decoding, the same prompts
  python -m niah -m kv=bf16,fp8               one run each (Hydra multirun)
  python -m niah compare outputs/bf16 outputs/fp8 compare.margin=0.02 compare.fail_on=worse
  python -m niah power ctx=128k power.difference=0.05
  python -m niah engine=openai engine.base_url=http://127.0.0.1:8000/v1   against a server that already runs
  python -m niah model=calibration/full ctx=128k  weights made to find everything; also window_4k, scout, margin
  python -m niah calibrate=true ctx=32k kv=fp8    a model whose answers are known first, with the same engine
  python -m niah retry=true ...                   trials too that were out of memory twice or ended the engine twice
  python -m niah --config-dir DIR task=mine       a task (reader, engine, ...) of your own: DIR/task/mine.yaml
                                                  names its class, as mine.Mine in DIR/mine.py; for every verb

groups (key=NAME picks conf/key/NAME.yaml, key.field=... sets one field):
{groups}

The same command with the same settings continues where it stopped. Lengths: 8192, 8k, 1m.
A value is taken as typed, = , {{}} # and spaces too; quotes around all of it go; \\n in a text is a line break. With -m
a comma makes one run of each, in texts only between quotes: task.question="'Who?','When?'". NIAH_DEBUG=1: tracebacks.
"""


def text() -> str:
    """The help with all groups and choices of ``conf``."""
    return _TEXT.format(version=__version__, groups=_groups())


def _groups() -> str:
    known = {group: sorted(choices.names(group), key=_by_size) for group in choices.groups()}
    return "\n".join(f"  {group:<10} {', '.join(names)}" for group, names in known.items())


def _by_size(name: str) -> tuple[int, str]:
    try:
        return parse_length(name, ""), name
    except NiahError:
        return 0, name
