package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// unknown is the answer where a case needs ML-DSA-44, which Go's library does not have.
var unknown = errors.New("needs ML-DSA-44")

// vector is a case of a file of specs/vectors: its members, each as it stands there.
type vector map[string]json.RawMessage

var judges = map[string]func(vector) error{
	"note":        judgeNote,
	"checkpoint":  judgeCheckpoint,
	"path":        judgePath,
	"tile":        judgeTile,
	"bundle":      judgeBundle,
	"inclusion":   judgeInclusion,
	"consistency": judgeConsistency,
	"cosignature": judgeCosignature,
	"policy":      judgePolicy,
	"receipt":     judgeReceipt,
	"commitment":  judgeCommitment,
	"map":         judgeMap,
	"state":       judgeState,
	"submission":  judgeSubmission,
}

// judgeVectors prints for each case of the files: accept, refuse or unknown, and why.
func judgeVectors(dir string, names []string) error {
	for _, name := range names {
		judge, ok := judges[name]
		if !ok {
			return fmt.Errorf("no judge of %q", name)
		}
		data, err := os.ReadFile(filepath.Join(dir, name+".json"))
		if err != nil {
			return err
		}
		var cases []vector
		if err := json.Unmarshal(data, &cases); err != nil {
			return err
		}
		for number, each := range cases {
			fmt.Printf("%s %d %s\n", name, number, verdict(judge(each)))
		}
	}
	return nil
}

func verdict(err error) string {
	switch {
	case err == nil:
		return "accept"
	case errors.Is(err, unknown):
		return "unknown"
	default:
		return fmt.Sprintf("refuse %.200q", err.Error())
	}
}

func (v vector) text(name string) string {
	var found string
	must(json.Unmarshal(v[name], &found))
	return found
}

func (v vector) texts(name string) []string {
	var found []string
	must(json.Unmarshal(v[name], &found))
	return found
}

func (v vector) number(name string) int64 {
	var found int64
	must(json.Unmarshal(v[name], &found))
	return found
}

func (v vector) null(name string) bool { return string(v[name]) == "null" }

func (v vector) bytes(name string) []byte {
	found, err := hex.DecodeString(v.text(name))
	must(err)
	return found
}

func (v vector) hash(name string) (tlog.Hash, error) { return toHash(v.bytes(name)) }

func (v vector) hashes(name string) ([]tlog.Hash, error) {
	var found []tlog.Hash
	for _, each := range v.texts(name) {
		data, err := hex.DecodeString(each)
		must(err)
		hash, err := toHash(data)
		if err != nil {
			return nil, err
		}
		found = append(found, hash)
	}
	return found, nil
}

func toHash(data []byte) (tlog.Hash, error) {
	if len(data) != tlog.HashSize {
		return tlog.Hash{}, fmt.Errorf("a hash of %d bytes", len(data))
	}
	return *(*tlog.Hash)(data), nil
}

// must stops the program: the file of vectors itself is not what it should be.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func judgeCheckpoint(v vector) error {
	origin, tree, err := parseCheckpoint(v.text("text"))
	if err != nil {
		return err
	}
	root, err := v.hash("root")
	if err != nil {
		return err
	}
	if origin != v.text("origin") || tree.N != v.number("size") || tree.Hash != root {
		return fmt.Errorf("it says %s, %d, %v", origin, tree.N, tree.Hash)
	}
	return nil
}

