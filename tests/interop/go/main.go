// Verifies a published log with golang.org/x/mod/sumdb/{note,tlog}, which share nothing with ours.
//
//	verify DIR VKEY            checkpoint, every tile, every entry, inclusion and consistency
//	verify DIR VKEY RECEIPT    a receipt's proof, against the entry that DIR publishes
//	verify vectors DIR NAME…   what each case of these files of vectors is: accepted or refused
package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const width = 256

func main() {
	var said string
	var err error
	if len(os.Args) > 3 && os.Args[1] == "vectors" {
		if err := judgeVectors(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	switch len(os.Args) {
	case 3:
		said, err = verifyLog(os.Args[1], os.Args[2])
	case 4:
		said, err = verifyReceipt(os.Args[1], os.Args[2], os.Args[3])
	default:
		err = fmt.Errorf("want DIR VKEY [RECEIPT]")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(said)
}

func verifyLog(dir, vkey string) (string, error) {
	signed, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return "", err
	}
	tree, err := openCheckpoint(signed, vkey)
	if err != nil {
		return "", err
	}
	hashes := tlog.TileHashReader(tree, directory(dir))
	entries, err := readEntries(dir, tree.N)
	if err != nil {
		return "", err
	}
	if err := checkRoot(tree, entries); err != nil {
		return "", err
	}
	for index, entry := range entries {
		if index%97 != 0 && int64(index) < tree.N-3 && index > 3 {
			continue // each entry is under the root already; proofs are sampled
		}
		if err := checkInclusion(tree, hashes, int64(index), entry); err != nil {
			return "", err
		}
	}
	steps, err := checkConsistency(tree, hashes, entries)
	if err != nil {
		return "", err
	}
	if err := checkTiles(dir, tree, hashes); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d entries, %d consistency proofs", len(entries), steps), nil
}

func openCheckpoint(signed []byte, vkey string) (tlog.Tree, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tlog.Tree{}, err
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() || lines[3] != "" {
		return tlog.Tree{}, fmt.Errorf("no checkpoint of %s: %q", verifier.Name(), opened.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || strconv.FormatInt(size, 10) != lines[1] {
		return tlog.Tree{}, fmt.Errorf("size %q", lines[1])
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

func readEntries(dir string, size int64) ([][]byte, error) {
	var entries [][]byte
	for n := int64(0); n*width < size; n++ {
		w := size - n*width
		if w > width {
			w = width
		}
		bundle, err := os.ReadFile(filepath.Join(dir, "tile", "entries", number(n, w)))
		if err != nil {
			return nil, err
		}
		found, err := unbundle(bundle)
		if err != nil || int64(len(found)) != w {
			return nil, fmt.Errorf("bundle %d has %d entries, want %d: %v", n, len(found), w, err)
		}
		entries = append(entries, found...)
	}
	return entries, nil
}

// stored keeps all hashes of a tree in the order of tlog.StoredHashIndex.
type stored []tlog.Hash

func (s stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		out[i] = s[at]
	}
	return out, nil
}

func store(entries [][]byte) (stored, error) {
	var all stored
	for i, entry := range entries {
		added, err := tlog.StoredHashes(int64(i), entry, all)
		if err != nil {
			return nil, err
		}
		all = append(all, added...)
	}
	return all, nil
}

func checkRoot(tree tlog.Tree, entries [][]byte) error {
	all, err := store(entries)
	if err != nil {
		return err
	}
	root, err := tlog.TreeHash(tree.N, all)
	if err != nil {
		return err
	}
	if root != tree.Hash {
		return fmt.Errorf("the entries lead to %v, the checkpoint says %v", root, tree.Hash)
	}
	return nil
}

func checkInclusion(tree tlog.Tree, hashes tlog.HashReader, index int64, entry []byte) error {
	proof, err := tlog.ProveRecord(tree.N, index, hashes)
	if err != nil {
		return fmt.Errorf("entry %d: %w", index, err)
	}
	return tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry))
}

func checkConsistency(tree tlog.Tree, hashes tlog.HashReader, entries [][]byte) (int, error) {
	all, err := store(entries)
	if err != nil {
		return 0, err
	}
	steps := 0
	for old := int64(1); old <= tree.N; old += 1 + old/3 {
		root, err := tlog.TreeHash(old, all)
		if err != nil {
			return steps, err
		}
		proof, err := tlog.ProveTree(tree.N, old, hashes)
		if err != nil {
			return steps, err
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, old, root); err != nil {
			return steps, fmt.Errorf("from %d: %w", old, err)
		}
		steps++
	}
	return steps, nil
}

// checkTiles reads each hash of each tile, which the reader checks against the root.
func checkTiles(dir string, tree tlog.Tree, hashes tlog.HashReader) error {
	for level := 0; tree.N>>(8*uint(level)) > 0; level++ {
		count := tree.N >> (8 * uint(level))
		for n := int64(0); n*width < count; n++ {
			w := count - n*width
			if w > width {
				w = width
			}
			data, err := os.ReadFile(filepath.Join(dir, "tile", strconv.Itoa(level), number(n, w)))
			if err != nil {
				return err
			}
			var indexes []int64
			for i := int64(0); i < w; i++ {
				indexes = append(indexes, tlog.StoredHashIndex(8*level, n*width+i))
			}
			found, err := hashes.ReadHashes(indexes)
			if err != nil {
				return err
			}
			var want bytes.Buffer
			for _, hash := range found {
				want.Write(hash[:])
			}
			if !bytes.Equal(data, want.Bytes()) {
				return fmt.Errorf("tile %d/%d differs", level, n)
			}
		}
	}
	return nil
}

func verifyReceipt(dir, vkey, path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	head, signed, ok := strings.Cut(string(data), "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return "", fmt.Errorf("no tlog-proof")
	}
	tree, err := openCheckpoint([]byte(signed), vkey)
	if err != nil {
		return "", err
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	if err != nil {
		return "", err
	}
	var proof tlog.RecordProof
	for _, line := range lines[3:] {
		raw, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(raw) != tlog.HashSize {
			return "", fmt.Errorf("hash %q", line)
		}
		proof = append(proof, *(*tlog.Hash)(raw))
	}
	entries, err := readEntries(dir, tree.N)
	if err != nil {
		return "", err
	}
	if index < 0 || index >= int64(len(entries)) {
		return "", fmt.Errorf("index %d of %d", index, len(entries))
	}
	hash := tlog.RecordHash(entries[index])
	return fmt.Sprintf("entry %d of %d", index, tree.N), tlog.CheckRecord(proof, tree.N, tree.Hash, index, hash)
}

// directory reads C2SP tiles, whose paths leave out the height.
type directory string

func (d directory) Height() int { return 8 }

func (d directory) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, t := range tiles {
		path := filepath.Join(string(d), "tile", strconv.Itoa(t.L), number(t.N, int64(t.W)))
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}

func (d directory) SaveTiles([]tlog.Tile, [][]byte) {}

// number is 1234067 -> x001/x234/067, with .p/w for a partial tile.
func number(n, w int64) string {
	path := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		path = fmt.Sprintf("x%03d/%s", n%1000, path)
	}
	if w != width {
		path += fmt.Sprintf(".p/%d", w)
	}
	return path
}
