package e2e

import (
	"encoding/xml"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// junit is the part of the JUnit format that readers of test results agree on.
type junit struct {
	mutex    sync.Mutex
	XMLName  xml.Name `xml:"testsuite"`
	Name     string   `xml:"name,attr"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Skipped  int      `xml:"skipped,attr"`
	Time     string   `xml:"time,attr"`
	Cases    []junitCase

	total time.Duration
}

type junitCase struct {
	XMLName   xml.Name      `xml:"testcase"`
	Name      string        `xml:"name,attr"`
	ClassName string        `xml:"classname,attr"`
	Time      string        `xml:"time,attr"`
	Failure   *junitFailure `xml:"failure"`
	Skipped   *struct{}     `xml:"skipped"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

func (j *junit) add(t *testing.T, took time.Duration, failures []string) {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	result := junitCase{Name: t.Name(), ClassName: "e2e", Time: seconds(took)}
	j.Tests++
	j.total += took
	switch {
	case t.Failed():
		j.Failures++
		text := strings.Join(failures, "\n")
		first, _, _ := strings.Cut(text, "\n")
		result.Failure = &junitFailure{Message: first, Text: text}
	case t.Skipped():
		j.Skipped++
		result.Skipped = &struct{}{}
	}
	j.Cases = append(j.Cases, result)
}

func (j *junit) write(file string) error {
	j.mutex.Lock()
	defer j.mutex.Unlock()
	j.Time = seconds(j.total)
	text, err := xml.MarshalIndent(j, "", "  ")
	if err == nil {
		err = os.WriteFile(file, []byte(xml.Header+string(text)+"\n"), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the report of the tests: %w", err)
	}
	return nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
