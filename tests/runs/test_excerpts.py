"""What the model saw, kept beside the rows: a line a prompt, whatever was torn before."""

import json

from niah.prompts.recipe import Recipe
from niah.runs import excerpts
from tests.helpers.configs import built


def test_a_torn_line_costs_its_own_excerpt_alone_and_that_is_written_again(tmp_path):
    recipe = Recipe(built("engine=fake", "ctx.lengths=[1k]", "ctx.depths=[0,50,100]"))
    made = [recipe.build(trial) for trial in recipe.trials]
    first = excerpts.Excerpts(tmp_path, recipe.tokenizer.decode)
    for one in made[:2]:
        first.add(one, None)
    path = tmp_path / excerpts.NAME
    path.write_bytes(path.read_bytes()[:-40])  # killed in the middle of the second
    assert list(excerpts.read(tmp_path)) == [made[0].prompt.sha256]
    again = excerpts.Excerpts(tmp_path, recipe.tokenizer.decode)
    for one in (made[2], made[1], made[0]):
        again.add(one, None)
    found = excerpts.read(tmp_path)
    assert {*found} == {one.prompt.sha256 for one in made}
    assert all(json.loads(line)["prompt_sha256"] == sha256 for sha256, line in found.items())
