"""How far the lengths shown are those that the engine read: exact, by its own count approximate, or unchecked."""

from collections.abc import Sequence

from niah.records import Row


def length_note(rows: Sequence[Row]) -> str:
    """One sentence where lengths are not exact; empty where they are.

    Rows say so in ``served``: num_sent_tokens where a server counted other tokens than we did, counted where it counts
    none.
    """
    sent = [row for row in rows if row.score is not None]
    if any(row.served.get("counted") is False for row in sent):
        return "lengths unchecked: the server does not tell how many prompt tokens it read"
    other = [row.num_prompt_tokens / row.served["num_sent_tokens"] for row in sent if row.served.get("num_sent_tokens")]
    if not other:
        return ""
    return f"lengths approximate: server counts {_times(other)} ours in {len(other)} of {len(sent)} prompts"


def _times(shares: Sequence[float]) -> str:
    low, high = f"{min(shares):.3f}", f"{max(shares):.3f}"
    return f"{low} times" if low == high else f"{low} to {high} times"
