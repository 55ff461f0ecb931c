"""The tables. Each row is a fact that happened; what is true now is derived by reading facts in order.

operations   one row per command that changed something; everything else points at one
samples      rows as they came in (human) or were parsed from a reply (synthetic)
changes      new values for a field of a sample: cleaning, splitting; revertible as one operation
label_ids    the numbers that the user's files give to labels
rejects      what could not become a sample, with place, line and reason
replies      every answer that a model gave, stored before anything parses it
sent         every call that went out to a model, stored before it goes, with the money set aside for it
settled      how a call ended; one that is not here was under way when its command was killed
parses       which replies were turned into samples and rejects, and by which operation
verdicts     what each gate rule said; the newest operation's verdicts count
versions     a training set, named by its content, and its rows
runs         a training or evaluation, and its folder
projects     the Label Studio project that tasks of a kind (review, dialogues, rating) go to; the newest of a kind counts
lots         candidates that were made alike, of which a sample is looked at
asked        tasks to be put to people, stored before they go out
delivered    tasks that a project was seen to hold
annotations  what people answered, as it came; of one annotation the newest state counts
withdrawn    annotations that their authors deleted
reviews      what was read from annotations of candidates; and rows that a failed sample holds back until someone looks
openings     every time that the test split was read for a verdict
"""

from sqlalchemy import JSON, Boolean, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()
SCHEMA_VERSION = 3

