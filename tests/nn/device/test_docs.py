import doctest
from pathlib import Path


def test_the_example_of_the_docs():
    text = (Path(__file__).parents[3] / "docs" / "numbers.md").read_text(encoding="utf-8")
    section = text.split("## On a GPU")[1].split("\n## ")[0]
    example = section.split("```python\n")[1].split("```")[0]
    failures, count = doctest.DocTestRunner().run(doctest.DocTestParser().get_doctest(example, {}, "docs", None, None))
    assert (failures, count) == (0, 9)
