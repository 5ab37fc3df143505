package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// tlogProof is a C2SP tlog-proof.
type tlogProof struct {
	extra map[string]any
	index int64
	proof tlog.RecordProof
	note  string
}

func parseProof(text string) (*tlogProof, error) {
	head, signed, ok := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return nil, fmt.Errorf("no tlog-proof")
	}
	if !strings.HasPrefix(lines[1], "extra ") || !strings.HasPrefix(lines[2], "index ") {
		return nil, fmt.Errorf("want extra and index")
	}
	data, err := strictBase64(lines[1][6:])
	if err != nil {
		return nil, err
	}
	found := &tlogProof{note: signed}
	if found.extra, err = canonicalObject(data); err != nil {
		return nil, err
	}
	if found.index, err = decimal(lines[2][6:]); err != nil {
		return nil, err
	}
	for _, line := range lines[3:] {
		raw, err := strictBase64(line)
		if err != nil {
			return nil, err
		}
		hash, err := toHash(raw)
		if err != nil {
			return nil, err
		}
		found.proof = append(found.proof, hash)
	}
	return found, nil
}

func strictBase64(text string) ([]byte, error) {
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	if err == nil && base64.StdEncoding.EncodeToString(data) != text {
		err = fmt.Errorf("base64 %q", text)
	}
	return data, err
}

// canonicalObject reads a JSON object that is in its canonical form.
func canonicalObject(data []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var found map[string]any
	if err := decoder.Decode(&found); err != nil {
		return nil, err
	}
	if !bytes.Equal(canonical(found), data) {
		return nil, fmt.Errorf("not in canonical form")
	}
	return found, nil
}

// canonical is RFC 8785 for ASCII keys and numbers that stand as they do; Go sorts keys.
func canonical(value any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	must(encoder.Encode(value))
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

func (p *tlogProof) check(text string, leaf []byte) error {
	_, tree, err := parseCheckpoint(text)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(p.proof, tree.N, tree.Hash, p.index, tlog.RecordHash(leaf))
}

func judgeReceipt(v vector) error {
	p, err := parsePolicy(v.text("policy"))
	if err != nil {
		return err
	}
	receipt, err := parseProof(v.text("receipt"))
	if err != nil {
		return err
	}
	text, err := p.open(receipt.note)
	if err != nil {
		return err
	}
	origin, _, err := parseCheckpoint(text)
	if err != nil {
		return err
	}
	leaf, err := receipt.entry(origin)
	if err != nil {
		return err
	}
	return receipt.check(text, leaf)
}

// entry is what the log holds: instructions of its own as commitments, all else in clear.
func (p *tlogProof) entry(origin string) ([]byte, error) {
	event, ok := p.extra["event"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("no event")
	}
	if event["type"] != "instruction" {
		if len(p.extra) != 1 {
			return nil, fmt.Errorf("a public act that is opened")
		}
		return append([]byte{2}, canonical(event)...), nil
	}
	if p.extra["tag"] == nil || event["origin"] != origin {
		return nil, fmt.Errorf("an instruction in clear, or for another log")
	}
	if err := p.signed(event); err != nil {
		return nil, err
	}
	tag, err := p.hexadecimal("tag", 24)
	if err != nil {
		return nil, err
	}
	salt, err := p.hexadecimal("salt", 32)
	return personalEntry(tag, salt, canonical(event)), err
}

func (p *tlogProof) hexadecimal(name string, size int) ([]byte, error) {
	text, _ := p.extra[name].(string)
	data, err := hex.DecodeString(text)
	if err == nil && (len(data) != size || hex.EncodeToString(data) != text) {
		err = fmt.Errorf("%s of %d bytes", name, len(data))
	}
	return data, err
}

func personalEntry(tag, salt, event []byte) []byte {
	sum := sha256.Sum256(bytes.Join([][]byte{[]byte("sovereign/entry/v1\x00"), salt, event}, nil))
	return bytes.Join([][]byte{{1}, tag, sum[:]}, nil)
}

// derive is HKDF-Expand (RFC 5869) with SHA-512, of two blocks.
func derive(key []byte, seq int64) (tag, salt, sealing []byte) {
	info := append([]byte("sovereign/event/v1\x00"), make([]byte, 8)...)
	binary.BigEndian.PutUint64(info[len(info)-8:], uint64(seq))
	first := mac(key, info, []byte{1})
	second := mac(key, first, info, []byte{2})
	return first[:24], first[24:56], second[:32]
}

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha512.New, key)
	for _, each := range parts {
		h.Write(each)
	}
	return h.Sum(nil)
}

