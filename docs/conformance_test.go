package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testFunc   = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w*)\(`)
	testName   = regexp.MustCompile(`\b(?:Test|Fuzz|Example)(?:[A-Z_]\w*)?\b`)
	suiteTest  = regexp.MustCompile(`(?m)^\t"([^"]+)": func\(s \*suite\)|^var (\w+Tests) = `)
	suiteGroup = regexp.MustCompile(`\{"(\w+)", (\w+Tests)\}`)
	transcript = regexp.MustCompile(`transcript: ([a-z0-9-]*[a-z0-9])`)
	scenarios  = regexp.MustCompile(`e2e: ([a-z]+(?:, [a-z]+)*)`)
	prefix     = regexp.MustCompile(`^([a-z0-9]+): `)
)

// testsOf returns the tests of all packages, as "queues.TestInbox" by the last part of the folder's name; and by name alone.
func testsOf(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && d.Name() != "..") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		for _, f := range testFunc.FindAllStringSubmatch(read(t, path), -1) {
			all[f[1]], all[filepath.Base(filepath.Dir(path))+"."+f[1]] = true, true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// suiteTests returns the tests that every store of queues passes, as "settle/ack".
func suiteTests(t *testing.T) map[string]bool {
	t.Helper()
	files, _ := filepath.Glob("../queues/queuetest/*.go")
	groups, all := map[string]string{}, map[string]bool{}
	for _, m := range suiteGroup.FindAllStringSubmatch(read(t, "../queues/queuetest/queuetest.go"), -1) {
		groups[m[2]] = m[1]
	}
	for _, file := range files {
		group := ""
		for _, m := range suiteTest.FindAllStringSubmatch(read(t, file), -1) {
			if m[2] != "" {
				group = groups[m[2]]
			} else {
				all[group+"/"+m[1]] = true
			}
		}
	}
	return all
}

func exists(path string) bool {
	_, err := os.Stat(filepath.Join("..", path))
	return err == nil
}

// TestConformance: the tests that the tables of conformance name are there.
func TestConformance(t *testing.T) {
	tests := testsOf(t)
	docs, _ := filepath.Glob("conformance-*.md")
	if len(docs) < 4 {
		t.Fatalf("only %v", docs)
	}
	for _, doc := range docs {
		named := 0
		for line := range strings.Lines(read(t, doc)) {
			if !strings.HasPrefix(line, "|") {
				continue
			}
			for _, name := range testName.FindAllString(line, -1) {
				named++
				if !tests[name] {
					t.Errorf("%s: there is no %s", doc, name)
				}
			}
			for _, m := range transcript.FindAllStringSubmatch(line, -1) {
				if !exists("server/testdata/" + m[1] + ".txt") {
					t.Errorf("%s: there is no transcript %s", doc, m[1])
				}
			}
			for _, m := range scenarios.FindAllStringSubmatch(line, -1) {
				for name := range strings.SplitSeq(m[1], ", ") {
					if !exists("tests/e2e/"+name+".test.mjs") && !exists("tests/e2e/scenarios/"+name+".mjs") {
						t.Errorf("%s: there is no scenario %s", doc, name)
					}
				}
			}
		}
		if named < 15 {
			t.Errorf("%s: only %d tests were found", doc, named)
		}
	}
}

// TestPromises: each promise of queues has its code and a proof, and both are there.
func TestPromises(t *testing.T) {
	const doc = "conformance-queues.md"
	tests, suite := testsOf(t), suiteTests(t)
	chaos := ""
	files, _ := filepath.Glob("../tests/chaos/*.go")
	for _, file := range files {
		chaos += read(t, file)
	}
	promises, _, ok := strings.Cut(read(t, doc), "## Where we differ")
	if !ok {
		t.Fatal("the differences are missing")
	}
	rows := 0
	for line := range strings.Lines(promises) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if !strings.HasPrefix(line, "| ") || cells[len(cells)-1] == "proof " {
			continue
		}
		if rows++; len(cells) != 3 {
			t.Errorf("not three columns: %s", line)
			continue
		}
		for _, code := range spans.FindAllStringSubmatch(cells[1], -1) {
			if !exists(code[1]) {
				t.Errorf("there is no %s", code[1])
			}
		}
		proofs := 0
		for part := range strings.SplitSeq(cells[2], "; ") {
			kind := "queues"
			if m := prefix.FindStringSubmatch(strings.TrimSpace(part)); m != nil {
				kind = m[1]
			}
			for _, span := range spans.FindAllStringSubmatch(part, -1) {
				file, title, _ := strings.Cut(span[1], ": ")
				switch {
				case kind == "suite" && suite[span[1]], kind == "chaos" && strings.Contains(chaos, `"`+span[1]+`"`):
				case kind == "e2e" && exists("tests/e2e/"+file) && strings.Contains(read(t, "../tests/e2e/"+file), title):
				default:
					t.Errorf("%s: there is no %s", kind, span[1])
				}
				proofs++
			}
			for _, name := range testName.FindAllString(part, -1) {
				if !tests[kind+"."+name] {
					t.Errorf("%s has no %s", kind, name)
				}
				proofs++
			}
		}
		if proofs == 0 {
			t.Errorf("nothing proves %q", cells[0])
		}
	}
	if rows < 100 {
		t.Errorf("only %d promises were found", rows)
	}
}