operations = Table(
    "operations", metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("stage", String(16), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("details", JSON, nullable=False),
    Column("at", String(32), nullable=False),
    Column("undoes", Integer, ForeignKey("operations.id")),
)  # fmt: skip

samples = Table(
    "samples", metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("operation", Integer, ForeignKey("operations.id"), nullable=False),
    Column("text_id", String(16), nullable=False),
    Column("turns", JSON, nullable=False),
    Column("label", Text, nullable=False),
    Column("split", String(8), nullable=False),
    Column("source", String(16), nullable=False),
    Column("origin", JSON),
    Column("meta", JSON, nullable=False),
    Index("samples_by_source", "source", "label"),
)  # fmt: skip

changes = Table(
    "changes", metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("operation", Integer, ForeignKey("operations.id"), nullable=False, index=True),
    Column("sample", String(32), nullable=False, index=True),
    Column("field", String(16), nullable=False),
    Column("value", JSON),
    Column("reason", String(64), nullable=False),
)  # fmt: skip

label_ids = Table(
    "label_ids", metadata,
    Column("label", Text, primary_key=True),
    Column("label_id", String(32), primary_key=True),
    Column("operation", Integer, ForeignKey("operations.id"), nullable=False),
)  # fmt: skip

rejects = Table(
    "rejects", metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("operation", Integer, ForeignKey("operations.id"), nullable=False, index=True),
    Column("place", Text, nullable=False),
    Column("line", Integer, nullable=False),
    Column("reason", String(64), nullable=False),
    Column("say", Text, nullable=False),
    Column("raw", Text, nullable=False),
)  # fmt: skip

replies = Table(
    "replies", metadata,
    Column("id", String(32), primary_key=True),
    Column("label", Text, nullable=False),
    Column("against", Text, nullable=False),
    Column("strategy", String(32), nullable=False),
    Column("draw", Integer, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("prompt", String(128), nullable=False),
    Column("parents", JSON, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("messages", JSON, nullable=False),
    Column("model", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("finish", String(32), nullable=False),
    Column("tokens_in", Integer, nullable=False),
    Column("tokens_out", Integer, nullable=False),
    Column("cost", String(32), nullable=False),
    Column("at", String(32), nullable=False),
)  # fmt: skip

sent = Table(
    "sent", metadata,
    Column("id", String(32), primary_key=True),
    Column("request", String(32), nullable=False),
    Column("label", Text, nullable=False),
    Column("against", Text, nullable=False),
    Column("strategy", String(32), nullable=False),
    Column("seed", Integer, nullable=False),
    Column("draw", Integer, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("reserved", String(32), nullable=False),
    Column("at", String(32), nullable=False),
)  # fmt: skip

settled = Table(
    "settled", metadata,
    Column("call", String(32), ForeignKey("sent.id"), primary_key=True),
    Column("outcome", String(8), nullable=False),
    Column("at", String(32), nullable=False),
)  # fmt: skip

parses = Table(
    "parses", metadata,
    Column("reply", String(32), ForeignKey("replies.id"), primary_key=True),
    Column("operation", Integer, ForeignKey("operations.id"), nullable=False),
    Column("drafts", Integer, nullable=False),
    Column("rejects", Integer, nullable=False),
)  # fmt: skip

verdicts = Table(
    "verdicts", metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("operation", Integer, ForeignKey("operations.id"), nullable=False),
    Column("sample", String(32), nullable=False, index=True),
    Column("rule", String(64), nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("reason", String(64), nullable=False),
    Column("score", Float),
    Column("tail", Float),
)  # fmt: skip

versions = Table(
    "versions", metadata,
    Column("id", String(16), primary_key=True),
    Column("operation", Integer, ForeignKey("operations.id"), nullable=False),
    Column("rows", Integer, nullable=False),
    Column("synthetic", Integer, nullable=False),
)  # fmt: skip

version_rows = Table(
    "version_rows", metadata,
    Column("version", String(16), ForeignKey("versions.id"), primary_key=True),
    Column("sample", String(32), primary_key=True),
    Index("version_rows_by_sample", "sample"),
)  # fmt: skip

runs = Table(
    "runs", metadata,
    Column("id", String(64), primary_key=True),
    Column("operation", Integer, ForeignKey("operations.id"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("version", String(16)),
    Column("summary", JSON, nullable=False),
)  # fmt: skip

openings = Table(
    "openings", metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("operation", Integer, ForeignKey("operations.id"), nullable=False),
    Column("rows_hash", String(16), nullable=False),
    Column("why", Text, nullable=False),
)  # fmt: skip

projects = Table(
    "projects", metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("operation", Integer, ForeignKey("operations.id"), nullable=False),
    Column("place", String(16), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("url", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("config", String(16), nullable=False),
)  # fmt: skip

lots = Table(
    "lots", metadata,
    Column("sample", String(32), primary_key=True),
    Column("operation", Integer, ForeignKey("operations.id"), nullable=False),
    Column("lot", String(16), nullable=False, index=True),
    Column("label", Text, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("forced", Boolean, nullable=False),
)  # fmt: skip

asked = Table(
    "asked", metadata,
    Column("kind", String(16), primary_key=True),
    Column("uid", String(64), primary_key=True),
    Column("operation", Integer, ForeignKey("operations.id"), nullable=False),
    Column("sample", String(32), nullable=False),
    Column("queue", String(16), nullable=False),
    Column("lot", String(16), nullable=False),
    Column("reviewers", JSON, nullable=False),
    Column("shown", JSON, nullable=False),
    Index("asked_by_sample", "sample"),
)  # fmt: skip

delivered = Table(
    "delivered", metadata,
    Column("place", String(16), primary_key=True),
    Column("uid", String(64), primary_key=True),
    Column("operation", Integer, ForeignKey("operations.id"), nullable=False),
)  # fmt: skip

annotations = Table(
    "annotations", metadata,
    Column("id", String(16), primary_key=True),
    Column("operation", Integer, ForeignKey("operations.id"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("uid", String(64), nullable=False, index=True),
    Column("place", String(16), nullable=False),
    Column("number", Integer, nullable=False),
    Column("annotator", Text, nullable=False),
    Column("created", String(32), nullable=False),
    Column("updated", String(32), nullable=False),
    Column("seconds", Float),
    Column("skipped", Boolean, nullable=False),
    Column("result", JSON, nullable=False),
)  # fmt: skip

withdrawn = Table(
    "withdrawn", metadata,
    Column("annotation", String(16), ForeignKey("annotations.id"), primary_key=True),
    Column("operation", Integer, ForeignKey("operations.id"), nullable=False),
)  # fmt: skip

reviews = Table(
    "reviews", metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("operation", Integer, ForeignKey("operations.id"), nullable=False),
    Column("annotation", String(16), nullable=False, index=True),
    Column("sample", String(32), nullable=False, index=True),
    Column("task", String(64), nullable=False),
    Column("decision", String(8), nullable=False),
    Column("reviewer", Text, nullable=False),
    Column("at", String(32), nullable=False),
    Column("seconds", Float),
    Column("text", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("naturalness", Integer),
    Column("final", Boolean, nullable=False),
)  # fmt: skip
