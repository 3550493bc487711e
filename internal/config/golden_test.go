package config

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// testNow stands for today in all tests.
var testNow = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// parseFile parses a file of testdata with paths relative to it and today fixed.
func parseFile(t *testing.T, path string) (*Config, *Report) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return parse(filepath.Base(path), text, filepath.Dir(path), testNow)
}

// parseText parses a file that names no other.
func parseText(t *testing.T, text string) (*Config, *Report) {
	t.Helper()
	return parse("weir.toml", []byte(text), t.TempDir(), testNow)
}

// mustParse is parseText for files without errors.
func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, r := parseText(t, text)
	if !r.OK() {
		t.Fatal(r.Err())
	}
	return c
}

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/check/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			_, r := parseFile(t, path)
			var b strings.Builder
			if _, err := r.WriteTo(&b); err != nil {
				t.Fatal(err)
			}
			dir, err := filepath.Abs(filepath.Dir(path))
			if err != nil {
				t.Fatal(err)
			}
			got := strings.ReplaceAll(b.String(), dir, "$DIR")
			golden := strings.TrimSuffix(path, ".toml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestGoodFilesHaveNoErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/good/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, path := range files {
		c, r := parseFile(t, path)
		if c == nil || !r.OK() {
			t.Errorf("%s: %v", path, r.Err())
		}
	}
}
