package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"

	"github.com/pgtier/pgtier/auth/scram"
	"github.com/pgtier/pgtier/config"
)

// Credentials knows what every identity of one configuration can prove itself with. It is an immutable snapshot: a reload
// makes a new one. All methods may be called from any goroutine.
//
// Everything like a password is checked with SCRAM, also when the configuration has the plaintext: its verifiers are minted
// when the snapshot is made. pgtier never asks a client for a cleartext password.
type Credentials struct {
	identities map[string]*credential
	mockKey    [sha256.Size]byte // derives the salts of names without a stored one
	iterations int               // of minted and mock secrets
	saltSize   int
	minted     map[mintKey]scram.Verifier // so that a reload need not mint again
	warnings   []string
}

// credential is one identity that may log in. A disabled one has none.
type credential struct {
	secret *scram.Secret // nil: nothing like a password
	certs  []string
	peer   string
}

// mintKey stands for (password, salt, iterations) without having the password in it.
type mintKey [sha256.Size]byte

// NewCredentials mints what cfg needs, on all processors. previous is the snapshot that the new one replaces: its work is
// reused, and so is its random key, without which the salt of a name would change at a reload and tell real names from others.
// It is nil at start.
func NewCredentials(cfg *config.Config, previous *Credentials) (*Credentials, error) {
	c := &Credentials{identities: make(map[string]*credential, len(cfg.Identities)), minted: make(map[mintKey]scram.Verifier)}
	if previous != nil {
		c.mockKey = previous.mockKey
	} else {
		c.mockKey = newMockKey(cfg.Listen.TLSKey)
	}
	drafts, err := c.draft(cfg)
	if err != nil {
		return nil, err
	}
	c.mint(drafts, previous)
	for _, d := range drafts {
		credential := &credential{certs: d.identity.Certs, peer: d.identity.Peer}
		if len(d.verifiers) > 0 {
			if credential.secret, err = scram.NewSecret(d.verifiers...); err != nil {
				return nil, fmt.Errorf("identity %q: %w", d.identity.Name, err)
			}
		}
		c.identities[d.identity.Name] = credential
	}
	return c, nil
}

// newMockKey returns the key from which the salts of unknown names are derived. It must be a secret and should stay the same
// when pgtier restarts, and be the same in every instance behind one address: a salt that changes tells a name without a
// stored verifier from one with. The listener's private key is such a secret; it is not to be derived from anything that
// belongs to an identity, which would allow guessing offline. Without TLS it is random.
func newMockKey(tlsKeyFile string) (key [sha256.Size]byte) {
	if pem, err := os.ReadFile(tlsKeyFile); err == nil && len(pem) > 0 {
		mac := hmac.New(sha256.New, pem)
		mac.Write([]byte("pgtier: salts of unknown names"))
		return [sha256.Size]byte(mac.Sum(nil))
	}
	_, _ = rand.Read(key[:]) // never fails since Go 1.24
	return key
}

// Warnings are sentences for the log about verifiers that can never be used. They hold no secrets.
func (c *Credentials) Warnings() []string { return c.warnings }

// Format prints nothing, whatever the verb: it is all secrets.
func (c *Credentials) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, "auth.Credentials(hidden)") }

// draft is an identity between the configuration and its credential.
type draft struct {
	identity   *config.Identity
	salt       []byte
	iterations int
	verifiers  []scram.Verifier
}

// draft parses what needs no minting and chooses salts.
func (c *Credentials) draft(cfg *config.Config) ([]*draft, error) {
	var drafts []*draft
	for _, name := range slices.Sorted(maps.Keys(cfg.Identities)) {
		identity := cfg.Identities[name]
		d := &draft{identity: identity}
		for _, text := range identity.Verifiers {
			v, err := scram.ParseVerifier(text)
			if err != nil {
				return nil, fmt.Errorf("identity %q: %w", name, err)
			}
			d.add(c, v)
		}
		if !identity.Disabled {
			drafts = append(drafts, d)
		}
	}
	c.chooseShape(drafts)
	for _, d := range drafts {
		if d.salt == nil {
			d.salt, d.iterations = scram.Salt(c.mockKey[:], d.identity.Name, c.saltSize), c.iterations
		}
	}
	return drafts, nil
}

// add takes a verifier of the configuration. The first one decides about the salt: a client can be told only one.
func (d *draft) add(c *Credentials, v scram.Verifier) {
	switch {
	case len(d.verifiers) == 0:
		d.salt, d.iterations = v.Salt(), v.Iterations()
	case string(v.Salt()) != string(d.salt) || v.Iterations() != d.iterations:
		c.warnings = append(c.warnings, fmt.Sprintf("identity %q: a scram verifier has another salt or iteration count than the first one and can never be used; "+
			"make it with: pgtier hash-password --like FIRST-VERIFIER", d.identity.Name))
		return
	}
	d.verifiers = append(d.verifiers, v)
}

// chooseShape makes the secrets of names without a stored verifier look like those that are stored: the most frequent salt
// size and iteration count of the file.
func (c *Credentials) chooseShape(drafts []*draft) {
	sizes, iterations := make(map[int]int), make(map[int]int)
	for _, d := range drafts {
		if d.salt != nil {
			sizes[len(d.salt)]++
			iterations[d.iterations]++
		}
	}
	c.saltSize = min(mostFrequent(sizes, scram.DefaultSaltSize), sha256.Size)
	c.iterations = mostFrequent(iterations, scram.DefaultIterations)
}

// mostFrequent returns the key with the highest count, the smallest of several, or otherwise when there is none.
func mostFrequent(counts map[int]int, otherwise int) int {
	best, most := otherwise, 0
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		if counts[key] > most {
			best, most = key, counts[key]
		}
	}
	return best
}

// mint makes the verifiers of all plaintext passwords, about a millisecond of processor time each.
func (c *Credentials) mint(drafts []*draft, previous *Credentials) {
	type job struct {
		key  mintKey
		d    *draft
		at   int
		text string
	}
	var jobs []job
	for _, d := range drafts {
		for _, password := range d.identity.Passwords {
			j := job{c.mintKey(password, d), d, len(d.verifiers), password}
			d.verifiers = append(d.verifiers, scram.Verifier{})
			if v, ok := previous.lookup(j.key); ok {
				d.verifiers[j.at] = v
				c.minted[j.key] = v
			} else {
				jobs = append(jobs, j)
			}
		}
	}
	var workers sync.WaitGroup
	next := make(chan job)
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for j := range next {
				j.d.verifiers[j.at] = scram.Mint(j.text, j.d.salt, j.d.iterations) // each job has its own element
			}
		})
	}
	for _, j := range jobs {
		next <- j
	}
	close(next)
	workers.Wait()
	for _, j := range jobs {
		c.minted[j.key] = j.d.verifiers[j.at]
	}
}

func (c *Credentials) mintKey(password string, d *draft) mintKey {
	mac := hmac.New(sha256.New, c.mockKey[:])
	mac.Write([]byte("mint\x00" + strconv.Itoa(d.iterations) + ":" + strconv.Itoa(len(d.salt)) + ":"))
	mac.Write(d.salt)
	mac.Write([]byte(password))
	return mintKey(mac.Sum(nil))
}

func (c *Credentials) lookup(key mintKey) (scram.Verifier, bool) {
	if c == nil {
		return scram.Verifier{}, false
	}
	v, ok := c.minted[key]
	return v, ok
}
