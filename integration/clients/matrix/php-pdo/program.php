<?php
// PHP: PDO with prepares of the server's own, persistent connections, cursors, COPY, large objects; and ext/pgsql beside it.

declare(strict_types=1);

$failed = false;

function check(string $name, mixed $got, mixed $want): void
{
    global $failed;
    if ($got === $want) {
        echo "ok $name\n";
        return;
    }
    $failed = true;
    echo "FAILED $name: got ", json_encode($got), ', want ', json_encode($want), "\n";
}

function saw(string $name, string $text): void
{
    echo "saw $name => $text\n";
}

function connect(array $options = []): PDO
{
    $dsn = sprintf('pgsql:host=%s;port=%s;dbname=%s;sslmode=disable', getenv('PGHOST'), getenv('PGPORT'), getenv('PGDATABASE'));
    return new PDO($dsn, getenv('PGUSER'), getenv('PGPASSWORD'), $options + [
        PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::ATTR_EMULATE_PREPARES => false, PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_NUM,
    ]);
}

function worker(int $i): void
{
    $db = connect([PDO::ATTR_PERSISTENT => true]);
    $sum = $db->prepare('SELECT ?::int4 * 1000 + ?::int4');
    $insert = $db->prepare('INSERT INTO m_php (worker, n) VALUES (:w, :n)');
    $div = $db->prepare('SELECT 1 / ?::int4');
    for ($n = 0; $n < 15; $n++) {
        $sum->execute([$i, $n]);
        if ($sum->fetchColumn() !== $i * 1000 + $n) {
            throw new Exception('sum');
        }
        $db->beginTransaction();
        $insert->execute(['w' => $i, 'n' => $n]);
        $count = $db->prepare('SELECT count(*) FROM m_php WHERE worker = ?');
        $count->execute([$i]);
        if ($count->fetchColumn() !== $n + 1) {
            throw new Exception('count');
        }
        $db->commit();
        try {
            $div->execute([0]);
            throw new Exception('no error');
        } catch (PDOException $e) {
            if ($e->getCode() !== '22012') {
                throw $e;
            }
        }
    }
}

if (($argv[1] ?? '') === 'worker') {
    worker((int) $argv[2]);
    exit(0);
}

/** Runs this file once for each worker, all at once: PHP has no threads. */
function workers(): array
{
    $running = [];
    for ($i = 0; $i < (int) getenv('WORKERS'); $i++) {
        $running[] = proc_open([PHP_BINARY, __FILE__, 'worker', (string) $i], [1 => STDOUT, 2 => STDERR], $pipes);
    }
    return array_map('proc_close', $running);
}

echo 'version ', PHP_VERSION, "\n";
$db = connect();
$db->exec('DROP TABLE IF EXISTS m_php; CREATE TABLE m_php (worker int, n int, t text, b bytea)');
check('8 processes at once: prepared on the server, transactions, errors', array_sum(workers()), 0);

$one = $db->prepare('SELECT :a::int4, :b::text, :c::bool, :d::text');
$one->bindValue('a', 5, PDO::PARAM_INT);
$one->bindValue('b', "it's");
$one->bindValue('c', true, PDO::PARAM_BOOL);
$one->bindValue('d', null, PDO::PARAM_NULL);
$one->execute();
check('named parameters and types', $one->fetch(), [5, "it's", true, null]);
check('getColumnMeta', $one->getColumnMeta(0)['native_type'], 'int4');
for ($n = 0; $n < 250; $n++) {
    $q = $db->prepare("SELECT ?::int4 + $n");
    $q->execute([1]);
    if ($q->fetchColumn() !== $n + 1) {
        check('250 statements, each prepared, run and closed', $n, 250);
    }
}
check('250 statements, each prepared, run and closed', $n, 250);
$lazy = $db->prepare('SELECT ?::int4', [PDO::PGSQL_ATTR_DISABLE_PREPARES => true]);
$lazy->execute([3]);
check('PGSQL_ATTR_DISABLE_PREPARES', $lazy->fetchColumn(), 3);
$emulated = $db->prepare('SELECT ?::int4; SELECT 2', [PDO::ATTR_EMULATE_PREPARES => true]);
$emulated->execute([3]);
check('emulated prepares, several statements', (int) $emulated->fetchColumn(), 2);

