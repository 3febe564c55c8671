package docs_test

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	links    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	headings = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	notIn    = regexp.MustCompile(`[^\p{L}\p{N} _-]`) // what GitHub leaves out of a heading's anchor
	anyFence = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	paths    = regexp.MustCompile(`^(?:adapters|bench|cluster|cmd|compat|deploy|docs|engine|examples|internal|namespaces|parser|queues|rooms|scripts|server|tests|web)/[\w./-]+`)
)

// TestLinks: what the guides link to is there, headings too, and so are the files that they name.
func TestLinks(t *testing.T) {
	found, named := 0, 0
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() != ".." && strings.HasPrefix(d.Name(), ".")) {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(file) != ".md" {
			return nil
		}
		text := anyFence.ReplaceAllString(read(t, file), "")
		for _, link := range links.FindAllStringSubmatch(text, -1) {
			to, err := url.Parse(link[1])
			if err != nil || to.Scheme != "" {
				if err != nil {
					t.Errorf("%s: %v", file, err)
				}
				continue
			}
			found++
			target := file
			if to.Path != "" {
				target = filepath.Join(filepath.Dir(file), to.Path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s isn't there", file, link[1])
			} else if to.Fragment != "" && !anchors(read(t, target))[to.Fragment] {
				t.Errorf("%s: %s has no such heading", file, link[1])
			}
		}
		for _, span := range spans.FindAllStringSubmatch(text, -1) {
			path := strings.TrimRight(paths.FindString(span[1]), ".")
			if path == "" || strings.ContainsAny(span[1], "*{<") {
				continue
			}
			named++
			if _, err := os.Stat(filepath.Join("..", path)); err != nil {
				t.Errorf("%s: %s isn't there", file, path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 60 || named < 100 {
		t.Errorf("only %d links and %d files were found", found, named)
	}
}

// anchors are the fragments that lead to headings of a text, as GitHub makes them.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, h := range headings.FindAllStringSubmatch(anyFence.ReplaceAllString(text, ""), -1) {
		title := links.ReplaceAllString(strings.NewReplacer("`", "", "[", "").Replace(h[1]), "")
		all[strings.ReplaceAll(notIn.ReplaceAllString(strings.ToLower(title), ""), " ", "-")] = true
	}
	return all
}
