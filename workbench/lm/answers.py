"""How a class stands in a model's answer, as `意图：25：咨询（含查询）工单处理结果`, and back. The two are exact inverses."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from workbench.errors import ConfigError, DataError

DEFAULT = "意图：{id}：{name}"
_FIELD = re.compile(r"\{(id|name)\}")


@dataclass(frozen=True)
class AnswerForm:
    """The form of an answer: a text with `{id}`, `{name}` or both, each once."""

    template: str = DEFAULT

    def __post_init__(self) -> None:
        """Refuse a form that says nothing of the class, or cannot be read back."""
        fields = _FIELD.findall(self.template)
        bare = _FIELD.sub("", self.template)
        if not fields or len(set(fields)) != len(fields) or "{" in bare or "}" in bare:
            raise ConfigError(
                f"The answer {self.template!r} does not have {{id}}, {{name}} or both, each once.",
                f"Write: {DEFAULT}",
            )
        if re.search(r"\}\{", self.template):
            raise ConfigError(
                f"The answer {self.template!r} has nothing between {{id}} and {{name}}, so it cannot be read back.",
                f"Put a mark between them: {DEFAULT}",
            )

    def write(self, id: str, name: str) -> str:
        """The answer that names this class.

        Raises:
            DataError: the id is empty, or holds the mark that stands behind it.
        """
        values = {"id": id, "name": name}
        text = _FIELD.sub(lambda field: values[field[1]], self.template)
        if self.read(text) != self._known(id, name):
            raise DataError(
                f"The class {name!r} with the id {id!r} cannot be told from its answer {text!r}.",
                "Change the id or the name, or the form of answers in train.qlora.answer.",
            )
        return text

    def read(self, text: str) -> tuple[str, str] | None:
        """Id and name in an answer (empty where the form has no such field); None where it is not of the form."""
        found = self._pattern.fullmatch(text)
        if found is None:
            return None
        values = found.groupdict()
        return values.get("id") or "", values.get("name") or ""

    def _known(self, id: str, name: str) -> tuple[str, str]:
        return (id if "{id}" in self.template else "", name if "{name}" in self.template else "")

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts = _FIELD.split(self.template)  # text, field, text, field, text
        written = [re.escape(part) if i % 2 == 0 else f"(?P<{part}>.+?)" for i, part in enumerate(parts)]
        return re.compile("".join(written), re.DOTALL)


@dataclass(frozen=True)
class Answers:
    """All classes with their answers, in the order of the columns of a prediction."""

    form: AnswerForm
    ids: Mapping[str, str]
    """Name -> id."""

    @classmethod
    def of(cls, labels: Iterable[str], ids: Mapping[str, str], form: AnswerForm) -> "Answers":
        """Answers of these classes; those without an id get the smallest free numbers, in the order of `labels`.

        Raises:
            DataError: two classes have the same answer, or one cannot be told from it.
        """
        names = list(dict.fromkeys(labels))
        taken = {ids[name] for name in names if name in ids}
        free = (str(n) for n in range(len(names) + len(taken)) if str(n) not in taken)
        answers = cls(form, {name: ids[name] if name in ids else next(free) for name in names})
        texts = answers.texts
        twice = next((text for text in texts if texts.count(text) > 1), None)
        if twice is not None:
            raise DataError(
                f"Two classes have the same answer {twice!r}.", "Give them different ids, or put {name} into the form."
            )
        return answers

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(self.ids)

    @cached_property
    def texts(self) -> list[str]:
        """The answer of each class."""
        return [self.form.write(id, name) for name, id in self.ids.items()]

    def text(self, label: str) -> str:
        """The answer of one class."""
        return self.form.write(self.ids[label], label)

    def label(self, text: str) -> str | None:
        """The class that an answer names: by its whole text, by its name, or by its id and the beginning of its name; else None."""
        text = text.strip()
        exact = self._by_text.get(text)
        if exact is not None:
            return exact
        found = self.form.read(text)
        if found is None:
            return None
        id, name = found
        if name in self.ids:
            return name
        same = [label for label, known in self.ids.items() if id and known == id and label.startswith(name)]
        return same[0] if len(same) == 1 else None

    @cached_property
    def _by_text(self) -> dict[str, str]:
        return {text.strip(): label for label, text in zip(self.ids, self.texts, strict=True)}
