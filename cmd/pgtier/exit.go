package main

import (
	"errors"

	"github.com/pgtier/pgtier/config"
)

// Exit codes. They are part of the interface: scripts and service managers act on them.
const (
	exitOK      = 0  // done, or stopped as asked
	exitFailure = 1  // anything else went wrong, wrong arguments included
	exitConfig  = 78 // the configuration cannot be used (EX_CONFIG of sysexits.h); trying again without a change is useless
)

// errRefused is explain's answer that access is refused: its output says so, and there is nothing to add.
var errRefused = errors.New("access is refused")

// errUnhealthy is doctor's answer that something needs to be done: its output says what, and there is nothing to add.
var errUnhealthy = errors.New("doctor has found errors or warnings")

// configError marks an error as one of the configuration, whatever it is.
type configError struct{ error }

func (e configError) Unwrap() error { return e.error }

// exitCode is the exit code for what a command returned.
func exitCode(err error) int {
	var findings config.Findings
	var marked configError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &findings), errors.As(err, &marked):
		return exitConfig
	}
	return exitFailure
}
