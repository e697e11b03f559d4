PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE attempt (
    track INTEGER NOT NULL REFERENCES track,
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    testcase INTEGER NOT NULL REFERENCES testcase,
    unit TEXT NOT NULL,
    number INTEGER NOT NULL,        -- from 0, over all units of the run
    status TEXT NOT NULL,
    milliseconds INTEGER NOT NULL,
    failure INTEGER REFERENCES failure,
    artefacts TEXT,                 -- below the run's directory
    rerun TEXT,
    confirmed INTEGER NOT NULL DEFAULT 0,
    repeats INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (track, run, testcase, number)
) STRICT, WITHOUT ROWID;
INSERT INTO "attempt" VALUES(1,1,1,'unit-0',0,'pass',4,NULL,NULL,NULL,0,0);
INSERT INTO "attempt" VALUES(1,1,2,'unit-0',0,'fail',4,1,'artefacts/hfs-setup_bdev_super-EIO-0001','errpath run hfs-setup_bdev_super-EIO-0001',0,0);
INSERT INTO "attempt" VALUES(1,1,3,'unit-0',0,'fail',4,1,'artefacts/hfs-setup_bdev_super-EIO-0002','errpath run hfs-setup_bdev_super-EIO-0002',0,0);
INSERT INTO "attempt" VALUES(1,1,4,'unit-0',0,'pass',4,NULL,NULL,NULL,0,0);
INSERT INTO "attempt" VALUES(1,2,1,'unit-0',0,'pass',4,NULL,NULL,NULL,0,0);
INSERT INTO "attempt" VALUES(1,2,2,'unit-0',0,'fail',4,1,'artefacts/hfs-setup_bdev_super-EIO-0001','errpath run hfs-setup_bdev_super-EIO-0001',0,0);
INSERT INTO "attempt" VALUES(1,2,3,'unit-0',0,'fail',4,1,'artefacts/hfs-setup_bdev_super-EIO-0002','errpath run hfs-setup_bdev_super-EIO-0002',0,0);
INSERT INTO "attempt" VALUES(1,2,4,'unit-0',0,'error',4,1,'artefacts/hfs-setup_bdev_super-EIO-0003','errpath run hfs-setup_bdev_super-EIO-0003',0,0);
CREATE TABLE failure (
    no INTEGER PRIMARY KEY,
    signature TEXT NOT NULL,
    reasons TEXT NOT NULL,          -- JSON list
    UNIQUE (signature, reasons)
) STRICT;
INSERT INTO "failure" VALUES(1,'leak 512 < hfs_init_fs_context < alloc_fs_context','["leak: 1 unreferenced object, 512 bytes, confirmed 2 of 2"]');
CREATE TABLE judgement (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    track INTEGER NOT NULL REFERENCES track,
    testcase INTEGER NOT NULL REFERENCES testcase,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    since TEXT NOT NULL DEFAULT '',
    link TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (run, track, testcase)
) STRICT, WITHOUT ROWID;
INSERT INTO "judgement" VALUES(2,1,1,'passing','passing','','');
INSERT INTO "judgement" VALUES(2,1,2,'still failing','still failing','2026-11-20-0001','');
INSERT INTO "judgement" VALUES(2,1,3,'still failing','still failing','2026-11-20-0001','');
INSERT INTO "judgement" VALUES(2,1,4,'infrastructure','infrastructure','','');
CREATE TABLE kernel (
    no INTEGER PRIMARY KEY,
    state TEXT NOT NULL,            -- '' for one that was not built
    spec TEXT NOT NULL,
    release TEXT NOT NULL,
    description TEXT NOT NULL,
    git_commit TEXT NOT NULL,
    config_hash TEXT NOT NULL,
    patches TEXT NOT NULL,          -- JSON: [{"id": …, "name": …}, …]
    UNIQUE (state, spec, release, description, git_commit, config_hash, patches)
) STRICT;
INSERT INTO "kernel" VALUES(1,'c0ffee','debian:7.2','7.2.13','debian:7.2 (7.2.13-1), 1 patch','','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','[{"id": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "name": "hfs-fix.patch", "sha256": "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"}]');
CREATE TABLE run (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,        -- as people write it
    job TEXT NOT NULL,
    digest TEXT NOT NULL,           -- of the job's definition
    status TEXT NOT NULL,           -- running, complete, partial
    note TEXT NOT NULL DEFAULT '',  -- why it is partial
    harness TEXT NOT NULL,          -- digest of what ran: same digest, same tests
    host TEXT NOT NULL,
    directory TEXT NOT NULL,        -- artefacts and reports
    started REAL NOT NULL,          -- seconds since 1970
    ended REAL
) STRICT;
INSERT INTO "run" VALUES(1,'2026-11-20-0001','hfs','j','complete','','h','here','runs/1',1763600000.0,1763600060.0);
INSERT INTO "run" VALUES(2,'2026-11-21-0001','hfs','j','complete','','h','here','runs/2',1763686400.0,1763686460.0);
CREATE TABLE run_kernel (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    name TEXT NOT NULL,             -- the job's name for it
    kernel INTEGER NOT NULL REFERENCES kernel,
    PRIMARY KEY (run, name)
) STRICT, WITHOUT ROWID;
INSERT INTO "run_kernel" VALUES(1,'stable',1);
INSERT INTO "run_kernel" VALUES(2,'stable',1);
CREATE TABLE testcase (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    filesystem TEXT NOT NULL,
    event TEXT NOT NULL,
    errno TEXT NOT NULL,
    nodeid TEXT NOT NULL
) STRICT;
INSERT INTO "testcase" VALUES(1,'hfs-setup_bdev_super-EIO-0000','hfs','setup_bdev_super','EIO','suites/hfs/test_mount.py::test_forced_failure[hfs-setup_bdev_super-EIO-0000]');
INSERT INTO "testcase" VALUES(2,'hfs-setup_bdev_super-EIO-0001','hfs','setup_bdev_super','EIO','suites/hfs/test_mount.py::test_forced_failure[hfs-setup_bdev_super-EIO-0001]');
INSERT INTO "testcase" VALUES(3,'hfs-setup_bdev_super-EIO-0002','hfs','setup_bdev_super','EIO','suites/hfs/test_mount.py::test_forced_failure[hfs-setup_bdev_super-EIO-0002]');
INSERT INTO "testcase" VALUES(4,'hfs-setup_bdev_super-EIO-0003','hfs','setup_bdev_super','EIO','suites/hfs/test_mount.py::test_forced_failure[hfs-setup_bdev_super-EIO-0003]');
CREATE TABLE track (
    no INTEGER PRIMARY KEY,
    job TEXT NOT NULL,
    kernel TEXT NOT NULL,
    guest TEXT NOT NULL,
    suite TEXT NOT NULL,
    UNIQUE (job, kernel, guest, suite)
) STRICT;
INSERT INTO "track" VALUES(1,'hfs','stable','microvm','suites/hfs');
CREATE TABLE unit (
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    id TEXT NOT NULL,
    track INTEGER NOT NULL REFERENCES track,
    status TEXT NOT NULL,           -- done, failed, cut
    detail TEXT NOT NULL DEFAULT '',
    seconds REAL NOT NULL,
    PRIMARY KEY (run, id)
) STRICT, WITHOUT ROWID;
INSERT INTO "unit" VALUES(1,'unit-0',1,'done','',20.0);
INSERT INTO "unit" VALUES(2,'unit-0',1,'done','',20.0);
CREATE INDEX run_by_job ON run (job, started);
CREATE INDEX attempt_by_run ON attempt (run);
CREATE INDEX attempt_by_case ON attempt (testcase, track, run);
COMMIT;
