// pgjdbc: statements prepared at the first execution, autosave, fetch sizes, rewritten batches, generated keys, what a pool
// sets on a connection, cancel and timeouts, COPY, large objects, notifications.

import java.io.StringReader;
import java.io.StringWriter;
import java.sql.Array;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Properties;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;

public class Program {
    static final int WORKERS = Integer.parseInt(System.getenv("WORKERS"));
    static final int ROUNDS = 15;
    static boolean failed;

    static void check(String name, Object got, Object want) {
        if (Objects.equals(got, want)) {
            System.out.println("ok " + name);
            return;
        }
        failed = true;
        System.out.println("FAILED " + name + ": got " + got + ", want " + want);
    }

    static void saw(String name, String text) {
        System.out.println("saw " + name + " => " + text);
    }

    static Connection connect(String... options) throws SQLException {
        Properties p = new Properties();
        p.setProperty("user", System.getenv("PGUSER"));
        p.setProperty("password", System.getenv("PGPASSWORD"));
        p.setProperty("sslmode", "disable");
        p.setProperty("prepareThreshold", "1");
        for (int i = 0; i < options.length; i += 2) {
            p.setProperty(options[i], options[i + 1]);
        }
        return DriverManager.getConnection("jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT")
            + "/" + System.getenv("PGDATABASE"), p);
    }

    interface Work {
        void run() throws Exception;
    }

    static String error(Work w) throws Exception {
        try {
            w.run();
            return "no error";
        } catch (SQLException e) {
            return e.getSQLState() + " " + e.getMessage().split("\n")[0];
        }
    }

    static Object one(Connection c, String sql, Object... args) throws SQLException {
        try (PreparedStatement s = c.prepareStatement(sql)) {
            for (int i = 0; i < args.length; i++) {
                s.setObject(i + 1, args[i]);
            }
            try (ResultSet r = s.executeQuery()) {
                return r.next() ? r.getObject(1) : null;
            }
        }
    }

    static void worker(int i, String... options) throws Exception {
        try (Connection c = connect(options)) {
            for (int n = 0; n < ROUNDS; n++) {
                c.setAutoCommit(true);
                want(one(c, "SELECT ?::int4 * 1000 + ?::int4", i, n), i * 1000 + n);
                c.setAutoCommit(false);
                try (PreparedStatement s = c.prepareStatement("INSERT INTO m_jdbc (worker, n) VALUES (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
                    s.setInt(1, i);
                    s.setInt(2, n);
                    s.executeUpdate();
                    ResultSet keys = s.getGeneratedKeys();
                    want(keys.next() && keys.getLong("id") > 0, true);
                }
                want(one(c, "SELECT count(*) FROM m_jdbc WHERE worker = ?", i), (long) n + 1);
                c.commit();
                want(error(() -> one(c, "SELECT 1 / ?::int4", 0)), "22012 ERROR: division by zero");
                c.rollback();
            }
        }
    }

    static void want(Object got, Object want) {
        if (!Objects.equals(got, want)) {
            throw new IllegalStateException("got " + got + ", want " + want);
        }
    }

    static void workers(String name, String... options) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(WORKERS);
        List<Future<String>> all = new ArrayList<>();
        for (int i = 0; i < WORKERS; i++) {
            int id = i;
            all.add(pool.submit(() -> {
                try {
                    worker(id, options);
                    return "";
                } catch (Exception e) {
                    return id + ": " + e;
                }
            }));
        }
        StringBuilder errors = new StringBuilder();
        for (Future<String> f : all) {
            errors.append(f.get());
        }
        pool.shutdown();
        check(name, errors.toString(), "");
        try (Connection c = connect(); Statement s = c.createStatement()) {
            s.execute("TRUNCATE m_jdbc");
        }
    }

    static void statements() throws Exception {
        try (Connection c = connect()) {
            check("types", Arrays.asList(one(c, "SELECT ?::numeric", new java.math.BigDecimal("1.50")), one(c, "SELECT ?::text", "it's"),
                one(c, "SELECT ?::bool", true), one(c, "SELECT ?::timestamptz = '2024-06-15 00:00Z'", OffsetDateTime.parse("2024-06-15T00:00:00Z"))).toString(),
                "[1.50, it's, true, true]");
            Array array = c.createArrayOf("int4", new Integer[] {1, 2});
            check("arrays", one(c, "SELECT array_length(?::int4[], 1)", array), 2);
            for (int n = 0; n < 300; n++) { // more than preparedStatementCacheQueries
                want(one(c, "SELECT ?::int4 + " + n, 1), n + 1);
            }
            check("300 statements: more than the driver's cache", one(c, "SELECT ?::int4 + 3", 1), 4);
            try (Statement s = c.createStatement()) {
                s.execute("SELECT 1; SELECT 2");
                s.getMoreResults();
                ResultSet r = s.getResultSet();
                r.next();
                check("several statements in one text", r.getInt(1), 2);
            }
            try (PreparedStatement s = c.prepareStatement("SELECT ?::int4 AS a, ?::text AS b")) {
                check("metadata before the execution", s.getMetaData().getColumnName(2) + s.getParameterMetaData().getParameterTypeName(1), "bint4");
            }
            check("DatabaseMetaData", c.getMetaData().getColumns(null, null, "m_jdbc", "n").next(), true);
        }
    }

    static void changingTables(String autosave) throws Exception {
        try (Connection c = connect("autosave", autosave); Statement s = c.createStatement()) {
            s.execute("CREATE TABLE m_jdbc_shape (a int)");
            s.execute("INSERT INTO m_jdbc_shape VALUES (1)");
            PreparedStatement q = c.prepareStatement("SELECT * FROM m_jdbc_shape");
            q.executeQuery().close();
            q.executeQuery().close();
            s.execute("ALTER TABLE m_jdbc_shape ADD COLUMN b int DEFAULT 2");
            ResultSet r = q.executeQuery();
            check("autosave=" + autosave + ": a table that has changed", r.getMetaData().getColumnCount(), 2);
            c.setAutoCommit(false);
            q.executeQuery().close();
            s.execute("ALTER TABLE m_jdbc_shape ADD COLUMN c int DEFAULT 3");
            saw("autosave=" + autosave + ": and in a transaction", error(() -> q.executeQuery()));
            c.rollback();
            c.setAutoCommit(true);
            s.execute("DROP TABLE m_jdbc_shape");
        }
        try (Connection c = connect("autosave", autosave)) {
            c.setAutoCommit(false);
            one(c, "SELECT 1");
            String first = error(() -> one(c, "SELECT nonsense"));
            saw("autosave=" + autosave + ": after an error in a transaction", first + "; " + error(() -> one(c, "SELECT 2")));
            c.rollback();
        }
    }

    static void fetching() throws Exception {
        try (Connection c = connect()) {
            c.setAutoCommit(false);
            try (PreparedStatement s = c.prepareStatement("SELECT g FROM generate_series(1, ?) g")) {
                s.setFetchSize(50);
                s.setInt(1, 1000);
                long total = 0;
                ResultSet r = s.executeQuery();
                while (r.next()) {
                    total += r.getLong(1);
                    if (r.getLong(1) == 60) {
                        want(one(c, "SELECT ?::int4", 5), 5); // another portal between two fetches
                    }
                }
                check("fetch size 50", total, 500500L);
                r = s.executeQuery();
                r.next();
                r.close();
                check("closed half-way", one(c, "SELECT 1"), 1);
            }
            c.commit();
        }
        try (Connection c = connect("adaptiveFetch", "true", "defaultRowFetchSize", "10")) {
            c.setAutoCommit(false);
            try (Statement s = c.createStatement(); ResultSet r = s.executeQuery("SELECT g FROM generate_series(1, 100) g")) {
                int n = 0;
                while (r.next()) {
                    n++;
                }
                check("defaultRowFetchSize with adaptiveFetch", n, 100);
            }
        }
    }

    static void batches(String rewrite) throws Exception {
        try (Connection c = connect("reWriteBatchedInserts", rewrite)) {
            c.setAutoCommit(false);
            try (PreparedStatement s = c.prepareStatement("INSERT INTO m_jdbc (worker, n) VALUES (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
                for (int n = 0; n < 700; n++) {
                    s.setInt(1, 90);
                    s.setInt(2, n);
                    s.addBatch();
                }
                check("reWriteBatchedInserts=" + rewrite + ": a batch of 700", s.executeBatch().length, 700);
                ResultSet keys = s.getGeneratedKeys();
                int n = 0;
                while (keys.next()) {
                    n++;
                }
                check("reWriteBatchedInserts=" + rewrite + ": its keys", n, 700);
            }
            check("reWriteBatchedInserts=" + rewrite + ": its rows", one(c, "SELECT count(*) FROM m_jdbc WHERE worker = 90"), 700L);
            c.commit();
            try (PreparedStatement s = c.prepareStatement("UPDATE m_jdbc SET n = 100 / ? WHERE worker = 90 AND n = 1")) {
                for (int d : new int[] {1, 0, 2}) {
                    s.setInt(1, d);
                    s.addBatch();
                }
                try {
                    s.executeBatch();
                } catch (BatchUpdateException e) {
                    saw("reWriteBatchedInserts=" + rewrite + ": an error in a batch", e.getSQLState() + " " + e.getUpdateCounts().length);
                }
            }
            c.rollback();
            one(c, "DELETE FROM m_jdbc RETURNING 1");
            c.commit();
        }
    }

    static void connectionState() throws Exception {
        try (Connection c = connect("ApplicationName", "matrix", "currentSchema", "pg_catalog,public", "options", "-c statement_timeout=54321")) {
            check("startup: ApplicationName, currentSchema, options", one(c, "SHOW application_name") + " " + one(c, "SELECT replace(current_setting('search_path'), ', ', ',') || ' ' || current_setting('statement_timeout')"),
                "matrix pg_catalog,public 54321ms");
            c.setSchema("public");
            check("setSchema", one(c, "SHOW search_path"), "public");
            check("getSchema", c.getSchema(), "public");
            c.setReadOnly(true);
            c.setAutoCommit(false);
            saw("setReadOnly", error(() -> one(c, "INSERT INTO m_jdbc (worker, n) VALUES (1, 1) RETURNING id")));
            c.rollback();
            c.setReadOnly(false);
            c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            check("setTransactionIsolation", one(c, "SHOW transaction_isolation"), "serializable");
            c.commit();
            c.setAutoCommit(true);
            check("the isolation holds", one(c, "SHOW transaction_isolation"), "serializable");
            c.setNetworkTimeout(Runnable::run, 20000);
            check("setNetworkTimeout", c.getNetworkTimeout(), 20000);
            c.setClientInfo("ApplicationName", "other");
            check("setClientInfo", one(c, "SHOW application_name"), "other");
            check("isValid", c.isValid(5), true);
            c.setAutoCommit(false);
            Savepoint p = c.setSavepoint("s");
            error(() -> one(c, "SELECT nonsense"));
            c.rollback(p);
            c.releaseSavepoint(p);
            check("savepoint", one(c, "SELECT 4"), 4);
            c.rollback();
        }
        try (Connection c = connect("preferQueryMode", "simple")) {
            check("preferQueryMode=simple", one(c, "SELECT ?::int4", 5), 5);
        }
        try (Connection c = connect("preferQueryMode", "extendedCacheEverything"); Statement s = c.createStatement()) {
            for (int i = 0; i < 3; i++) {
                ResultSet r = s.executeQuery("SELECT 6");
                r.next();
                want(r.getInt(1), 6);
            }
            check("preferQueryMode=extendedCacheEverything", one(c, "SELECT ?::int4", 6), 6);
        }
        try (Connection c = connect("binaryTransfer", "true"); Statement s = c.createStatement()) {
            s.execute("DISCARD ALL");
            check("after DISCARD ALL", one(c, "SELECT ?::int4", 7), 7);
            one(c, "SELECT ?::int4 + 1", 7);
            s.execute("DEALLOCATE ALL");
            check("after DEALLOCATE ALL", one(c, "SELECT ?::int4 + 1", 7), 8);
        }
    }

    static void cancelling() throws Exception {
        try (Connection c = connect(); Statement s = c.createStatement()) {
            s.setQueryTimeout(1);
            saw("setQueryTimeout", error(() -> s.execute("SELECT pg_sleep(30)")));
            s.setQueryTimeout(0);
            Thread t = new Thread(() -> {
                try {
                    Thread.sleep(300);
                    s.cancel();
                } catch (Exception e) {
                    e.printStackTrace();
                }
            });
            t.start();
            saw("cancel", error(() -> s.execute("SELECT pg_sleep(30)")));
            t.join();
            check("after the cancel", one(c, "SELECT 1"), 1);
        }
    }

    static void extras() throws Exception {
        try (Connection c = connect(); Statement s = c.createStatement()) {
            PGConnection pg = c.unwrap(PGConnection.class);
            check("COPY FROM", pg.getCopyAPI().copyIn("COPY m_jdbc (worker, n) FROM STDIN", new StringReader("91\t1\n91\t2\n")), 2L);
            StringWriter out = new StringWriter();
            pg.getCopyAPI().copyOut("COPY (SELECT n FROM m_jdbc WHERE worker = 91 ORDER BY n) TO STDOUT", out);
            check("COPY TO", out.toString(), "1\n2\n");
            saw("COPY refused", error(() -> pg.getCopyAPI().copyIn("COPY m_jdbc (worker, n) FROM STDIN", new StringReader("x\n"))).split("\n")[0]);
            c.setAutoCommit(false);
            LargeObjectManager lobs = pg.getLargeObjectAPI();
            long id = lobs.createLO(LargeObjectManager.READWRITE);
            LargeObject lob = lobs.open(id, LargeObjectManager.READWRITE);
            lob.write("large".getBytes());
            lob.seek(0);
            check("large object, by function call messages", new String(lob.read(5)), "large");
            lob.close();
            lobs.delete(id);
            c.commit();
            c.setAutoCommit(true);
            s.execute("LISTEN m_jdbc");
            try (Connection other = connect(); Statement n = other.createStatement()) {
                n.execute("NOTIFY m_jdbc, 'hello'");
            }
            PGNotification[] heard = pg.getNotifications(20000);
            check("LISTEN and getNotifications", heard != null && heard[0].getParameter().equals("hello"), true);
            s.execute("UNLISTEN *");
            s.execute("DO $$ BEGIN RAISE WARNING 'heard'; END $$");
            check("warnings", s.getWarnings().getMessage(), "heard");
            try (var call = c.prepareCall("{? = call upper(?)}")) {
                call.registerOutParameter(1, java.sql.Types.VARCHAR);
                call.setString(2, "x");
                call.execute();
                check("CallableStatement", call.getString(1), "X");
            }
        }
    }

    public static void main(String[] args) throws Exception {
        System.out.println("version " + org.postgresql.util.DriverInfo.DRIVER_VERSION);
        try (Connection c = connect(); Statement s = c.createStatement()) {
            s.execute("DROP TABLE IF EXISTS m_jdbc, m_jdbc_shape");
            s.execute("CREATE TABLE m_jdbc (id bigserial PRIMARY KEY, worker int, n int)");
        }
        workers("8 threads: prepared at the first execution, generated keys, transactions, errors");
        workers("8 threads with autosave=always", "autosave", "always");
        statements();
        changingTables("never");
        changingTables("conservative");
        changingTables("always");
        fetching();
        batches("false");
        batches("true");
        connectionState();
        cancelling();
        extras();
        try (Connection c = connect(); Statement s = c.createStatement()) {
            s.execute("DROP TABLE m_jdbc");
        }
        System.exit(failed ? 1 : 0);
    }
}
