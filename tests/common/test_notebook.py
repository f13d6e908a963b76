"""What notebooks show: tables of escaped texts."""

from sb3_explain.common.notebook import read_summary, write_facts, write_table
from sb3_explain.common.registry import Registry


def test_texts_are_escaped_and_empty_facts_left_out():
    shown = write_facts("<i>", {"name": "<script>", "nothing": ""}, png=b"png")
    assert "<script>" not in shown and "&lt;script&gt;" in shown and "nothing" not in shown
    assert shown.startswith("<b>&lt;i&gt;</b>") and "data:image/png;base64,cG5n" in shown


def test_a_table_has_a_line_for_heads_and_rows():
    shown = write_table(("a", "b"), [("1", "2"), ("3", "4")])
    assert shown.count("<tr>") == 3 and shown.count("<th>") == 2 and shown.count("<td") == 4
    assert write_table((), [("1",)]).count("<tr>") == 1


def test_a_registry_lists_names_and_what_they_are():
    registry = Registry("tool", "tests.common")
    registry._filled = True

    @registry.register("saw")
    def saw():
        """Cut wood
        in two.

        More.
        """

    assert repr(registry) == "registry of tools: saw"
    assert "saw</td>" in registry._repr_html_() and "Cut wood in two." in registry._repr_html_()
    assert read_summary(saw) == "Cut wood in two."
