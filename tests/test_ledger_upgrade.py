"""A bench of an older version opens in the new one, with everything that it held."""

import sqlite3

from workbench.ledger import Ledger
from workbench.ledger.schema import SCHEMA_VERSION
from workbench.records import Origin, Sample, Turn, Verdict


def test_a_ledger_of_schema_1_gets_what_came_later_and_keeps_its_facts(tmp_path):
    path = tmp_path / "wb.db"
    ledger = Ledger.open(path)
    row = Sample(
        "a", (Turn("user", "查话费"),), "查余额", "train", "synthetic", Origin("minority", "m", "p", (), 0, "")
    )
    with ledger.write("generate", "read") as writer:
        writer.samples([row])
        writer.verdicts("a", [Verdict("length", True, "", 0.5)])
    ledger.close()
    with sqlite3.connect(path) as old:
        old.execute("ALTER TABLE verdicts DROP COLUMN tail")
        old.execute("DROP TABLE sent")
        old.execute("PRAGMA user_version = 1")
    opened = Ledger.open(path)
    (candidate,) = opened.candidates()
    assert candidate.sample == row
    assert candidate.verdicts == (Verdict("length", True, "", 0.5, None),)
    with opened.write("gate", "all") as writer:
        writer.verdicts("a", [Verdict("length", False, "too_short", 2.0, 0.01)])
    assert opened.candidates()[0].verdicts[0].tail == 0.01
    opened.close()
    with sqlite3.connect(path) as now:
        assert now.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
        assert now.execute("SELECT count(*) FROM sent").fetchone()[0] == 0
