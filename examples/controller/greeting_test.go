package main

import (
	"os"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestText(t *testing.T) {
	for _, row := range []struct {
		name string
		spec GreetingSpec
		want string
	}{
		{"English", GreetingSpec{"Ada", "en"}, "Hello, Ada!"},
		{"German", GreetingSpec{"Ada", "de"}, "Hallo, Ada!"},
		{"a percent sign in the name", GreetingSpec{"100%s", "en"}, "Hello, 100%s!"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := text(row.spec)
			if err != nil || got != row.want {
				t.Errorf("text(%+v) = %q, %v; want %q", row.spec, got, err, row.want)
			}
		})
	}
	if _, err := text(GreetingSpec{"Ada", "tlh"}); err == nil {
		t.Error("a language that nobody wrote a text for must be an error")
	}
}

func TestEnumOfTheCRDIsTheTable(t *testing.T) {
	crd, err := os.ReadFile("deploy/crd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	line := "enum: [de, en, es, fr, ja]"
	if !strings.Contains(string(crd), line) {
		t.Errorf("deploy/crd.yaml lacks %q", line)
	}
	for language := range texts {
		if !strings.Contains(line, language) {
			t.Errorf("language %q is in the table and not in the CRD", language)
		}
	}
}

func TestUpToDate(t *testing.T) {
	greeting := &Greeting{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "ada", UID: "1"},
		Spec:       GreetingSpec{"Ada", "en"},
	}
	wanted, err := configMapFor(greeting)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		change func(*unstructured.Unstructured)
		want   bool
	}{
		{"as wanted", func(*unstructured.Unstructured) {}, true},
		{"another's label", func(o *unstructured.Unstructured) {
			_ = unstructured.SetNestedField(o.Object, "x", "metadata", "labels", "y")
		}, true},
		{"our label gone", func(o *unstructured.Unstructured) { o.SetLabels(nil) }, false},
		{"text edited", func(o *unstructured.Unstructured) { _ = unstructured.SetNestedField(o.Object, "x", "data", "greeting") }, false},
		{"a key more", func(o *unstructured.Unstructured) { _ = unstructured.SetNestedField(o.Object, "x", "data", "y") }, false},
		{"no data", func(o *unstructured.Unstructured) { delete(o.Object, "data") }, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			found := wanted.DeepCopy()
			row.change(found)
			if got := upToDate(found, wanted); got != row.want {
				t.Errorf("upToDate = %v, want %v", got, row.want)
			}
		})
	}
}
