package matrix

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// driver is one program of the matrix.
type driver struct {
	name string
	dir  string   // of the program
	run  []string // what to run; "{cache}" is where install-drivers.sh puts what is not a package of the distribution
	try  []string // succeeds when the driver is installed; nil: it is when run[0] is there

	optional bool // its absence is no failure anywhere
}

var drivers = []driver{
	python("psycopg 3", "psycopg", "psycopg"),
	python("asyncpg", "asyncpg", "asyncpg"),
	python("SQLAlchemy and Alembic", "sqlalchemy", "sqlalchemy, alembic, psycopg2"),
	python("Django", "django", "django, psycopg"),
	node("node-postgres", "node-pg", "pg-cursor"),
	java("pgjdbc (Debian)", "/usr/share/java/postgresql.jar", false),
	java("pgjdbc (newest)", "{cache}/java/postgresql.jar", true),
	{name: "ruby-pg", dir: "ruby-pg", run: []string{"ruby", "program.rb"}, try: []string{"ruby", "-e", "require 'pg'"}},
	{name: "ActiveRecord", dir: "activerecord", run: []string{"ruby", "program.rb"}, try: []string{"ruby", "-e", "require 'active_record'; require 'pg'"}},
	{name: "PHP PDO", dir: "php-pdo", run: []string{"php", "program.php"}, try: []string{"php", "-r", "exit(extension_loaded('pdo_pgsql') ? 0 : 1);"}},
	{name: "DBD::Pg", dir: "dbd-pg", run: []string{"perl", "program.pl"}, try: []string{"perl", "-MDBD::Pg", "-e1"}},
	{name: "pgx", dir: "pgx", run: []string{"go", "run", "."}},
	{name: "lib/pq", dir: "lib-pq", run: []string{"go", "run", "."}, try: []string{"go", "-C", "lib-pq", "build", "-o", "/dev/null", "."}},
}

func python(name, dir, modules string) driver {
	const interpreter = "{cache}/python/bin/python"
	return driver{name: name, dir: dir, run: []string{interpreter, "program.py"}, try: []string{interpreter, "-c", "import " + modules}}
}

func node(name, dir, module string) driver {
	return driver{name: name, dir: dir, run: []string{"node", "program.js"}, try: []string{"test", "-d", "{cache}/node/node_modules/" + module}}
}

func java(name, jar string, optional bool) driver {
	return driver{name: name, dir: "pgjdbc", run: []string{"java", "-cp", jar, "Program.java"}, try: []string{"test", "-e", jar}, optional: optional}
}

// cacheDir is what install-drivers.sh calls $PGTIER_CACHE/drivers.
func cacheDir() (string, error) {
	base := os.Getenv("PGTIER_CACHE")
	if base == "" {
		base = "../../../.cache"
	}
	return filepath.Abs(filepath.Join(base, "drivers"))
}

// argv returns a command of the driver's with its paths filled in.
func argv(words []string, cache string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strings.ReplaceAll(w, "{cache}", cache)
	}
	return out
}

// installed reports whether the driver is there.
func (d driver) installed(cache string) bool {
	if _, err := exec.LookPath(argv(d.run, cache)[0]); err != nil {
		return false
	}
	if d.try == nil {
		return true
	}
	try := argv(d.try, cache)
	return exec.Command(try[0], try[1:]...).Run() == nil
}
