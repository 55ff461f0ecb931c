"""Label config of dialogues: one row of choices per turn, those of the turn's role; built from the vocabulary.

A Repeater goes over the turns, and in it one Repeater per role over a list in the task's data that has one element where the turn
is of that role and none where it is not. So each turn has the choices of its role only, in whatever order people speak. Label
Studio replaces an index flag once per attribute: none may hold it twice.
"""

import re
from collections.abc import Mapping
from typing import Protocol
from xml.sax.saxutils import quoteattr

from workbench.errors import ConfigError
from workbench.records import digest

DIALOGUE, TOPIC, USABLE, COMMENT = "dialogue", "topic", "usable", "comment"
"""Names of the object that stands for the whole dialogue, and of its controls."""
YES, NO = "yes", "no"
"""Values of `usable`."""
TURN, CHANGE, EDIT = "turn", "change", "edit"
"""With `_` and the number of the turn, names of its text, of the box that opens the correction, and of the correction."""
_N = "{{idx}}"
_ONCE = "{{one}}"
# Label Studio gives a letter or digit to each choice without a hotkey, until none is left: a slip on the keyboard would change the
# topic. A blank is no key, and keeps it from doing so.
_NO_KEY = " "
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_STYLE = """
.lsf-sidepanels { padding-right: 0 !important; } .lsf-sidepanels__wrapper { display: none; }
.wb-top { position: sticky; top: 0; z-index: 3; background: var(--color-neutral-background);
  padding: 4px 0 6px; margin-bottom: 8px; border-bottom: 1px solid var(--color-neutral-border);
  display: flex; flex-wrap: wrap; gap: 4px 16px; align-items: center; }
.wb-title { flex: 2 1 180px; } .wb-topic { flex: 2 1 200px; } .wb-usable { flex: 1 0 280px; } .wb-comment { flex: 2 1 160px; }
.wb-turn { border: 1px solid var(--color-neutral-border); border-radius: 8px; padding: 4px 10px; margin-bottom: 10px; }
.wb-row { display: flex; flex-wrap: wrap; gap: 2px 8px; } .wb-field { flex: 1 1 128px; max-width: 260px; min-width: 0; }
.wb-top h4, .wb-turn h4 { margin: 4px 0 2px !important; font-size: 12px !important; line-height: 16px !important; }
.wb-note h4 { color: var(--color-negative-content, #b3261e) !important; }
.wb-field button { font-size: 14px; padding: 4px 8px; height: 32px; }
.wb-turn .lsf-richtext__line { white-space: pre-wrap; }
.wb-turn .lsf-choices, .wb-top .lsf-choices { margin: 0 0 4px; } .wb-turn sup { display: none; }
"""


class Vocabulary(Protocol):
    """What is needed of the vocabulary of special tokens."""

    @property
    def topics(self) -> Mapping[str, str]:
        """Topic -> meaning, which may be empty."""

    @property
    def roles(self) -> Mapping[str, Mapping[str, Mapping[str, str]]]:
        """Role -> field -> value -> meaning."""


def config(vocabulary: Vocabulary) -> str:
    """The label config, XML.

    Raises:
        ConfigError: two fields would have controls of the same name.
    """
    controls(vocabulary)
    rows = "".join(_row(role, fields) for role, fields in vocabulary.roles.items() if fields)
    return f"""<View>
<Style>{_STYLE}</Style>
{_top(vocabulary)}
<Repeater on="$turns" indexFlag="{_N}">
<View className="wb-turn wb-turn-{_N}">
<Header value="$turns[{_N}].head" size="6"/>
<Text name="{TURN}_{_N}" value="$turns[{_N}].text" selectionEnabled="false"/>
<Repeater on="$turns[{_N}].notes" indexFlag="{_ONCE}">
<View className="wb-note"><Header value="$turns[{_N}].notes[{_ONCE}].text" size="6"/></View>
</Repeater>
{rows}{_correction()}
</View>
</Repeater>
</View>
"""


