"""Rules are read whole or not at all, and who misspells is told what was probably meant."""

import pytest

from contracts.errors import InvalidError
from domain.intake import reading, rules, words
from services.intake import defaults

RULE = '[[rule]]\nname = "a"\nthen = "create"\n'


@pytest.mark.parametrize(
    ("text", "where", "word"),
    [
        ("[[rule]", "toml", "not readable as TOML"),
        ("[[rules]]", "rules", "did you mean rule?"),
        (RULE + "keyword = ['x']", "rule[0].keyword", "known are name, then"),
        (RULE + "prioriti = 'P1'", "rule[0].prioriti", "did you mean priority?"),
        ('[[rule]]\nname = "a"\nthen = "creat"', "rule[0]", "did you mean create?"),
        ('[[rule]]\nname = "a"\nthen = "xyz"', "rule[0]", "Invalid enum value 'xyz'"),
        (RULE + "start = 'allways'", "rule[0]", "did you mean always?"),
        ('[[rule]]\nname = "a"\nthen = 1', "rule[0]", "Expected `str`"),
        ('[[rule]]\nthen = "create"', "rule[0]", "missing required field `name`"),
        (RULE + RULE, "rule[1].name", "two rules a"),
        (RULE.replace('"a"', '"a b"'), "rule[0].name", "letters, digits"),
        (RULE + "capabilities = ['a.b']", "rule[0].capabilities", "letters, digits"),
        (RULE + "due = 'soon'", "rule[0].due", "such as"),
        (RULE + "window = '0m'", "rule[0].window", "1 minute to 30 days"),
        (RULE + "window = '90d'", "rule[0].window", "1 minute to 30 days"),
        (RULE + "minutes = -1", "rule[0].minutes", "at most"),
        (RULE + f"project = '{'x' * 101}'", "rule[0].project", "at most 100"),
        (RULE + "any = ['(a+)+$']", "rule[0].any", "write words"),
        ("actions = 'fix'", "actions", "Expected `array`"),
        ("rule = 1", "rule", "written as [[rule]]"),
        ("rule = [1]", "rule", "written as [[rule]]"),
        (f"rule = [{','.join('{}' for _ in range(65))}]", "rule", "the limit is 64"),
        (f"{'a.' * 65}a = 1", "toml", "no rule needs so many"),
        (RULE + f"any = {[f'w{n}' for n in range(513)]}", "rule", "513 phrases, the limit is 512"),
        ("# " + "x" * 50_000, "toml", "too long"),
        ("a = " + "[" * 5_000, "toml", "not readable as TOML"),
    ],
)
def test_what_is_written_wrong_is_named(text: str, where: str, word: str) -> None:
    with pytest.raises(InvalidError) as refused:
        rules.read(text)
    assert where in refused.value.fields
    assert word in f"{refused.value.detail} {refused.value.fields}"


def fits(rule: str, text: str, *, name: str = "bob", channel: str = "general") -> reading.Reading:
    book = rules.read(f'actions = ["cut", "sew", "wash"]\n[[rule]]\nname = "a"\nthen = "create"\n{rule}')
    return reading.read(
        book, words.read(text), name=name, sort="agent", channel=channel, about=lambda _: True
    )


@pytest.mark.parametrize(
    ("rule", "text", "why"),
    [
        ("", "anything", "it fits whatever is said"),
        ("any = ['x', 'y']", "a y", "“y”"),
        ("all = ['x', 'y']", "y and x", "“x”, “y”"),
        ("none = ['x']\nany = ['y']", "a y", "“y”"),
        ("senders = ['agents']", "x", "it fits"),
        ("senders = ['Bob']", "x", "it fits"),
        ("channels = ['General']", "x", "it fits"),
        ("question = true", "really?", "a question"),
        ("question = false", "really.", "no question"),
        ("actions = 3", "cut, sew and wash it", "3 actions"),
        ("actions = 3", "- a\n- b\n- c", "3 actions"),
        ("minutes = 15", "takes 20 min", "20 minutes"),
    ],
)
def test_a_rule_fits_and_says_why(rule: str, text: str, why: str) -> None:
    read = fits(rule, text)
    assert read.rule is not None
    assert read.rule.name == "a"
    assert why in read.why


@pytest.mark.parametrize(
    ("rule", "text", "why"),
    [
        ("any = ['x', 'y']", "z", "none of its phrases"),
        ("all = ['x', 'y']", "x", "“y” does not stand in it"),
        ("none = ['x']", "x", "“x” stands in it"),
        ("senders = ['operators', 'ada']", "x", "not for agent bob"),
        ("channels = ['ops']", "x", "not for channel general"),
        ("question = true", "really.", "ends as no question"),
        ("question = false", "really?", "ends as a question"),
        ("actions = 3", "cut and sew it", "2 actions, fewer than 3"),
        ("minutes = 15", "takes 10 min", "names no 15 minutes"),
    ],
)
def test_a_rule_does_not_fit_and_says_why(rule: str, text: str, why: str) -> None:
    read = fits(rule, text)
    assert read.rule is None
    assert (read.why, read.tried[0].fits) == (reading.NO_RULE, False)
    assert why in read.tried[0].why


def test_the_first_rule_decides() -> None:
    book = rules.read('[[rule]]\nname="a"\nthen="ignore"\nany=["x"]\n[[rule]]\nname="b"\nthen="create"')
    read = reading.read(book, words.read("x"), name="bob", sort="agent", channel="c", about=lambda _: True)
    assert [one.rule for one in read.tried] == ["a"]


def test_the_rules_that_come_with_rollcall_can_be_read() -> None:
    book = rules.read(defaults())
    assert [rule.name for rule in book.rules][:2] == ["orders-to-the-reader", "said-again"]
    assert all(rule.why for rule in book.rules)
    assert not [rule.name for rule in book.rules if rule.start == "always"]
