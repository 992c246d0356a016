package wire

// NotificationChannel returns the channel of a NotificationResponse, as bytes of frame. ok is false when the name has not
// arrived as a whole, or the frame has none.
//
//	'A' | int32 length | int32 pid | string channel \0 | string payload \0
func NotificationChannel(frame []byte) (channel []byte, ok bool) {
	if len(frame) < HeaderSize+4 {
		return nil, false
	}
	channel, _, ok = CString(frame[HeaderSize+4:])
	return channel, ok
}
