# ActiveRecord: prepared statements on, migrations under an advisory lock, transactions, batches, its connection pool.
require 'active_record'
require 'active_support/core_ext'

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

ActiveRecord::Base.establish_connection(
  adapter: 'postgresql', host: ENV['PGHOST'], port: ENV['PGPORT'], username: ENV['PGUSER'], password: ENV['PGPASSWORD'],
  database: ENV['PGDATABASE'], pool: WORKERS + 1, prepared_statements: true, statement_limit: 60, variables: { lock_timeout: '20s' }
)
ActiveRecord::Migration.verbose = false

class CreateShelves < ActiveRecord::Migration[6.1]
  def change
    create_table(:m_ar_shelves) do |t|
      t.string :name, null: false, index: { unique: true }
      t.jsonb :doc, default: {}
      t.timestamps
    end
    create_table(:m_ar_books) do |t|
      t.references :shelf, null: false
      t.string :title
    end
  end
end

class AddPages < ActiveRecord::Migration[6.1]
  disable_ddl_transaction!

  def change
    add_column :m_ar_books, :pages, :integer
    add_index :m_ar_books, :pages, algorithm: :concurrently
  end
end

class Shelf < ActiveRecord::Base
  self.table_name = 'm_ar_shelves'
  has_many :books
end

class Book < ActiveRecord::Base
  self.table_name = 'm_ar_books'
  belongs_to :shelf
end

def migrations = [CreateShelves.new('create_shelves', 1), AddPages.new('add_pages', 2)]

def migrator(direction, target = nil)
  ActiveRecord::Migrator.new(direction, migrations, ActiveRecord::SchemaMigration, target)
end

def connection = ActiveRecord::Base.connection

def locks = connection.select_value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")

def worker(i)
  ROUNDS.times do |n|
    Shelf.transaction do
      shelf = Shelf.create!(name: "w#{i} #{n}", doc: { n: n })
      3.times { |k| shelf.books.create!(title: "b#{k}", pages: k) }
      begin
        Shelf.transaction(requires_new: true) { Shelf.create!(name: shelf.name) }
        raise 'no error'
      rescue ActiveRecord::RecordNotUnique
        raise 'books' unless shelf.books.count == 3
      end
    end
    shelf = Shelf.includes(:books).find_by!(name: "w#{i} #{n}")
    raise "doc #{shelf.doc}" unless shelf.doc == { 'n' => n } && shelf.books.size == 3
    shelf.with_lock { shelf.update!(doc: { n: -n }) }
    raise 'count' unless Shelf.where('name LIKE ?', "w#{i} %").count == n + 1
    # Rails gives its connections back after each request.
    ActiveRecord::Base.connection_pool.release_connection
  end
end

puts "version #{ActiveRecord.version}, pg #{PG::VERSION}"
connection.execute("SET client_min_messages = 'warning'")
connection.execute('DROP TABLE IF EXISTS m_ar_shelves, m_ar_books, schema_migrations, ar_internal_metadata')
ActiveRecord::InternalMetadata.create_table
ActiveRecord::SchemaMigration.create_table
migrator(:up).migrate
check 'migrations under an advisory lock, one of them outside a transaction',
      [connection.table_exists?('m_ar_books'), connection.index_exists?(:m_ar_books, :pages), migrator(:up).current_version], [true, true, 2]
check 'the lock is given back', locks, 0

racing = WORKERS.times.map do
  Thread.new do
    ActiveRecord::Base.connection_pool.with_connection { migrator(:up).migrate }
    :migrated
  rescue ActiveRecord::ConcurrentMigrationError
    :refused
  rescue StandardError => e
    e
  end
end
check '8 migrations at once, one at a time', racing.map(&:value).grep_v(Symbol), []
check 'the locks are given back', locks, 0

threads = WORKERS.times.map do |i|
  Thread.new do
    ActiveRecord::Base.connection_pool.with_connection { worker(i) }
    nil
  rescue StandardError => e
    "#{i}: #{e.class} #{e.message}"
  end
end
check '8 threads: transactions, savepoints, row locks, prepared statements', threads.map(&:value).compact, []

100.times { |n| raise 'in list' unless Shelf.where(id: Array.new(n + 1, -1)).where(name: 'x').to_a.empty? }
100.times { |n| raise 'distinct' unless Shelf.where("id > #{n}").find_by(name: 'none').nil? }
check 'more distinct statements than statement_limit', Shelf.where(name: 'w0 0').count, 1
check 'insert_all with RETURNING', Shelf.insert_all(Array.new(500) { |n| { name: "bulk #{n}", created_at: Time.now, updated_at: Time.now } }).rows.size, 500
check 'upsert_all', Shelf.upsert_all([{ name: 'bulk 1', doc: { u: 1 }, created_at: Time.now, updated_at: Time.now }], unique_by: :name) && Shelf.find_by(name: 'bulk 1').doc, { 'u' => 1 }
check 'find_each in batches', Shelf.where("name LIKE 'bulk%'").find_each(batch_size: 70).count, 500
connection.add_column :m_ar_shelves, :extra, :integer, default: 7
check 'a cached statement whose table has changed is prepared again', Shelf.find_by(name: 'bulk 2').attributes['name'], 'bulk 2'
Shelf.reset_column_information
check 'the new column', Shelf.find_by(name: 'bulk 2').extra, 7
connection.remove_column :m_ar_shelves, :extra
Shelf.reset_column_information
check 'in a transaction, after the table has changed again', Shelf.transaction { Shelf.find_by(name: 'bulk 3').name }, 'bulk 3'
check 'advisory lock of the program', [connection.get_advisory_lock(4711), locks, connection.release_advisory_lock(4711), locks], [true, 1, true, 0]
ActiveRecord::Base.connection_pool.disconnect!
check 'after disconnect!', Shelf.count.positive?, true
check 'schema cache: columns and indexes', [connection.columns('m_ar_books').map(&:name), connection.indexes('m_ar_shelves').map(&:columns)],
      [%w[id shelf_id title pages], [['name']]]
migrator(:down).migrate
check 'migrations undone', connection.table_exists?('m_ar_books'), false
connection.execute('DROP TABLE schema_migrations, ar_internal_metadata')
exit($failed ? 1 : 0)
