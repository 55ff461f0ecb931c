"""Label Studio: the client, and a local server. Its errors end here."""

from workbench.label_studio.client import Studio
from workbench.label_studio.contract import Annotation, Filter, Seen, Task, View
from workbench.label_studio.faults import Denied, Gone, Refused, Unanswered
from workbench.label_studio.views import labelling_link

__all__ = [
    "Annotation",
    "Denied",
    "Filter",
    "Gone",
    "Refused",
    "Seen",
    "Studio",
    "Task",
    "Unanswered",
    "View",
    "labelling_link",
]
