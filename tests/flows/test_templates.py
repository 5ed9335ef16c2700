"""Templates are found in the closest language, say only what they may, and are all told what is wrong with them."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import pytest

from migrator.errors import WrongInput
from migrator.flows.telling import template_checks
from migrator.flows.telling.templates import LARGEST_TEMPLATE, Templates, chain, sample

BUNDLED = Path(__file__).resolve().parents[2] / "templates"
EVENTS = ("before", "done", "delayed", "rolled_back")
GOOD = "{% block subject %}Hello{% endblock %}{% block text %}Hello {{ name }}{% endblock %}"


def a_folder(folder: Path, **files: str) -> Templates:
    """Templates of the event `done` by locale."""
    (folder / "done").mkdir(exist_ok=True)
    for locale, text in files.items():
        (folder / "done" / f"{locale.replace('_', '-')}.email.j2").write_text(text, encoding="utf-8")
    return Templates(folder)


def subject(templates: Templates, locale: str | None, default: str = "en") -> str:
    return templates.render("done", locale, "email", sample(), default).subject


def saying(word: str) -> str:
    return GOOD.replace("subject %}Hello", f"subject %}}{word}")


@pytest.mark.parametrize(
    ("locale", "found"),
    [
        ("zh-CN", "zh-CN"),
        ("zh_cn", "zh-CN"),
        ("zh-CN-x-shop", "zh-CN"),
        ("zh", "fr"),
        ("de-AT", "de"),
        ("en-GB", "en"),
        ("ja", "fr"),
        ("", "fr"),
        (None, "fr"),
        ("../../../etc/passwd", "fr"),
    ],
)
def test_a_notice_comes_in_the_closest_language(tmp_path: Path, locale: str | None, found: str) -> None:
    templates = a_folder(tmp_path, zh_CN=saying("zh-CN"), de=saying("de"), fr=saying("fr"), en=saying("en"))

    assert subject(templates, locale, default="fr") == found


def test_english_is_the_last_resort() -> None:
    assert list(chain("pt-BR", "zh-CN")) == ["pt-br", "pt", "zh-cn", "zh", "en"]


def test_an_event_without_a_template_is_told_with_the_file_that_is_missing(tmp_path: Path) -> None:
    templates = a_folder(tmp_path, en=GOOD)

    with pytest.raises(WrongInput, match=r"no template .*survey/en.email.j2.*there are: done"):
        templates.render("survey", "en", "email", sample())


def test_only_html_is_escaped(tmp_path: Path) -> None:
    said = "{{ name }}{% endblock %}"
    text = f"{{% block subject %}}{said}{{% block text %}}{said}{{% block html %}}<p>{said}"
    message = a_folder(tmp_path, en=text).render("done", "en", "email", {**sample(), "name": "<b>A & B</b>"})

    assert message.subject == "<b>A & B</b>"
    assert message.text == "<b>A & B</b>\n"
    assert message.html == "<p>&lt;b&gt;A &amp; B&lt;/b&gt;\n"


def test_a_template_may_extend_another_one(tmp_path: Path) -> None:
    (tmp_path / "_frame.j2").write_text("{% block text %}Dear {% block who %}{% endblock %}{% endblock %}")
    child = '{% extends "_frame.j2" %}{% block subject %}Hi{% endblock %}{% block who %}{{ name }}{% endblock %}'

    message = a_folder(tmp_path, en=child).render("done", "en", "email", {**sample(), "name": "Ada"})

    assert (message.subject, message.text) == ("Hi", "Dear Ada\n")


def test_the_hash_covers_what_a_template_includes(tmp_path: Path) -> None:
    including = GOOD.replace("{{ name }}", '{% include "_end.j2" %}')
    (tmp_path / "_end.j2").write_text("Yours")
    before = a_folder(tmp_path, en=including).render("done", "en", "email", sample()).template_hash

    (tmp_path / "_end.j2").write_text("Ours")

    assert Templates(tmp_path).render("done", "en", "email", sample()).template_hash != before


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (GOOD.replace("name", "nmae"), r"en.email.j2:1: .*nmae"),
        ("\n\n{% block subject %}{% endfor %}", r"en.email.j2:3: .*endfor"),
        ("{% block text %}Hello{% endblock %}", r"en.email.j2: block subject is missing"),
        (GOOD.replace("subject %}Hello", "subject %}two\nlines"), r"en.email.j2: the subject has more than one line"),
        (GOOD.replace("name", "''.__class__.__mro__"), r"en.email.j2:1: .*unsafe"),
        (GOOD.replace("name", "'a' * 1000000000"), r"en.email.j2:1: .*for numbers only"),
        (GOOD.replace("name", "9 ** 9 ** 9 ** 9"), r"en.email.j2:1: .*for numbers only"),
        ("{% block subject %}a{% endblock %}{% block text %}{% for i in range(99999) %}abcd{% endfor %}{% endblock %}",
         r"en.email.j2(:1)?: more than 256 KiB"),
        (GOOD + " " * LARGEST_TEMPLATE, r"en.email.j2: larger than 64 KiB"),
        (GOOD + '{% include "gone.j2" %}', r"gone.j2"),
    ],
)  # fmt: skip
def test_what_a_template_may_not_do_is_told_with_its_place(tmp_path: Path, template: str, said: str) -> None:
    with pytest.raises(WrongInput, match=said):
        a_folder(tmp_path, en=template).render("done", "en", "email", sample())


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    wrong = "{% block subject %}Hi{% endblock %}\n{% block text %}{{ suport_contact }}{{ shoe_size }}{% endblock %}"
    templates = a_folder(tmp_path, en=GOOD, de=wrong, fr="{% block subject %}")

    problems = "\n".join(template_checks.lint(templates, ["done", "before"]))

    assert 'de.email.j2:2: unknown variable "suport_contact"; did you mean "support_contact"?' in problems
    assert 'de.email.j2:2: unknown variable "shoe_size"; known are name' in problems
    assert "fr.email.j2:1: Unexpected end of template" in problems
    assert "before/en.email.j2; every event needs one" in problems


def test_a_mistake_that_only_one_tier_sees_is_found(tmp_path: Path) -> None:
    only_edge = GOOD.replace("{{ name }}", '{% if tier == "edge" %}{{ name.wrong }}{% endif %}')

    (problem,) = template_checks.lint(a_folder(tmp_path, en=only_edge), ["done"])

    assert "en.email.j2:1" in problem


def test_the_bundled_templates_have_no_mistakes() -> None:
    assert template_checks.lint(Templates(BUNDLED), EVENTS) == []


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("locale", ["en", "zh-CN"])
def test_the_bundled_templates_come_in_both_languages_with_html(event: str, locale: str) -> None:
    message = Templates(BUNDLED).render(event, locale, "email", sample())

    assert message.locale == locale
    assert message.html is not None
    assert "Ada &amp; Grace" in message.html
    assert "Ada & Grace" in message.text


HEAD = "{% block subject %}Hi{% endblock %}{% block text %}"
TOO_LONG = "takes longer than"  # on a slow machine the clock comes first
SIXTEEN = "{% set a = 'xxxxxxxxxxxxxxxx' %}"
GREEDY = {
    "a loop in a loop": ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "100,000 steps"),
    "a filtered loop": ("{% for i in range(99999) if false %}{% endfor %}" * 200, "100,000 steps"),
    "a long range": ("{% for i in range(1000000000) %}x{% endfor %}", "Range too big"),
    "a loop that calls itself": ("{% for i in 'ab' recursive %}{{ loop('ab') }}{% endfor %}", "calls itself"),
    "a macro that calls itself": ("{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}", "recursion"),
    "a macro like a tree": (
        "{% macro m(n) %}{% if n > 0 %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}", "100,000 steps",
    ),
    "a block of itself": ("{{ self.text() }}{{ self.text() }}", "recursion"),
    "a template of itself": ('{% include "done/en.email.j2" %}' * 2, "recursion"),
    "doubling by ~": (SIXTEEN + "{% set a = a ~ a %}" * 40 + "{{ a }}", "512 KiB"),
    "doubling by +": (SIXTEEN + "{% set a = a + a %}" * 40 + "{{ a }}", "512 KiB"),
    "doubling by set": (SIXTEEN + "{% set a %}{{ a }}{{ a }}{% endset %}" * 40, "512 KiB"),
    "squaring by replace": (SIXTEEN + "{% set a = a|replace('x', a) %}" * 40, "512 KiB"),
    "squaring by join": (SIXTEEN + "{% set a = a|join(a) %}" * 40, "512 KiB"),
    "calls of calls": (
        "{% macro m() %}{{ caller() }}{{ caller() }}{% endmacro %}" + "{% call m() %}" * 15 + "x" * 99 + "{% endcall %}" * 15,
        "512 KiB",
    ),
    "lists of lists": ("{% set a = [1] %}" + "{% set a = [a, a] %}" * 40, "fixed words"),
    "long lists": ("{% set a = range(99999)|list %}", "a list of more than"),
    "a width": ("{{ '{:1000000000}'.format(1) }}", "unsafe"),
    "a pad": ("{{ 'x'.ljust(1000000000) }}", "unsafe"),
    "a centre": ("{{ 'x'|center(1000000000) }}", "No filter named 'center'"),
    "bytes of a number": ("{{ (1).to_bytes(1000000000) }}", "unsafe"),
    "numbers that grow": ("{% set x = 9 %}" + "{% set x = x * x %}" * 40, "18 digits"),
    "a million digits": ("{{ " + "9" * 50_000 + " }}", "digits"),
    "brackets": ("{{ " + "(" * 20_000 + " }}", "recursion"),
    "many parts": ("{{ name }}" * 6_000, "5,000 variables"),
    "another file": ('{% include "../../../etc/passwd" %}', "leads out of"),
    "an absolute file": ('{% include "/etc/passwd" %}', "leads out of"),
    "a file that a user names": ("{% include name %}", "in quotes"),
    "classes": ("{{ ''|attr('__class__') }}", "No filter named 'attr'"),
    "globals": ("{{ self.__init__.__globals__ }}", "unsafe"),
    "a class by its name": ("{{ name['__class__'] }}", "unsafe"),
}  # fmt: skip


@pytest.mark.parametrize("how", GREEDY)
def test_a_template_neither_runs_nor_grows_nor_reaches_beyond_its_bounds(how: str, tmp_path: Path) -> None:
    template, said = GREEDY[how]
    begun, before = time.thread_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    (problem, *_) = template_checks.lint(a_folder(tmp_path, en=f"{HEAD}{template}{{% endblock %}}"), ["done"])

    took, grown = time.thread_time() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert any(words in problem for words in (said, TOO_LONG)) and str(tmp_path) in problem
    assert took < 10 and grown < 64 * 1024  # kilobytes; bounds against hanging and swelling, not figures


def test_a_template_that_is_a_link_out_of_the_folder_is_not_read(tmp_path: Path) -> None:
    secret, project = tmp_path / "secret", tmp_path / "project"
    secret.write_text(GOOD, encoding="utf-8")
    project.mkdir()
    templates = a_folder(project, en=GOOD)
    (templates.folder / "done" / "de.email.j2").symlink_to(secret)

    with pytest.raises(WrongInput, match="leads out of"):
        Templates(templates.folder).render("done", "de", "email", sample())


def test_what_templates_of_notices_do_is_possible(tmp_path: Path) -> None:
    text = (
        "{% macro greet(who) %}Dear {{ who|trim|title }}{% endmacro %}{{ greet(name) ~ ',' }}"
        "{% for word in ['one', 'two'] %} {{ loop.index }}: {{ word|upper }}{% if not loop.last %};{% endif %}{% endfor %}"
        "{% set left = 3 * 2 - 1 %} {{ left }} {{ name.upper() if name.startswith('A') else reason|default('-') }}"
    )
    message = a_folder(tmp_path, en=f"{HEAD}{text}{{% endblock %}}").render("done", "en", "email", sample())

    assert message.text == "Dear Ada & Grace, 1: ONE; 2: TWO 5 ADA & GRACE\n"