$db->beginTransaction();
$cursor = $db->prepare('SELECT g FROM generate_series(1, 50) g', [PDO::ATTR_CURSOR => PDO::CURSOR_SCROLL]);
$cursor->execute();
check('scrollable cursor', [$cursor->fetch(), $cursor->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_LAST), $cursor->fetch(PDO::FETCH_NUM, PDO::FETCH_ORI_ABS, 7)], [[1], [50], [7]]);
$cursor = null;
$db->exec('SAVEPOINT s');
try {
    $db->exec('SELECT nonsense');
} catch (PDOException $e) {
    saw('an error', $e->errorInfo[0] . ' ' . explode("\n", $e->errorInfo[2])[0]);
}
$db->exec('ROLLBACK TO s');
check('in a transaction', $db->inTransaction(), true);
$oid = $db->pgsqlLOBCreate();
$lob = $db->pgsqlLOBOpen($oid, 'w');
fwrite($lob, 'large');
$lob = null;
check('large object', stream_get_contents($db->pgsqlLOBOpen($oid, 'r')), 'large');
$db->pgsqlLOBUnlink($oid);
$db->rollBack();

check('COPY FROM an array', $db->pgsqlCopyFromArray('m_php', array_map(fn ($n) => "90\t$n\tx\t\\N\n", range(0, 999))), true);
check('COPY TO an array', count($db->pgsqlCopyToArray("(SELECT * FROM m_php WHERE worker = 90)")), 1000);
try {
    $db->pgsqlCopyFromArray('m_php', ["x\n"]);
} catch (PDOException $e) {
    saw('COPY refused', $e->errorInfo[0]);
}
$insert = $db->prepare('INSERT INTO m_php (worker, b) VALUES (91, ?) RETURNING b');
$insert->bindValue(1, "\0\1\xff'\\", PDO::PARAM_LOB);
$insert->execute();
check('bytea', stream_get_contents($insert->fetchColumn()), "\0\1\xff'\\");
$db->exec('LISTEN m_php');
$db->exec("SELECT pg_notify('m_php', 'hello')");
check('LISTEN and NOTIFY', $db->pgsqlGetNotify(PDO::FETCH_NUM, 10000)[2] ?? null, 'hello');
$db->exec('UNLISTEN *');
$db->exec("SET TIME ZONE 'Asia/Tokyo'");
check('SET outlives the transaction', $db->query("SELECT '2024-01-01 00:00'::timestamptz::text")->fetchColumn(), '2024-01-01 00:00:00+09');
check('lastInsertId', $db->exec('CREATE TEMP SEQUENCE s; SELECT nextval(\'s\')') !== false ? $db->lastInsertId('s') : '', '1');
$db = null;

$pg = pg_connect(sprintf("host='%s' port='%s' dbname='%s' user='%s' password='%s' sslmode=disable",
    getenv('PGHOST'), getenv('PGPORT'), getenv('PGDATABASE'), getenv('PGUSER'), getenv('PGPASSWORD')));
pg_prepare($pg, 'mine', 'SELECT $1::int4 + 1');
check('ext/pgsql: pg_prepare, pg_execute', pg_fetch_result(pg_execute($pg, 'mine', [41]), 0, 0), '42');
pg_send_execute($pg, 'mine', [1]);
check('ext/pgsql: asynchronous', pg_fetch_result(pg_get_result($pg), 0, 0), '2');
while (pg_get_result($pg)) {
}
pg_send_query($pg, 'SELECT pg_sleep(30)');
usleep(300_000); // a cancel request that overtakes the query finds nothing to cancel
check('ext/pgsql: pg_cancel_query', pg_cancel_query($pg), true);
check('ext/pgsql: after the cancel', pg_fetch_result(pg_query($pg, 'SELECT 1'), 0, 0), '1');
pg_query($pg, 'DROP TABLE m_php');
pg_close($pg);
exit($failed ? 1 : 0);
