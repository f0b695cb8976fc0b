"""Text for property tests: sentences in many scripts, with what tokenizers stumble over."""

from hypothesis import strategies as st

SENTENCES = (
    "The harbor was quiet.", "He said: “No!”", "Prices rose 12.5% in 1999.", "Is it so?", "Wait… what?!",
    "See https://example.org/a?b=c.", "x = f(y[0]) + 10000000", "    indented line", "Trailing spaces   .",
    "他说天黑了。", "我们在海边看到一座灯塔！", "これは文です。", "雨が降った。", "العاصفة قادمة.", "هل هذا صحيح؟",
    "Größe und Maß.", "Ñandú, ¿qué tal?", "नमस्ते दुनिया।", "Ελληνικά κείμενα.", "emoji 👩‍👩‍👧‍👦 here.",
    "<|im_end|> as text.",
    "<think>not thinking</think>.", "<bos><eos> [INST].", "naïve café\u0301.", "\ufffd broken.", "ไทยไม่มีเว้นวรรค",
    "a" * 70 + ".", "!!!???", "1234567890123456789.", "\tTab.",
)
SEPARATORS = (" ", "\n", "\n\n", "  ", "\n\n\n", " \n", "", "\r\n")

passages = st.lists(st.tuples(st.sampled_from(SENTENCES), st.sampled_from(SEPARATORS)), min_size=1, max_size=40).map(
    lambda parts: "".join(sentence + separator for sentence, separator in parts)
)
anything = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=80)
