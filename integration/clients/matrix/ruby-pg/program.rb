# ruby-pg: prepared statements by name, pipeline mode, COPY, asynchronous queries, single-row mode, cancel, notifications.
require 'pg'

WORKERS = Integer(ENV.fetch('WORKERS'))
ROUNDS = 15
$failed = false
STDOUT.sync = true

def check(name, got, want)
  if got == want
    puts "ok #{name}"
  else
    $failed = true
    puts "FAILED #{name}: got #{got.inspect}, want #{want.inspect}"
  end
end

def saw(name, text) = puts("saw #{name} => #{text}")

def connect = PG.connect(ENV.fetch('DSN'))

def error
  yield
  nil
rescue PG::Error => e
  e
end

def worker(i)
  conn = connect
  conn.prepare('sum', 'SELECT $1::int4 * 1000 + $2::int4')
  conn.prepare('ins', 'INSERT INTO m_ruby (worker, n) VALUES ($1, $2)')
  conn.prepare('div', 'SELECT 1 / $1::int4')
  ROUNDS.times do |n|
    got = conn.exec_prepared('sum', [i, n]).getvalue(0, 0)
    raise "sum #{got}" unless got == (i * 1000 + n).to_s
    conn.transaction do
      conn.exec_prepared('ins', [i, n])
      count = conn.exec_params('SELECT count(*) FROM m_ruby WHERE worker = $1', [i]).getvalue(0, 0)
      raise "count #{count}" unless count == (n + 1).to_s
    end
    e = error { conn.exec_prepared('div', [0]) }
    raise 'no error' unless e.is_a?(PG::DivisionByZero)
  end
ensure
  conn&.close
end

def statements(conn)
  conn.prepare('one', 'SELECT $1::int4 AS a, $2::text AS b')
  described = conn.describe_prepared('one')
  check 'describe_prepared', [described.nparams, described.fields], [2, %w[a b]]
  check 'exec_prepared', conn.exec_prepared('one', [1, 'x']).values, [%w[1 x]]
  check 'a name twice', error { conn.prepare('one', 'SELECT 2') }.class, PG::DuplicatePstatement
  check 'a name that does not exist', error { conn.exec_prepared('two', []) }.class, PG::InvalidSqlStatementName
  conn.exec('DEALLOCATE one')
  check 'DEALLOCATE', error { conn.exec_prepared('one', [1, 'x']) }.class, PG::InvalidSqlStatementName
  conn.prepare('one', 'SELECT $1::int4 + 1')
  check 'the name again, for something else', conn.exec_prepared('one', [1]).getvalue(0, 0), '2'
  conn.type_map_for_results = PG::BasicTypeMapForResults.new(conn)
  check 'types from the catalogue', conn.exec("SELECT 1, 1.5::float8, true, 'x', '{1,2}'::int4[], '2024-06-15'::date::text").values,
        [[1, 1.5, true, 'x', [1, 2], '2024-06-15']]
  check 'binary results', conn.exec_params('SELECT $1::bytea', [{ value: "\0\1\xff".b, format: 1 }], 1).getvalue(0, 0), "\0\1\xff".b
end

def pipelines(conn)
  conn.enter_pipeline_mode
  conn.send_prepare('pipe', 'SELECT $1::int4 * 2')
  20.times { |n| conn.send_query_prepared('pipe', [n]) }
  conn.pipeline_sync
  conn.send_query_params('SELECT 1 / $1::int4', [0])
  conn.send_query_prepared('pipe', [1])
  conn.pipeline_sync
  conn.send_query_prepared('pipe', [21])
  conn.pipeline_sync
  seen = []
  syncs = 0
  until syncs == 3
    r = conn.get_result
    next if r.nil?

    case r.result_status
    when PG::PGRES_PIPELINE_SYNC then (syncs += 1) && seen << 'sync'
    when PG::PGRES_TUPLES_OK then seen << r.getvalue(0, 0)
    when PG::PGRES_PIPELINE_ABORTED then seen << 'aborted'
    when PG::PGRES_FATAL_ERROR then seen << r.error_field(PG::PG_DIAG_SQLSTATE)
    end
  end
  conn.exit_pipeline_mode
  check 'pipeline mode', seen, 20.times.map { |n| (n * 2).to_s } + %w[sync 22012 aborted sync 42 sync]
