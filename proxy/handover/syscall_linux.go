package handover

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// RecvNonblock is one recv that never blocks. It is made without the scheduler's syscall hooks: a call that cannot block
// need not give its processor away (measured: those hooks cost more than the call itself). b must not be empty.
func RecvNonblock(fd int, b []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// SendNonblock is one send that never blocks and never raises SIGPIPE. b must not be empty.
func SendNonblock(fd int, b []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}
