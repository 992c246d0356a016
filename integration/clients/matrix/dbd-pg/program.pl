# DBD::Pg: statements prepared on the server, asynchronous queries, COPY, savepoints, notifications, cancel, large objects.
use strict;
use warnings;
use DBI;
use DBD::Pg qw(:pg_types :async);

$| = 1;
my $failed = 0;

sub check {
    my ($name, $got, $want) = @_;
    $got = defined $got ? $got : 'undef';
    if ($got eq $want) { print "ok $name\n"; return }
    $failed = 1;
    print "FAILED $name: got '$got', want '$want'\n";
}

sub connect_to {
    return DBI->connect("dbi:Pg:dbname=$ENV{PGDATABASE};host=$ENV{PGHOST};port=$ENV{PGPORT};sslmode=disable",
        $ENV{PGUSER}, $ENV{PGPASSWORD}, { RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoCommit => 1, pg_server_prepare => 1, @_ });
}

sub worker {
    my ($i) = @_;
    my $db = connect_to(pg_switch_prepared => 1);
    my $sum = $db->prepare('SELECT ?::int4 * 1000 + ?::int4');
    my $insert = $db->prepare('INSERT INTO m_perl (worker, n) VALUES (?, ?)');
    my $div = $db->prepare('SELECT 1 / ?::int4');
    for my $n (0 .. 14) {
        $sum->execute($i, $n);
        die 'sum' unless $sum->fetchrow_array == $i * 1000 + $n;
        $sum->finish;
        $db->begin_work;
        $insert->execute($i, $n);
        my ($count) = $db->selectrow_array('SELECT count(*) FROM m_perl WHERE worker = ?', undef, $i);
        die "count $count" unless $count == $n + 1;
        $db->commit;
        eval { $div->execute(0); 1 } and die 'no error';
        die $@ unless $db->state eq '22012';
    }
    $db->disconnect;
}

if (@ARGV && $ARGV[0] eq 'worker') { worker($ARGV[1]); exit 0 }

print "version $DBD::Pg::VERSION\n";
my $db = connect_to();
$db->do('DROP TABLE IF EXISTS m_perl');
$db->do('CREATE TABLE m_perl (worker int, n int, t text)');
my @children = map {
    my $i = $_;
    my $pid = fork // die $!;
    if (!$pid) { exec $^X, $0, 'worker', $i or die $! }
    $pid;
} 0 .. $ENV{WORKERS} - 1;
check '8 processes at once: prepared on the server, transactions, errors', join(',', map { waitpid $_, 0; $? } @children), join(',', (0) x $ENV{WORKERS});

my $now = $db->prepare('SELECT $1::int4 + $2::int4', { pg_prepare_now => 1 });
$now->execute(1, 2);
check 'pg_prepare_now', $now->fetchrow_array, 3;
check 'the statement has a name', $now->{pg_prepare_name} =~ /^dbdpg_/ ? 'yes' : 'no', 'yes';
my $explicit = $db->prepare('SELECT 7', { pg_prepare_name => 'my_own' });
$db->do('PREPARE my_own AS SELECT 7');
$explicit->execute;
check 'a statement that SQL has prepared', $explicit->fetchrow_array, 7;
$db->do('DEALLOCATE my_own');
for my $n (1 .. 250) { die unless $db->selectrow_array("SELECT ?::int4 + $n", undef, 1) == $n + 1 }
check '250 statements', 'done', 'done';
$now->execute(3, 4);
check 'an old one again', $now->fetchrow_array, 7;
my $typed = $db->prepare('SELECT ?');
$typed->bind_param(1, "\0\1\xff", { pg_type => PG_BYTEA });
$typed->execute;
check 'bytea', unpack('H*', $typed->fetchrow_array), '0001ff';
check 'arrays', join('|', @{ $db->selectrow_arrayref('SELECT ?::int[]', undef, [1, 2, 3])->[0] }), '1|2|3';
my $tuples = $db->prepare('INSERT INTO m_perl (worker, n) VALUES (?, ?)');
check 'execute_array', $tuples->execute_array({}, [(90) x 300], [1 .. 300]), 300;

my $slow = $db->prepare("SELECT 5 FROM pg_sleep(0.2)", { pg_async => PG_ASYNC });
$slow->execute;
check 'asynchronous', $db->pg_result, 1;
check 'its answer', $slow->fetchrow_array, 5;
my $endless = $db->prepare('SELECT pg_sleep(30)', { pg_async => PG_ASYNC });
$endless->execute;
select undef, undef, undef, 0.3; # a cancel request that overtakes the query finds nothing to cancel
check 'pg_cancel', $db->pg_cancel, 1;
check 'after the cancel', $db->selectrow_array('SELECT 1'), 1;

$db->do('COPY m_perl (worker, n, t) FROM STDIN');
$db->pg_putcopydata("91\t$_\tx\n") for 1 .. 1000;
$db->pg_putcopyend;
$db->do('COPY (SELECT n FROM m_perl WHERE worker = 91) TO STDOUT');
my ($line, $lines) = ('', 0);
$lines++ while $db->pg_getcopydata($line) >= 0;
check 'COPY both ways', $lines, 1000;

$db->begin_work;
$db->do('INSERT INTO m_perl (worker, n) VALUES (92, 1)');
$db->pg_savepoint('s');
eval { $db->do('SELECT nonsense') };
print 'saw an error => ', $db->state, ' ', (split /\n/, $db->errstr)[0], "\n";
$db->pg_rollback_to('s');
my $lo = $db->pg_lo_creat($db->{pg_INV_WRITE} | $db->{pg_INV_READ});
my $fd = $db->pg_lo_open($lo, $db->{pg_INV_WRITE});
check 'large object', $db->pg_lo_write($fd, 'large', 5), 5;
$db->pg_lo_close($fd);
$db->pg_lo_unlink($lo);
$db->do('DECLARE walker CURSOR FOR SELECT g FROM generate_series(1, 20) g');
check 'cursor', join(',', map { $_->[0] } @{ $db->selectall_arrayref('FETCH 3 FROM walker') }), '1,2,3';
$db->rollback;
check 'rollback', $db->selectrow_array('SELECT count(*) FROM m_perl WHERE worker = 92'), 0;

$db->do('LISTEN m_perl');
my $other = connect_to();
$other->do("SELECT pg_notify('m_perl', 'hello')");
$other->disconnect;
my $heard;
for (1 .. 200) { last if $heard = $db->pg_notifies; select undef, undef, undef, 0.05 }
check 'LISTEN and NOTIFY', $heard ? "$heard->[0] $heard->[2]" : 'nothing', 'm_perl hello';
$db->do('UNLISTEN *');
check 'ping', $db->ping, 1;
$db->do("SET search_path = pg_catalog, public");
check 'SET outlives the transaction', $db->selectrow_array('SHOW search_path'), 'pg_catalog, public';
$db->do('RESET search_path');
check 'table_info', join(',', map { $_->{COLUMN_NAME} } @{ $db->column_info(undef, undef, 'm_perl', undef)->fetchall_arrayref({}) }), 'worker,n,t';
check 'last_insert_id', do {
    $db->do('CREATE TEMP TABLE with_key (id serial PRIMARY KEY)');
    $db->do('INSERT INTO with_key DEFAULT VALUES');
    $db->last_insert_id(undef, undef, 'with_key', undef);
}, 1;
my $clone = $db->clone;
check 'clone', $clone->selectrow_array('SELECT 8'), 8;
$clone->disconnect;
$db->do('DROP TABLE m_perl');
$db->disconnect;
exit $failed;
