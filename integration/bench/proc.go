package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the times in /proc/PID/stat: USER_HZ is 100 on every architecture that Go runs on.
const tick = 10 * time.Millisecond

// cpuTime is the processor time that a proxy has used so far, in user and kernel mode; 0 without a proxy.
func (t *target) cpuTime() (time.Duration, error) {
	if !t.isProxy() {
		return 0, nil
	}
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", t.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("%s is gone: %w", t.name, err)
	}
	return parseStat(string(content))
}

// parseStat reads fields 14 and 15 of /proc/PID/stat (proc(5)). The second field is the program's name in parentheses,
// and may hold spaces and parentheses itself.
func parseStat(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]) // from the third on
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/PID/stat is %q", stat)
	}
	user, userErr := strconv.ParseInt(fields[11], 10, 64)
	system, systemErr := strconv.ParseInt(fields[12], 10, 64)
	if userErr != nil || systemErr != nil {
		return 0, fmt.Errorf("/proc/PID/stat is %q", stat)
	}
	return time.Duration(user+system) * tick, nil
}

// rss is the resident memory of a proxy in bytes.
func (t *target) rss() (int64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", t.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("%s is gone: %w", t.name, err)
	}
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/PID/status of %s has no VmRSS", t.name)
}