def _top(vocabulary: Vocabulary) -> str:
    topic = ""
    if vocabulary.topics:
        name = f'name="{TOPIC}" toName="{DIALOGUE}"'
        topic = f"""<View className="wb-topic"><Header value="主题 Topic" size="6"/>
<Choices {name} choice="single" layout="select">{_choices(vocabulary.topics)}</Choices></View>
"""
    return f"""<View className="wb-top">
<View className="wb-title"><Text name="{DIALOGUE}" value="$title" selectionEnabled="false"/></View>
{topic}<View className="wb-usable">
<Choices name="{USABLE}" toName="{DIALOGUE}" choice="single-radio" showInline="true"
 required="true" requiredMessage="这段对话能用吗？ / Is it usable?">
<Choice value="可用 Usable" alias="{YES}" hotkey="y"/><Choice value="不可用 Unusable" alias="{NO}" hotkey="n"/></Choices></View>
<View className="wb-comment">
<TextArea name="{COMMENT}" toName="{DIALOGUE}" rows="1" maxSubmissions="1" editable="true" placeholder="备注 Comment"/></View>
</View>"""


def _row(role: str, fields: Mapping[str, Mapping[str, str]]) -> str:
    """The choices of a turn of this role; nothing in turns of other roles."""
    cells = "".join(
        f'<View className={quoteattr(f"wb-field wb-{field}")}><Header value={quoteattr(field)} size="6"/>'
        f'<Choices name={quoteattr(f"{role}_{field}_{_N}")} toName="{TURN}_{_N}" choice="single" layout="select">'
        f"{_choices(values)}</Choices></View>\n"
        for field, values in fields.items()
    )
    # No flag of its own: its only index is 0, and the number in the names is that of the turn.
    return f"""<Repeater on="$turns[{_N}].{flag(role)}"><View className="wb-row">
{cells}</View></Repeater>
"""


def _choices(values: Mapping[str, str]) -> str:
    """Shown with the meaning; what is stored is the value itself."""
    return "".join(
        f'<Choice value={quoteattr(label(value, meaning))} alias={quoteattr(value)} hotkey="{_NO_KEY}"/>'
        for value, meaning in values.items()
    )


def _correction() -> str:
    """A box that opens the text for correction; what is not opened does not come back."""
    when = f'visibleWhen="choice-selected" whenTagName="{CHANGE}_{_N}" whenChoiceValue="edit"'
    area = f'name="{EDIT}_{_N}" toName="{TURN}_{_N}" value="$turns[{_N}].text"'
    opens = f'name="{CHANGE}_{_N}" toName="{TURN}_{_N}" choice="multiple" showInline="true"'
    return f"""<Choices {opens}><Choice value="改文字 Correct the text" alias="edit" hotkey="{_NO_KEY}"/></Choices>
<View {when}><TextArea {area} rows="3" maxSubmissions="1" editable="true"/></View>"""


def label(value: str, meaning: str) -> str:
    """A value as the page shows it: `焦虑 anxious`.

    A dollar sign would be taken for the name of a field of the task's data: it is shown full-width.
    """
    plain = " ".join(_NOT_XML.sub(" ", meaning).split()).replace("$", "＄")
    return f"{plain} {value}" if plain and plain != value else value


def flag(role: str) -> str:
    """Key of the list in a turn's data that is empty unless the turn is of this role; plain ASCII, whatever the role's script."""
    return f"is_{role}" if re.fullmatch(r"[A-Za-z0-9_]+", role) else f"is_{digest(role)}"


def controls(vocabulary: Vocabulary) -> dict[str, tuple[str, str]]:
    """Beginning of a control's name, before `_` and the number of the turn -> role and field.

    Raises:
        ConfigError: two fields have the same.
    """
    found: dict[str, tuple[str, str]] = {}
    for role, fields in vocabulary.roles.items():
        for field in fields:
            other = found.setdefault(f"{role}_{field}", (role, field))
            if other != (role, field):
                say = f"{other[1]!r} of {other[0]!r} and {field!r} of {role!r} are both {role}_{field} on the page."
                raise ConfigError(say, "Give one of the fields another name in the vocabulary.")
    return found
