package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

const (
	logKey     = 1
	witnessKey = 4
	mldsaKey   = 6
)

// witness is a note.Verifier of cosignatures v1.
type witness struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (w *witness) Name() string    { return w.name }
func (w *witness) KeyHash() uint32 { return w.hash }

func (w *witness) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", cosignedAt(signature), text)
	return ed25519.Verify(w.key, []byte(message), signature[8:])
}

func cosignedAt(signature []byte) uint64 { return binary.BigEndian.Uint64(signature) }

// keyType is the first byte of the key in a vkey, 0 if there is none.
func keyType(vkey string) byte {
	parts := strings.SplitN(vkey, "+", 3)
	material, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if len(parts) != 3 || err != nil || len(material) == 0 {
		return 0
	}
	return material[0]
}

func newWitness(vkey string) (note.Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if keyType(vkey) != witnessKey || len(parts) != 3 || parts[0] == "" {
		return nil, fmt.Errorf("no key of a witness: %q", vkey)
	}
	material, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(material) != 1+ed25519.PublicKeySize {
		return nil, fmt.Errorf("no key of a witness: %q", vkey)
	}
	sum := sha256.Sum256([]byte(parts[0] + "\n" + string(material)))
	hash := binary.BigEndian.Uint32(sum[:4])
	if fmt.Sprintf("%08x", hash) != parts[1] {
		return nil, fmt.Errorf("the id of %q is not its own", vkey)
	}
	return &witness{parts[0], hash, material[1:]}, nil
}

// signedByAll opens the note and demands a signature of every key.
func signedByAll(vkeys []string, signed string) (*note.Note, error) {
	var verifiers []note.Verifier
	for _, vkey := range vkeys {
		if keyType(vkey) == mldsaKey {
			return nil, unknown
		}
		verifier, err := note.NewVerifier(vkey)
		if err != nil {
			return nil, err
		}
		verifiers = append(verifiers, verifier)
	}
	opened, err := note.Open([]byte(signed), note.VerifierList(verifiers...))
	if err != nil {
		return nil, err
	}
	for _, each := range verifiers {
		if signatureBy(each, opened) == nil {
			return nil, fmt.Errorf("no signature of %s", each.Name())
		}
	}
	return opened, nil
}

func signatureBy(verifier note.Verifier, opened *note.Note) []byte {
	for _, each := range opened.Sigs {
		if each.Name == verifier.Name() && each.Hash == verifier.KeyHash() {
			raw, _ := base64.StdEncoding.DecodeString(each.Base64)
			return raw[4:]
		}
	}
	return nil
}

func judgeNote(v vector) error {
	_, err := signedByAll(v.texts("keys"), v.text("note"))
	return err
}

func judgeCosignature(v vector) error {
	verifier, err := newWitness(v.text("key"))
	if err != nil {
		return err
	}
	opened, err := note.Open([]byte(v.text("note")), note.VerifierList(verifier))
	if err != nil {
		return err
	}
	at := cosignedAt(signatureBy(verifier, opened))
	if at != uint64(v.number("time")) {
		return fmt.Errorf("cosigned at %d", at)
	}
	return nil
}

// policy is a C2SP tlog-policy.
type policy struct {
	logs      []note.Verifier
	unknown   bool // it names a key of ML-DSA-44
	witnesses map[string]note.Verifier
	groups    map[string]group
	members   map[string]bool
	keys      map[string]bool
	ranges    map[string]sizes
	quorum    string
}

// sizes are the sizes of the checkpoints that a key may sign: from first, below end.
type sizes struct{ first, end int64 }

type group struct {
	k       int
	members []string
}

func parsePolicy(text string) (*policy, error) {
	if !strings.HasSuffix(text, "\n") || strings.ContainsAny(text, "\r\x00") {
		return nil, fmt.Errorf("want lines that end in newlines")
	}
	p := &policy{
		witnesses: map[string]note.Verifier{},
		groups:    map[string]group{},
		members:   map[string]bool{},
		keys:      map[string]bool{},
		ranges:    map[string]sizes{},
	}
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := p.read(words[0], words[1:]); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
	}
	if p.quorum == "" {
		return nil, fmt.Errorf("no quorum")
	}
	return p, nil
}

func (p *policy) read(word string, rest []string) error {
	switch {
	case word == "log" && (len(rest) == 1 || len(rest) == 2):
		return p.addLog(rest[0])
	case word == "witness" && (len(rest) == 2 || len(rest) == 3):
		return p.addWitness(rest[0], rest[1])
	case word == "range" && len(rest) == 3:
		return p.addRange(rest[0], rest[1], rest[2])
	case word == "group" && len(rest) > 2:
		return p.addGroup(rest[0], rest[1], rest[2:])
	case word == "quorum" && len(rest) == 1 && p.quorum == "":
		p.quorum = rest[0]
		if !p.known(rest[0]) && rest[0] != "none" {
			return fmt.Errorf("unknown name")
		}
		return nil
	}
	return fmt.Errorf("not a line of a policy")
}

