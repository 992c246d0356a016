BEGIN;

-- What everybody would have by default: connecting, temporary tables and (before PostgreSQL 15) tables in public.
REVOKE ALL ON DATABASE "EPMT" FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;

GRANT CONNECT ON DATABASE "EPMT" TO "epmt-rw", "epmt-ro";
ALTER SCHEMA public OWNER TO "epmt-admin";
GRANT USAGE ON SCHEMA public TO "epmt-rw", "epmt-ro";

-- FOR ROLE is what makes these hold for the tables of later migrations: without it they bind to whoever runs this file,
-- and everybody else's new tables answer "permission denied".
ALTER DEFAULT PRIVILEGES FOR ROLE "epmt-admin" IN SCHEMA public GRANT SELECT ON TABLES TO "epmt-ro";
ALTER DEFAULT PRIVILEGES FOR ROLE "epmt-admin" IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO "epmt-rw";
ALTER DEFAULT PRIVILEGES FOR ROLE "epmt-admin" IN SCHEMA public GRANT ALL ON SEQUENCES TO "epmt-rw";

-- From here on as the account that migrations run as: it owns what it creates, and the default privileges apply.
SET LOCAL ROLE "epmt-admin";
SET LOCAL search_path = public;

CREATE TABLE alembic_version (
    version_num varchar(32) PRIMARY KEY
);

CREATE TABLE users (
    name       text PRIMARY KEY,
    id         integer UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE hosts (
    name       text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE jobs (
    jobid       text PRIMARY KEY,
    jobname     text,
    user_id     text NOT NULL REFERENCES users (name),
    start       timestamptz NOT NULL,
    "end"       timestamptz,
    duration    double precision,      -- microseconds
    exitcode    integer,
    tags        jsonb NOT NULL DEFAULT '{}',
    annotations jsonb NOT NULL DEFAULT '{}',
    env_dict    jsonb NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE host_job_associations (
    host_name text REFERENCES hosts (name),
    jobid     text REFERENCES jobs (jobid) ON DELETE CASCADE,
    PRIMARY KEY (host_name, jobid)
);

-- serial, as in EPMT, and not an identity column: inserting needs a right on the sequence.
CREATE TABLE processes (
    id          serial PRIMARY KEY,
    jobid       text NOT NULL REFERENCES jobs (jobid) ON DELETE CASCADE,
    exename     text NOT NULL,
    args        text,
    pid         integer NOT NULL,
    ppid        integer NOT NULL,
    start       timestamptz NOT NULL,
    duration    double precision,      -- microseconds
    exitcode    integer,
    cpu_time    double precision,      -- microseconds
    tags        jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX ON processes (jobid);

CREATE TABLE unprocessed_jobs (
    jobid text PRIMARY KEY REFERENCES jobs (jobid) ON DELETE CASCADE
);

INSERT INTO alembic_version VALUES ('392efb1132ae');
INSERT INTO users VALUES ('Mary.Smith', 4711), ('John.Doe', 4712);
INSERT INTO hosts VALUES ('pp208'), ('pp313');

INSERT INTO jobs (jobid, jobname, user_id, start, "end", duration, exitcode, tags)
SELECT (685000 + n)::text,
       'ESM4_historical_D151_' || 1849 + n,
       (ARRAY['Mary.Smith', 'John.Doe'])[1 + n % 2],
       timestamptz '2024-06-15 08:00Z' + n * interval '1 hour',
       timestamptz '2024-06-15 08:40Z' + n * interval '1 hour',
       2400e6,
       0,
       jsonb_build_object('exp_name', 'ESM4_historical_D151', 'exp_component', (ARRAY['ocean', 'atmos', 'land'])[1 + n % 3])
FROM generate_series(1, 12) AS n;

INSERT INTO host_job_associations
SELECT (ARRAY['pp208', 'pp313'])[1 + jobid::integer % 2], jobid FROM jobs;

INSERT INTO processes (jobid, exename, args, pid, ppid, start, duration, exitcode, cpu_time)
SELECT jobid, exename, args, 6000 + row_number() OVER (PARTITION BY jobid), 6000, start, 600e6, 0, 550e6
FROM jobs, (VALUES ('tcsh', '-f runscript'), ('dmget', '19900101.nc'), ('ncra', '-O in.nc out.nc'), ('hsmput', 'out.nc'))
     AS p (exename, args);

COMMIT;
