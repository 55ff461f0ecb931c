"""The XML of label configs: read safely, filled in with the classes, reasons and dimensions of a bench. Pure."""

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from workbench.errors import ConfigError, one_of
from workbench.records import digest

Element = ElementTree.Element


def parse(config: str, where: str = "The label config") -> Element:
    """The root of a label config, comments kept; `where` names it in the error.

    Raises:
        ConfigError: it is not XML, or has a document type.
    """
    try:
        return ElementTree.fromstring(config, ElementTree.XMLParser(target=_NoDoctype()))
    except (ElementTree.ParseError, UnicodeEncodeError) as exc:
        raise ConfigError(f"{where} is not readable as XML: {exc}.", "Mend that line.") from exc


def fingerprint(config: str) -> str:
    """16 hex digits, equal for configs that differ only in comments, order of attributes or space between tags."""
    parse(config)
    return digest(ElementTree.canonicalize(config, strip_text=True))


def with_choices(config: str, control: str, values: Sequence[str], hotkeys: Sequence[str] = ()) -> str:
    """The config with these values as the only choices of `control`, the first ones with hotkeys.

    A choice without hotkey gets a blank one: otherwise Label Studio gives it a letter, and a stray key would choose it.

    Raises:
        ConfigError: there is no such control, XML cannot carry a value, or two values look the same.
    """
    root = parse(config)
    tag = next((tag for tag in root.iter() if tag.get("name") == control and tag.get("toName")), None)
    if tag is None:
        names = [found.get("name", "") for found in root.iter() if found.get("toName")]
        raise ConfigError(f"The label config has no control {control!r}.", one_of(control, names))
    for child in list(tag):
        tag.remove(child)
    tag.attrib.pop("value", None)  # choices from the task data would stand beside them
    for index, value in enumerate(_distinct(values, control)):
        key = hotkeys[index] if index < len(hotkeys) else " "
        # "$x" would be replaced by the field x of the task: such a value is shown with a full-width dollar sign.
        shown = {"alias": value, "value": _shown(value)} if "$" in value else {"value": value}
        ElementTree.SubElement(tag, "Choice", {**shown, "hotkey": key})
    return ElementTree.tostring(root, encoding="unicode")


def dimensions(names: Sequence[str]) -> dict[str, str]:
    """Dimension of a rating -> name of its control: `rate_` and the name where that is a plain word, else its digest."""
    plain = re.compile(r"[A-Za-z]\w*", re.ASCII)
    return {name: f"rate_{name}" if plain.fullmatch(name) else f"rating_{digest(name)}" for name in names}


def with_dimensions(config: str, names: Sequence[str]) -> str:
    """The config with one rating per dimension: what holds `<Rating name="DIMENSION">` is repeated for each.

    Raises:
        ConfigError: the config has no such place, XML cannot carry a name, or two names look the same.
    """
    root = parse(config)
    parents = {child: parent for parent in root.iter() for child in parent}
    rating = next((tag for tag in root.iter() if tag.get("name") == "DIMENSION"), None)
    block = None if rating is None else parents.get(rating)
    outer = None if block is None else parents.get(block)
    if block is None or outer is None:
        raise ConfigError(
            "The label config has no place for the dimensions.",
            'Add: <View><Header value="DIMENSION"/><Rating name="DIMENSION" toName="answer"/></View>',
        )
    place = list(outer).index(block)
    outer.remove(block)
    for index, (name, control) in enumerate(dimensions(_distinct(names, "DIMENSION")).items()):
        copy = ElementTree.fromstring(ElementTree.tostring(block, encoding="unicode"))
        for tag in copy.iter():
            if tag.get("name") == "DIMENSION":
                tag.set("name", control)
                tag.set("hotkey", str(index + 1) if index < 9 else " ")
            for key in ("value", "requiredMessage"):
                if "DIMENSION" in tag.get(key, ""):
                    tag.set(key, tag.attrib[key].replace("DIMENSION", _shown(name)))
        outer.insert(place + index, copy)
    return ElementTree.tostring(root, encoding="unicode")


class _NoDoctype(ElementTree.TreeBuilder):
    """Keeps comments; refuses a document type before its entities are declared."""

    def __init__(self) -> None:
        super().__init__(insert_comments=True)

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise ConfigError("A label config must not have a document type.", "Remove the line <!DOCTYPE ...>.")


def _distinct(values: Sequence[str], control: str) -> list[str]:
    """The values without repetitions."""
    kept: dict[str, str] = {}
    for value in dict.fromkeys(values):
        bad = next((char for char in value if not _carried(char)), None)
        if bad is not None or not value.strip():
            what = f"the character U+{ord(bad):04X}" if bad else "nothing that can be seen"
            raise ConfigError(f"{control}: {value!r} has {what}.", "Give it another name.")
        twin = kept.setdefault(" ".join(_shown(value).split()), value)
        if twin != value:
            raise ConfigError(f"{control}: {twin!r} and {value!r} look the same on a page.", "Rename one of them.")
    return list(kept.values())


def _carried(char: str) -> bool:
    """Whether XML 1.0 has the character."""
    return char in "\t\n\r" or "\x20" <= char <= "\ud7ff" or "\ue000" <= char <= "\ufffd" or char > "\uffff"


def _shown(value: str) -> str:
    return value.replace("$", "＄")
