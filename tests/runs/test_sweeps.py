"""Folders of results that belong to several runs."""

from niah.runs import sweeps


def test_results_of_other_runs_have_another_folder(tmp_path):
    def name(*paths):
        return sweeps.together("compare", [str(tmp_path / path) for path in paths])

    assert name("a", "b") == tmp_path / "compare-a-b"
    assert name("A/x", "B/y") != name("A/x", "C/y") and name("A/x", "B/y").parent == tmp_path / "A"
    long = ["-".join(["smollm2_135m-single-noise-full", kv, "19c2e643"]) for kv in ("bf16", "fp32", "fp8", "int8")]
    one, other = name(*long[:3]), name(*long[:2], long[3])
    assert one != other and max(len(one.name), len(other.name)) <= 120 and one == name(*long[:3])
