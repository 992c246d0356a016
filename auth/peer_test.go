package auth

import (
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
)

func TestPeerUser(t *testing.T) {
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	client, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = accepted.Close() }()

	raw, err := accepted.(*net.UnixConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	name, err := peerUser(raw, func(uid string) (*user.User, error) { return &user.User{Uid: uid, Username: "u" + uid}, nil })
	if want := "u" + strconv.Itoa(os.Getuid()); err != nil || name != want {
		t.Errorf("got %q, %v, want %q", name, err, want)
	}
	name, err = peerUser(raw, func(uid string) (*user.User, error) { return nil, user.UnknownUserIdError(os.Getuid()) })
	if err == nil || name != "" {
		t.Errorf("an unknown user is %q", name)
	}
	if me, err := user.Current(); err == nil {
		if name, err := PeerUser(accepted.(*net.UnixConn)); err != nil || name != me.Username {
			t.Errorf("got %q, %v, want %q", name, err, me.Username)
		}
	}
}