func judgeMap(v vector) error {
	root, err := v.hash("root")
	if err != nil {
		return err
	}
	label := v.bytes("label")
	if v.null("value") {
		return checkAbsent(label, root[:], v.bytes("proof"))
	}
	return checkPresent(label, v.bytes("value"), root[:], v.bytes("proof"))
}

func checkPresent(label, value, root, proof []byte) error {
	if len(proof) < 64 || !bytes.Equal(proof[:64], append(append([]byte{}, label...), value...)) {
		return fmt.Errorf("the proof is for another label or value")
	}
	return checkPath(label, root, proof)
}

func checkAbsent(label, root, proof []byte) error {
	empty := sha256.Sum256(nil)
	if len(proof) == 0 && bytes.Equal(root, empty[:]) {
		return nil
	}
	if len(proof) < 64 || bytes.Equal(proof[:32], label) {
		return fmt.Errorf("the label is there, or the proof is cut off")
	}
	return checkPath(label, root, proof)
}

func checkPath(label, root, proof []byte) error {
	if len(label) != 32 || (len(proof)-64)%33 != 0 {
		return fmt.Errorf("%d bytes", len(proof))
	}
	node, below := sha256.Sum256(proof[:64]), 256
	for steps := proof[64:]; len(steps) > 0; steps = steps[33:] {
		bit, sibling := int(steps[0]), steps[1:33]
		side := bitOf(label, bit)
		if bit >= below || side != bitOf(proof, bit) {
			return fmt.Errorf("the search does not lead here")
		}
		pair := [][]byte{node[:], sibling, steps[:1]}
		if side == 1 {
			pair[0], pair[1] = pair[1], pair[0]
		}
		node, below = sha256.Sum256(bytes.Join(pair, nil)), bit
	}
	if !bytes.Equal(node[:], root) {
		return fmt.Errorf("the leaf is not under this root")
	}
	return nil
}

func bitOf(label []byte, bit int) byte { return label[bit/8] >> (7 - bit%8) & 1 }

func judgeState(v vector) error {
	state, err := parseProof(v.text("proof"))
	if err != nil {
		return err
	}
	opened, err := signedByAll(v.texts("keys"), state.note)
	if err != nil {
		return err
	}
	origin, tree, err := parseCheckpoint(opened.Text)
	if err != nil {
		return err
	}
	if origin != opened.Sigs[0].Name || state.index != tree.N-1 {
		return fmt.Errorf("another log, or not its newest entry")
	}
	if err := state.check(opened.Text, canonical(state.extra["entry"])); err != nil {
		return err
	}
	return state.checkMap(v.bytes("label"))
}