end

def copying(conn)
  conn.copy_data('COPY m_ruby (worker, n) FROM STDIN') { 1000.times { |n| conn.put_copy_data("90\t#{n}\n") } }
  check 'COPY FROM', conn.exec('SELECT count(*) FROM m_ruby WHERE worker = 90').getvalue(0, 0), '1000'
  lines = []
  conn.copy_data('COPY (SELECT n FROM m_ruby WHERE worker = 90 ORDER BY n LIMIT 3) TO STDOUT') do
    while (row = conn.get_copy_data)
      lines << row
    end
  end
  check 'COPY TO', lines, %W[0\n 1\n 2\n]
  given_up = begin
    conn.copy_data('COPY m_ruby (worker, n) FROM STDIN') do
      conn.put_copy_data("91\t1\n")
      raise 'changed my mind'
    end
  rescue StandardError => e
    e.message
  end
  check 'COPY given up', [given_up, conn.exec('SELECT count(*) FROM m_ruby WHERE worker = 91').getvalue(0, 0)], ['changed my mind', '0']
  conn.exec('SELECT g FROM generate_series(1, 3) g')
  conn.send_query('SELECT g FROM generate_series(1, 1000) g')
  conn.set_single_row_mode
  total = 0
  conn.get_result.stream_each { |row| total += row['g'].to_i }
  conn.get_result
  check 'single-row mode', total, 500_500
end

def session(conn)
  conn.exec('LISTEN m_ruby')
  other = connect
  other.exec("SELECT pg_notify('m_ruby', 'hello')")
  other.close
  heard = nil
  conn.wait_for_notify(20) { |channel, _, payload| heard = [channel, payload] }
  check 'LISTEN, waiting on an idle connection', heard, %w[m_ruby hello]
  conn.exec('UNLISTEN *')
  conn.set_client_encoding('LATIN1')
  check 'client encoding', conn.exec_params('SELECT $1::text', ["\xe9".dup.force_encoding('ISO-8859-1')]).getvalue(0, 0).encode('UTF-8'), 'é'
  conn.set_client_encoding('UTF8')
  notices = []
  conn.set_notice_receiver { |r| notices << r.error_field(PG::PG_DIAG_MESSAGE_PRIMARY) }
  conn.exec("DO $$ BEGIN RAISE NOTICE 'heard'; END $$")
  check 'notice', notices, ['heard']
  conn.exec("SET application_name = 'mine'")
  check 'parameter_status', conn.parameter_status('application_name'), 'mine'
  conn.exec('DISCARD ALL')
  saw 'application_name after DISCARD ALL', conn.exec('SHOW application_name').getvalue(0, 0) == 'mine'
  conn.send_query('SELECT pg_sleep(30)')
  sleep 0.3
  conn.cancel
  saw 'cancel', error { conn.get_last_result }.message.strip
  conn.discard_results
  check 'after the cancel', conn.exec('SELECT 1').getvalue(0, 0), '1'
  conn.transaction do
    id = conn.lo_creat
    fd = conn.lo_open(id, PG::INV_WRITE | PG::INV_READ)
    conn.lo_write(fd, 'large')
    conn.lo_lseek(fd, 0, PG::SEEK_SET)
    check 'large objects, by function call messages', conn.lo_read(fd, 10), 'large'
    conn.lo_close(fd)
    conn.lo_unlink(id)
  end
  conn.reset
  check 'reset connects again', conn.exec('SELECT 2').getvalue(0, 0), '2'
end

puts "version #{PG::VERSION}, libpq #{PG.library_version}"
admin = connect
admin.set_notice_processor { }
admin.exec('DROP TABLE IF EXISTS m_ruby; CREATE TABLE m_ruby (worker int, n int)')
threads = WORKERS.times.map do |i|
  Thread.new do
    worker(i)
    nil
  rescue StandardError => e
    "#{i}: #{e.class} #{e.message}"
  end
end
check '8 connections at once: prepared by name, transactions, errors', threads.map(&:value).compact, []
%i[statements pipelines copying session].each do |part|
  conn = connect
  send(part, conn)
  conn.close
end
admin.exec('DROP TABLE m_ruby')
admin.close
exit($failed ? 1 : 0)
