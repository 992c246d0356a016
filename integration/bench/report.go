package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// load is one combination of mode and clients, with what every target made of it.
type load struct {
	mode    string
	clients int
	runs    map[string][]result // by target, one for each round
	failed  map[string]string   // by target: why there are no runs
}

// report is what is printed in the end: Markdown.
type report struct {
	conditions []string
	options    options
	loads      []load
	memory     []memory
	crowd      []*crowdLoad
}

// base is the target that the others are compared with.
const base = "pgbouncer"

func (r *report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks\n\nWritten by `make bench`. `pgbench -S`, pools of %d server connections, scale %d, TCP over loopback; "+
		"median of %d rounds of %d s, with the targets interleaved and their order reversed on odd rounds. *x* is the median of the ratios to %s within "+
		"each round. CPU is the proxy's own, user and kernel, for each transaction.\n\n", r.options.poolSize, r.options.scale, r.options.rounds,
		r.options.seconds, base)
	for _, c := range r.conditions {
		fmt.Fprintf(&b, "* %s\n", c)
	}
	b.WriteString("\n| mode | clients | | TPS | x | CPU us | x | p50 ms | p99 ms | x |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, l := range r.loads {
		for _, target := range r.options.targets {
			b.WriteString(l.row(target))
		}
	}
	r.writeMemory(&b)
	r.writeCrowd(&b)
	return b.String()
}

func (l load) row(target string) string {
	head := fmt.Sprintf("| %s | %d | %s |", l.mode, l.clients, target)
	if why := l.failed[target]; why != "" {
		return head + " " + strings.ReplaceAll(why, "|", "/") + " | | | | | | |\n"
	}
	runs, compared := l.runs[target], l.runs[base]
	tps, cpu := func(r result) float64 { return r.tps }, func(r result) float64 { return r.cpu }
	p50, p99 := func(r result) float64 { return ms(r.p50) }, func(r result) float64 { return ms(r.p99) }
	cpuText := "-"
	if median(values(runs, cpu)) > 0 {
		cpuText = fmt.Sprintf("%.1f", median(values(runs, cpu)))
	}
	return fmt.Sprintf("%s %.0f | %s | %s | %s | %.2f | %.2f | %s |\n", head, median(values(runs, tps)), ratio(runs, compared, tps),
		cpuText, ratio(runs, compared, cpu), median(values(runs, p50)), median(values(runs, p99)), ratio(runs, compared, p99))
}

func (r *report) writeMemory(b *strings.Builder) {
	if len(r.memory) == 0 {
		return
	}
	compared := memory{}
	for _, m := range r.memory {
		if m.target == base {
			compared = m
		}
	}
	fmt.Fprintf(b, "\nResident memory with %d idle clients, fresh processes; a burst is all of them asking once, at the same time.\n\n"+
		"| | alone | each idle client | x | each after a burst | x |\n|---|---|---|---|---|---|\n", r.options.idle)
	for _, m := range r.memory {
		fmt.Fprintf(b, "| %s | %.1f MB | %d B | %s | %d B | %s |\n", m.target, float64(m.base)/1e6,
			m.idle, quotient(float64(m.idle), float64(compared.idle)), m.burst, quotient(float64(m.burst), float64(compared.burst)))
	}
}

// writeCrowd compares each load with the first of as many clients.
func (r *report) writeCrowd(b *strings.Builder) {
	if len(r.crowd) == 0 {
		return
	}
	fmt.Fprintf(b, "\nPeople with a role and rows of their own on %d server connections: everybody asks `SELECT current_user, count(*)` of a table with row "+
		"security, is answered, and asks again; each answer is checked. *x* is to the first line of as many clients.\n\n"+
		"| clients | identities | | TPS | x |\n|---|---|---|---|---|\n", r.options.poolSize)
	firsts := map[int]*crowdLoad{}
	for _, l := range r.crowd {
		if firsts[l.clients] == nil {
			firsts[l.clients] = l
		}
		var ratios []float64
		for i := range min(len(l.tps), len(firsts[l.clients].tps)) {
			ratios = append(ratios, l.tps[i]/firsts[l.clients].tps[i])
		}
		result := fmt.Sprintf("%.0f | %.2f", median(l.tps), median(ratios))
		if l.failed != "" {
			result = strings.ReplaceAll(l.failed, "|", "/") + " |"
		}
		fmt.Fprintf(b, "| %d | %d | %s | %s |\n", l.clients, l.identities, l.target, result)
	}
}

// ratio is the median of what a value is to the base's in the same round.
func ratio(runs, compared []result, value func(result) float64) string {
	var ratios []float64
	for i := range min(len(runs), len(compared)) {
		if value(runs[i]) > 0 && value(compared[i]) > 0 {
			ratios = append(ratios, value(runs[i])/value(compared[i]))
		}
	}
	if len(ratios) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", median(ratios))
}

func quotient(value, compared float64) string {
	if compared <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", value/compared)
}

func values(runs []result, value func(result) float64) []float64 {
	var all []float64
	for _, r := range runs {
		all = append(all, value(r))
	}
	return all
}

// median of no values is 0.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// conditions are what a reader must know before believing a number.
func (b *lab) conditions(ctx context.Context, targets []*target) []string {
	c := []string{
		time.Now().UTC().Format("2006-01-02") + ", " + runtime.Version(),
		fmt.Sprintf("%d cores (%s), shared by pgbench, PostgreSQL and the proxy", runtime.NumCPU(), cpuModel()),
		fmt.Sprintf("Linux %s, TCP congestion control %s", readLine("/proc/sys/kernel/osrelease"), readLine("/proc/sys/net/ipv4/tcp_congestion_control")),
		"PostgreSQL " + b.cluster.Binaries.Version + ", fsync = off, autovacuum = off, shared_buffers = 256MB",
	}
	if out, err := exec.CommandContext(ctx, b.tool, "--version").Output(); err == nil {
		c = append(c, firstLine(out))
	}
	for _, t := range targets {
		if t.isProxy() {
			c = append(c, t.name+": "+t.version+", transaction mode, clients by SCRAM-SHA-256")
		}
	}
	return c
}

func cpuModel() string {
	content, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(content)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func readLine(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	return firstLine(content)
}
