package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// result is one run of pgbench.
type result struct {
	tps      float64       // without the time to connect
	cpu      float64       // of the proxy, microseconds for each transaction, logins included; 0 without a proxy
	p50, p99 time.Duration // of the transactions that were sampled
}

// sampling is the part of the transactions whose latency is written down: writing all costs pgbench noticeably.
const sampling = "0.2"

var (
	tpsLine   = regexp.MustCompile(`(?m)^tps = ([0-9.]+) `)
	countLine = regexp.MustCompile(`(?m)^number of transactions actually processed: ([0-9]+)`)
)

// pgbench runs pgbench against a target.
func (b *lab) pgbench(ctx context.Context, t *target, mode string, clients int) (result, error) {
	prefix := filepath.Join(b.dir, "latency")
	defer removeAll(prefix)
	cmd := exec.CommandContext(ctx, b.tool, "--no-vacuum", "--select-only", "--protocol", mode,
		"--client", strconv.Itoa(clients), "--jobs", strconv.Itoa(min(clients, 2)),
		"--time", strconv.Itoa(b.options.seconds),
		"--log", "--log-prefix", prefix, "--sampling-rate", sampling)
	cmd.Env = b.clientEnv(t.port)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	before, err := t.cpuTime()
	if err != nil {
		return result{}, err
	}
	if err := cmd.Run(); err != nil {
		return result{}, fmt.Errorf("pgbench: %w: %s", err, firstLine(stderr.Bytes()))
	}
	after, err := t.cpuTime()
	if err != nil {
		return result{}, err
	}
	r, count, err := parsePgbench(stdout.Bytes())
	if err != nil {
		return result{}, err
	}
	r.cpu = float64(after-before) / float64(time.Microsecond) / float64(count)
	r.p50, r.p99, err = readLatencies(prefix)
	return r, err
}

// parsePgbench reads what pgbench prints.
func parsePgbench(out []byte) (r result, count int, err error) {
	counted, tps := countLine.FindSubmatch(out), tpsLine.FindSubmatch(out)
	if counted == nil {
		return r, 0, fmt.Errorf("pgbench printed %q", out)
	}
	if count, err = strconv.Atoi(string(counted[1])); err != nil {
		return r, 0, err
	}
	if count == 0 || tps == nil {
		return r, 0, errors.New("no transaction came to an end")
	}
	r.tps, err = strconv.ParseFloat(string(tps[1]), 64)
	return r, count, err
}

// readLatencies reads the logs of a run: one line for each sampled transaction, whose third word is microseconds
// (PostgreSQL documentation, pgbench, "Per-Transaction Logging").
func readLatencies(prefix string) (p50, p99 time.Duration, err error) {
	files, err := filepath.Glob(prefix + ".*")
	if err != nil {
		return 0, 0, err
	}
	var all []time.Duration
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return 0, 0, err
		}
		for line := range strings.Lines(string(content)) {
			words := strings.Fields(line)
			if len(words) < 3 {
				return 0, 0, fmt.Errorf("pgbench logged %q", line)
			}
			us, err := strconv.ParseFloat(words[2], 64)
			if err != nil {
				return 0, 0, fmt.Errorf("pgbench logged %q", line)
			}
			all = append(all, time.Duration(us*float64(time.Microsecond)))
		}
	}
	if len(all) == 0 {
		return 0, 0, errors.New("pgbench logged no transaction")
	}
	slices.Sort(all)
	return percentile(all, 50), percentile(all, 99), nil
}

// percentile returns the smallest value that p per cent of the sorted values do not exceed.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

func removeAll(prefix string) {
	files, _ := filepath.Glob(prefix + ".*")
	for _, file := range files {
		_ = os.Remove(file) // in a directory that goes at the end anyway
	}
}

func firstLine(b []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(b), []byte("\n"))
	return string(line)
}
