package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgtier/pgtier/auth/scram"
)

// maxPasswordSize is in bytes. Nobody types more; a wrong file piped in should not be hashed.
const maxPasswordSize = 64 << 10

func newHashPasswordCommand() *cobra.Command {
	var iterations int
	var like string
	cmd := &cobra.Command{
		Use:   "hash-password",
		Short: "Make a SCRAM verifier of a password read from stdin",
		Long: `hash-password reads a password from stdin and prints its SCRAM-SHA-256 verifier: what belongs into scram = "..." of an
identity, and what PostgreSQL keeps in pg_authid. At a terminal it asks twice and shows nothing; otherwise the password is
the first line, without its line end.

While a password rotates, an identity may have several verifiers. Clients can be told only one salt, so all of them must
have the same: give the verifier that is in use to --like.`,
		Example: `  pgtier hash-password
  printf %s "$PASSWORD" | pgtier hash-password
  pgtier hash-password --like 'SCRAM-SHA-256$4096:...'`,
		Args: noPasswordArgument,
	}
	cmd.Flags().IntVar(&iterations, "iterations", scram.DefaultIterations, "PBKDF2 iterations; more make guessing, and every login, slower")
	cmd.Flags().StringVar(&like, "like", "", "a verifier whose salt and iterations to use")
	cmd.MarkFlagsMutuallyExclusive("iterations", "like")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		salt, iterations, err := hashParameters(like, iterations)
		if err != nil {
			return err
		}
		password, err := readPassword(cmd.InOrStdin(), cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), scram.Mint(password, salt, iterations).Encode())
		return err
	}
	return cmd
}

// noPasswordArgument refuses arguments without repeating them: the likeliest one is the password.
func noPasswordArgument(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return errors.New("the password is read from stdin, never from the command line, where everybody could see it")
	}
	return nil
}

// hashParameters chooses salt and iterations.
func hashParameters(like string, iterations int) ([]byte, int, error) {
	if like != "" {
		v, err := scram.ParseVerifier(like)
		if err != nil {
			return nil, 0, fmt.Errorf("--like: %w", err)
		}
		return v.Salt(), v.Iterations(), nil
	}
	if iterations < scram.DefaultIterations || iterations > scram.MaxIterations {
		return nil, 0, fmt.Errorf("--iterations must be from %d to %d", scram.DefaultIterations, scram.MaxIterations)
	}
	return scram.NewSalt(), iterations, nil
}

// readPassword reads from a terminal without echo, or else the first line of in.
func readPassword(in io.Reader, prompt io.Writer) (string, error) {
	if file, ok := in.(*os.File); ok && isTerminal(file) {
		return askPassword(file, prompt)
	}
	return checkPassword(readLine(in))
}

// askPassword asks twice.
func askPassword(terminal *os.File, prompt io.Writer) (string, error) {
	restore, err := hideInput(terminal)
	if err != nil {
		return "", err
	}
	defer restore()
	var answers [2]string
	for i, question := range [...]string{"Password: ", "Again: "} {
		_, _ = fmt.Fprint(prompt, question)
		answers[i], err = checkPassword(readLine(terminal))
		_, _ = fmt.Fprintln(prompt)
		if err != nil {
			return "", err
		}
	}
	if answers[0] != answers[1] {
		return "", errors.New("the two passwords differ")
	}
	return answers[0], nil
}

// readLine reads a line and takes its end off. It does not read beyond the line on a terminal, which gives lines one by one.
func readLine(in io.Reader) ([]byte, error) {
	line, err := bufio.NewReaderSize(io.LimitReader(in, maxPasswordSize+3), maxPasswordSize+3).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading the password: %w", err)
	}
	line, _ = bytes.CutSuffix(line, []byte("\n"))
	line, _ = bytes.CutSuffix(line, []byte("\r"))
	return line, nil
}

// checkPassword refuses what no client could send.
func checkPassword(password []byte, err error) (string, error) {
	switch {
	case err != nil:
		return "", err
	case len(password) == 0:
		return "", errors.New("the password is empty")
	case len(password) > maxPasswordSize:
		return "", fmt.Errorf("the password is longer than %d bytes", maxPasswordSize)
	case bytes.IndexByte(password, 0) >= 0:
		return "", errors.New("the password has a zero byte in it")
	case strings.HasPrefix(string(password), scram.SHA256+"$"):
		return "", errors.New("this is a verifier already, not a password")
	}
	return string(password), nil
}