func (p *policy) addLog(vkey string) error {
	if p.keys[vkey] {
		return fmt.Errorf("twice")
	}
	p.keys[vkey] = true
	if keyType(vkey) == mldsaKey {
		p.unknown = true
		return nil
	}
	verifier, err := note.NewVerifier(vkey)
	p.logs = append(p.logs, verifier)
	return err
}

func (p *policy) addRange(key, first, end string) error {
	listed := 0
	for _, each := range p.logs {
		if shortName(each) == key {
			listed++
		}
	}
	if _, twice := p.ranges[key]; twice || listed != 1 {
		return fmt.Errorf("%q is not one key of an earlier line", key)
	}
	limits := sizes{end: math.MaxInt64}
	var err error
	if limits.first, err = decimalOf(first); err != nil {
		return err
	}
	if end != "*" {
		if limits.end, err = decimalOf(end); err != nil {
			return err
		}
	}
	if limits.first >= limits.end {
		return fmt.Errorf("no size is in the range")
	}
	p.ranges[key] = limits
	return nil
}

func shortName(key note.Verifier) string {
	return fmt.Sprintf("%s+%08x", key.Name(), key.KeyHash())
}

func decimalOf(text string) (int64, error) {
	parsed, err := strconv.ParseInt(text, 10, 64)
	if err != nil || parsed < 0 || strconv.FormatInt(parsed, 10) != text {
		return 0, fmt.Errorf("%q is no number", text)
	}
	return parsed, nil
}

func (p *policy) maySign(key note.Verifier, size int64) bool {
	limits, limited := p.ranges[shortName(key)]
	return !limited || limits.first <= size && size < limits.end
}

func (p *policy) addWitness(name, vkey string) error {
	if p.keys[vkey] || p.taken(name) {
		return fmt.Errorf("twice")
	}
	p.keys[vkey] = true
	if keyType(vkey) == mldsaKey {
		p.unknown = true
		p.witnesses[name] = nil
		return nil
	}
	verifier, err := newWitness(vkey)
	p.witnesses[name] = verifier
	return err
}

func (p *policy) addGroup(name, count string, members []string) error {
	if p.taken(name) {
		return fmt.Errorf("twice")
	}
	for _, each := range members {
		if !p.known(each) || p.members[each] {
			return fmt.Errorf("member %q", each)
		}
		p.members[each] = true
	}
	k := map[string]int{"any": 1, "all": len(members)}[count]
	if k == 0 {
		parsed, err := strconv.Atoi(count)
		if err != nil || strconv.Itoa(parsed) != count {
			return fmt.Errorf("%q of a group", count)
		}
		k = parsed
	}
	if k < 1 || k > len(members) {
		return fmt.Errorf("%d of %d", k, len(members))
	}
	p.groups[name] = group{k, members}
	return nil
}

func (p *policy) taken(name string) bool { return name == "none" || p.known(name) }

func (p *policy) known(name string) bool {
	_, isWitness := p.witnesses[name]
	_, isGroup := p.groups[name]
	return isWitness || isGroup
}

// open is the note's text, if it is a checkpoint signed as the policy demands.
func (p *policy) open(signed string) (string, error) {
	if p.unknown {
		return "", unknown
	}
	verifiers := append([]note.Verifier{}, p.logs...)
	for _, each := range p.witnesses {
		verifiers = append(verifiers, each)
	}
	opened, err := note.Open([]byte(signed), note.VerifierList(verifiers...))
	if err != nil {
		return "", err
	}
	origin, tree, err := parseCheckpoint(opened.Text)
	if err != nil {
		return "", err
	}
	signedByLog := false
	for _, each := range p.logs {
		mine := each.Name() == origin && p.maySign(each, tree.N)
		signedByLog = signedByLog || mine && signatureBy(each, opened) != nil
	}
	if !signedByLog {
		return "", fmt.Errorf("no signature of %s", origin)
	}
	if p.quorum != "none" && !p.seen(p.quorum, opened) {
		return "", fmt.Errorf("no quorum")
	}
	return opened.Text, nil
}

func (p *policy) seen(name string, opened *note.Note) bool {
	if each, ok := p.witnesses[name]; ok {
		return signatureBy(each, opened) != nil
	}
	count := 0
	for _, each := range p.groups[name].members {
		if p.seen(each, opened) {
			count++
		}
	}
	return count >= p.groups[name].k
}

func judgePolicy(v vector) error {
	p, err := parsePolicy(v.text("policy"))
	if err != nil {
		return err
	}
	_, err = p.open(v.text("note"))
	return err
}