func (p *tlogProof) checkMap(label []byte) error {
	entry, ok := p.extra["entry"].(map[string]any)
	encoded, isText := p.extra["proof"].(string)
	if !ok || !isText || len(entry) != 4 || entry["type"] != "state-root" {
		return fmt.Errorf("no entry of a state log")
	}
	text, _ := entry["map"].(string)
	root, err := hex.DecodeString(text)
	if err != nil {
		return err
	}
	proof, err := strictBase64(encoded)
	if err != nil {
		return err
	}
	state, there := p.extra["state"]
	if !there {
		if len(p.extra) != 2 {
			return fmt.Errorf("a part too many")
		}
		return checkAbsent(label, root, proof)
	}
	salt, err := p.hexadecimal("salt", 32)
	if err != nil || len(p.extra) != 4 {
		return fmt.Errorf("want a salt, and no further part")
	}
	domain := []byte("sovereign/state/v1\x00")
	digest := sha256.Sum256(bytes.Join([][]byte{domain, salt, canonical(state)}, nil))
	version, err := versionOf(state)
	if err != nil {
		return err
	}
	versioned := []byte("sovereign/state/v2\x00")
	value := sha256.Sum256(bytes.Join([][]byte{versioned, version, digest[:]}, nil))
	return checkPresent(label, value[:], root, proof)
}

// versionOf is the number of instructions that led to the state, in eight bytes.
func versionOf(state any) ([]byte, error) {
	members, _ := state.(map[string]any)
	seq, err := strconv.ParseUint(fmt.Sprint(members["seq"]), 10, 53)
	if err != nil || seq == 0 {
		return nil, fmt.Errorf("the state has no version")
	}
	return binary.BigEndian.AppendUint64(nil, seq), nil
}

// submission is what a log sends to a witness.
type submission struct {
	old   int64
	proof tlog.TreeProof
	note  string
	text  string
	name  string
	tree  tlog.Tree
}

func judgeSubmission(v vector) error {
	seen := tlog.Tree{Hash: sha256.Sum256(nil)}
	if !v.null("before") {
		before, err := parseSubmission(v.text("before"))
		must(err)
		seen = before.tree
	}
	status, err := answer(v.texts("keys"), seen, v.text("submission"))
	if want := v.number("status"); int64(status) != want {
		panic(fmt.Sprintf("answered %d (%v), want %d: %s", status, err, want, v["mutation"]))
	}
	return err
}

func answer(keys []string, seen tlog.Tree, text string) (int, error) {
	sent, err := parseSubmission(text)
	if err != nil {
		return 400, err
	}
	if sent.name != strings.SplitN(keys[0], "+", 2)[0] {
		return 404, fmt.Errorf("the log %s", sent.name)
	}
	if _, err := signedByAll(keys, sent.note); err != nil {
		return 403, err
	}
	switch {
	case sent.old > sent.tree.N:
		return 400, fmt.Errorf("old %d of %d", sent.old, sent.tree.N)
	case sent.old != seen.N:
		return 409, fmt.Errorf("%d was seen", seen.N)
	case sent.tree.N == seen.N && sent.tree.Hash != seen.Hash:
		return 422, fmt.Errorf("another root of %d", seen.N)
	case seen.N == 0 || sent.tree.N == seen.N:
		if len(sent.proof) > 0 {
			return 422, fmt.Errorf("a proof where none belongs")
		}
		return 200, nil
	}
	if err := tlog.CheckTree(sent.proof, sent.tree.N, sent.tree.Hash, seen.N, seen.Hash); err != nil {
		return 422, err
	}
	return 200, nil
}

func parseSubmission(text string) (*submission, error) {
	head, signed, ok := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || !strings.HasPrefix(lines[0], "old ") || len(lines) > 64 {
		return nil, fmt.Errorf("no submission")
	}
	old, err := decimal(lines[0][4:])
	if err != nil {
		return nil, err
	}
	found := &submission{old: old, note: signed}
	for _, line := range lines[1:] {
		raw, err := strictBase64(line)
		if err != nil {
			return nil, err
		}
		hash, err := toHash(raw)
		if err != nil {
			return nil, err
		}
		found.proof = append(found.proof, hash)
	}
	// Without a key the library still says whether it is a note.
	_, err = note.Open([]byte(signed), note.VerifierList())
	var unverified *note.UnverifiedNoteError
	if !errors.As(err, &unverified) {
		return nil, fmt.Errorf("no note: %w", err)
	}
	found.text = unverified.Note.Text
	found.name, found.tree, err = parseCheckpoint(found.text)
	return found, err
}
