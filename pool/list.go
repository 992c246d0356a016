package pool

// node is a place in a list. The element embeds it, so that moving between lists allocates nothing.
type node[T any] struct {
	owner      *T
	next, prev *node[T]
	linked     bool
}

// list is an intrusive, doubly linked list. The zero value is empty.
type list[T any] struct {
	front, back *node[T]
	len         int
}

func (l *list[T]) pushFront(n *node[T], owner *T) {
	n.enter(owner)
	n.next, n.prev = l.front, nil
	if l.front != nil {
		l.front.prev = n
	} else {
		l.back = n
	}
	l.front = n
	l.len++
}

func (l *list[T]) pushBack(n *node[T], owner *T) {
	n.enter(owner)
	n.next, n.prev = nil, l.back
	if l.back != nil {
		l.back.next = n
	} else {
		l.front = n
	}
	l.back = n
	l.len++
}

// remove takes n, which must be in l, out of it.
func (l *list[T]) remove(n *node[T]) {
	if !n.linked {
		panic("BUG: pool: an element leaves a list that it is not in")
	}
	if n.prev != nil {
		n.prev.next = n.next
	} else {
		l.front = n.next
	}
	if n.next != nil {
		n.next.prev = n.prev
	} else {
		l.back = n.prev
	}
	n.next, n.prev, n.linked = nil, nil, false
	l.len--
}

// first returns the element at the front, nil when l is empty.
func (l *list[T]) first() *T {
	if l.front == nil {
		return nil
	}
	return l.front.owner
}

// last returns the element at the back, nil when l is empty.
func (l *list[T]) last() *T {
	if l.back == nil {
		return nil
	}
	return l.back.owner
}

func (n *node[T]) enter(owner *T) {
	if n.linked {
		panic("BUG: pool: an element enters a second list")
	}
	n.owner, n.linked = owner, true
}
