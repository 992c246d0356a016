package auth

import (
	"errors"
	"fmt"
	"net"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// PeerUser returns the name of the OS user who opened the other end of a Unix socket, as the kernel remembers it
// (SO_PEERCRED). Whoever passes the socket on passes this name on. An error says that the user cannot be named, for instance
// because it is one of another machine's or container's: it is nobody then.
func PeerUser(conn *net.UnixConn) (string, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return "", err
	}
	return peerUser(raw, user.LookupId)
}

func peerUser(raw syscall.RawConn, lookup func(uid string) (*user.User, error)) (string, error) {
	var peer *unix.Ucred
	var err error
	ctlErr := raw.Control(func(fd uintptr) {
		peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(err, ctlErr); err != nil {
		return "", fmt.Errorf("peer credentials: %w", err)
	}
	account, err := lookup(strconv.FormatUint(uint64(peer.Uid), 10))
	if err != nil {
		return "", fmt.Errorf("peer credentials: %w", err)
	}
	return account.Username, nil
}
