"""Rules are read whole or not at all, and who misspells is told what was probably meant."""

import msgspec
import pytest

from contracts.errors import InvalidError
from domain.intake import reading, rules
from domain.intake.saying import Saying
from rollcall.cli.codes import refusal
from services.intake import defaults

RULE = '[[rule]]\nname = "a"\nthen = "create"\n'


@pytest.mark.parametrize(
    ("text", "where", "word"),
    [
        ("[[rule]", "toml", "not readable as TOML"),
        ("[[rules]]", "rules", "did you mean rule?"),
        (RULE + "keyword = ['x']", "rule[a].keyword", "known are name, then"),
        (RULE + "prioriti = 'P1'", "rule[a].prioriti", "did you mean priority?"),
        ('[[rule]]\nname = "a"\nthen = "creat"', "rule[a].then", "did you mean create?"),
        ('[[rule]]\nname = "a"\nthen = "xyz"', "rule[a].then", "'xyz' is none of create, update, ignore ("),
        (RULE + "start = 'allways'", "rule[a].start", "did you mean always?"),
        (RULE + "priority = 'p1'", "rule[a].priority", "none of P0, P1, P2, P3; did you mean P1?"),
        (RULE + "senders = ['bob', 'agent']", "rule[a].senders", "did you mean agents?"),
        (RULE + "senders = ['Operator']", "rule[a].senders", "did you mean operators?"),
        (RULE + "senders = ['agent:bob']", "rule[a].senders", "letters, digits"),
        (RULE + "channels = ['#dev']", "rule[a].channels", "letters, digits"),
        ('[[rule]]\nname = "a"\nthen = 1', "rule[a]", "Expected `str`"),
        ('[[rule]]\nthen = "create"', "rule[0]", "missing required field `name`"),
        (RULE + RULE, "rule[a].name", "two rules a"),
        (RULE.replace('"a"', '"a b"'), "rule[0].name", "letters, digits"),
        (RULE + "capabilities = ['a.b']", "rule[a].capabilities", "letters, digits"),
        (RULE + "due = 'soon'", "rule[a].due", "such as"),
        (RULE + "window = '0m'", "rule[a].window", "1 minute to 30 days"),
        (RULE + "window = '90d'", "rule[a].window", "1 minute to 30 days"),
        (RULE + "minutes = -1", "rule[a].minutes", "at most"),
        (RULE + f"project = '{'x' * 101}'", "rule[a].project", "at most 100"),
        (RULE + "any = ['(a+)+$']", "rule[a].any", "write words"),
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
    assert word in f"{refused.value.fields[where]} ("
    line = refusal(msgspec.to_builtins(refused.value.problem()))
    assert line.count(refused.value.fields[where]) == 1


def fits(rule: str, text: str, *, name: str = "bob", channel: str = "general") -> reading.Reading:
    book = rules.read(f'actions = ["cut", "sew", "wash"]\n[[rule]]\nname = "a"\nthen = "create"\n{rule}')
    saying = Saying(sort="agent", name=name, channel=channel, text=text)
    return reading.read(book, saying, about=lambda _: True)


@pytest.mark.parametrize(
    ("rule", "text", "why"),
    [
        ("", "anything", "it fits whatever is said"),
        ("any = ['x', 'y']", "a y", "“y”"),
        ("all = ['x', 'y']", "y and x", "“x”, “y”"),
        ("none = ['x']\nany = ['y']", "a y", "“y”"),
        ("any = ['crash* .. on|in #', 'y']", "it Crashed badly on 3 hosts", "“crashed … on 3”"),
        ("any = ['a', 'b', 'c', 'd']", "d c b a", "“a”, “b”, “c”"),
        ("any = ['fix', 'fix|mend*']", "fix it", "“fix”"),
        ("any = ['ghp*']", "use ghp_" + "q" * 36, "“ghp*”"),  # a secret is not kept as a reason either
        ("senders = ['agents']", "x", "it fits"),
        ("senders = ['Agents']", "x", "it fits"),
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
    assert read.why.count("“") == why.count("“")


@pytest.mark.parametrize(
    ("rule", "text", "why"),
    [
        ("any = ['x', 'y']", "z", "none of its phrases"),
        ("all = ['x', 'y']", "x", "“y” does not stand in it"),
        ("none = ['x']", "x", "“x” stands in it"),
        ("none = ['do|did n*']", "they did nothing", "“did nothing” stands in it"),
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
    saying = Saying(sort="agent", name="bob", channel="c", text="x")
    read = reading.read(book, saying, about=lambda _: True)
    assert [one.rule for one in read.tried] == ["a"]


def test_the_rules_that_come_with_rollcall_can_be_read() -> None:
    book = rules.read(defaults())
    assert [rule.name for rule in book.rules][:2] == ["orders-to-the-reader", "said-again"]
    assert all(rule.why for rule in book.rules)
    assert not [rule.name for rule in book.rules if rule.start == "always"]