func parseCheckpoint(text string) (string, tlog.Tree, error) {
	lines := strings.Split(text, "\n")
	last := len(lines) - 1
	if last < 3 || lines[last] != "" || lines[0] == "" {
		return "", tlog.Tree{}, fmt.Errorf("no checkpoint: %q", text)
	}
	for _, line := range lines[3:last] {
		if line == "" {
			return "", tlog.Tree{}, fmt.Errorf("an empty line")
		}
	}
	size, err := decimal(lines[1])
	if err != nil {
		return "", tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	if err == nil && root.String() != lines[2] {
		err = fmt.Errorf("base64 %q", lines[2])
	}
	return lines[0], tlog.Tree{N: size, Hash: root}, err
}

func decimal(text string) (int64, error) {
	size, err := strconv.ParseInt(text, 10, 64)
	if err == nil && (size < 0 || strconv.FormatInt(size, 10) != text) {
		err = fmt.Errorf("number %q", text)
	}
	return size, err
}

// judgePath reads the path with the library, whose paths also name the height.
func judgePath(v vector) error {
	path, kind := v.text("path"), v.text("kind")
	after := strings.TrimPrefix(path, "tile/")
	named := "tile/8/" + after
	if kind == "entries" {
		named = "tile/8/data/" + strings.TrimPrefix(after, "entries/")
	}
	tile, err := tlog.ParseTilePath(named)
	if err != nil {
		return err
	}
	level := strconv.Itoa(tile.L)
	if tile.L == -1 {
		level = "entries"
	}
	if level != kind || tile.N != v.number("index") || int64(tile.W) != v.number("width") {
		return fmt.Errorf("it names %v", tile)
	}
	return nil
}

// judgeTile lets the library read every hash out of the tile that the root needs.
func judgeTile(v vector) error {
	data, width := v.bytes("tile"), v.number("width")
	if int64(len(data)) != width*tlog.HashSize || width > 256 || width == 0 {
		return fmt.Errorf("%d bytes, want %d hashes", len(data), width)
	}
	tile := tlog.Tile{H: 8, L: 0, N: 0, W: int(width)}
	read := func(indexes []int64) ([]tlog.Hash, error) {
		var found []tlog.Hash
		for _, index := range indexes {
			level, n := tlog.SplitStoredHashIndex(index)
			if level == 8 { // of a full tile, the hash above it
				return []tlog.Hash{above(data)}, nil
			}
			hash, err := tlog.HashFromTile(tile, data, tlog.StoredHashIndex(level, n))
			if err != nil {
				return nil, err
			}
			found = append(found, hash)
		}
		return found, nil
	}
	return sameRoot(v, width, tlog.HashReaderFunc(read))
}

func above(data []byte) tlog.Hash {
	if len(data) == tlog.HashSize {
		return *(*tlog.Hash)(data)
	}
	half := len(data) / 2
	return tlog.NodeHash(above(data[:half]), above(data[half:]))
}

func judgeBundle(v vector) error {
	entries, err := unbundle(v.bytes("bundle"))
	if err != nil {
		return err
	}
	all, err := store(entries)
	if err != nil {
		return err
	}
	return sameRoot(v, int64(len(entries)), all)
}

func sameRoot(v vector, size int64, hashes tlog.HashReader) error {
	found, err := tlog.TreeHash(size, hashes)
	if err != nil {
		return err
	}
	root, err := v.hash("root")
	if err == nil && root != found {
		err = fmt.Errorf("the root is %v", found)
	}
	return err
}

func unbundle(bundle []byte) ([][]byte, error) {
	var entries [][]byte
	for len(bundle) > 0 {
		if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
			return nil, fmt.Errorf("entry %d is cut off", len(entries))
		}
		end := 2 + int(binary.BigEndian.Uint16(bundle))
		entries = append(entries, bundle[2:end])
		bundle = bundle[end:]
	}
	if len(entries) == 0 || len(entries) > width {
		return nil, fmt.Errorf("%d entries", len(entries))
	}
	return entries, nil
}

func judgeInclusion(v vector) error {
	leaf, err := v.hash("leaf")
	if err != nil {
		return err
	}
	root, err := v.hash("root")
	if err != nil {
		return err
	}
	proof, err := v.hashes("proof")
	if err != nil {
		return err
	}
	size, index := v.number("size"), v.number("index")
	return tlog.CheckRecord(proof, size, root, index, leaf)
}

func judgeConsistency(v vector) error {
	old, err := v.hash("old_root")
	if err != nil {
		return err
	}
	root, err := v.hash("new_root")
	if err != nil {
		return err
	}
	proof, err := v.hashes("proof")
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, v.number("new"), root, v.number("old"), old)
}

func judgeCommitment(v vector) error {
	tag, salt, sealing := derive(v.bytes("data_key"), v.number("seq"))
	found := map[string][]byte{"tag": tag, "salt": salt, "sealing_key": sealing}
	found["entry"] = personalEntry(tag, salt, []byte(v.text("event")))
	for name, each := range found {
		if !bytes.Equal(each, v.bytes(name)) {
			return fmt.Errorf("%s is %x", name, each)
		}
	}
	return nil
}
