# A database: locks, fsync, write-ahead log with shared memory.
python3 -c '
import sqlite3, os
for mode in ("delete", "wal"):
    path = os.path.join(os.environ["WORK"], mode + ".db")
    db = sqlite3.connect(path); print(db.execute(f"pragma journal_mode={mode}").fetchone())
    db.execute("create table t (n integer primary key, s text)")
    with db: db.executemany("insert into t values (?, ?)", ((n, "x" * (n % 50)) for n in range(20000)))
    other = sqlite3.connect(path); print(other.execute("select count(*), sum(length(s)) from t").fetchone())
    with db: db.execute("delete from t where n % 2")
    print(other.execute("select count(*) from t").fetchone(), other.execute("pragma integrity_check").fetchone())
'
