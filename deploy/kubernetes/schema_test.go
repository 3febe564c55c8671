// Package kubernetes has no code: its test checks the manifests against the types of Kubernetes' API.
package kubernetes

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// objects are what the manifests may contain.
var objects = map[metav1.TypeMeta]func() any{
	{APIVersion: "v1", Kind: "ConfigMap"}:                       func() any { return new(corev1.ConfigMap) },
	{APIVersion: "v1", Kind: "Service"}:                         func() any { return new(corev1.Service) },
	{APIVersion: "apps/v1", Kind: "Deployment"}:                 func() any { return new(appsv1.Deployment) },
	{APIVersion: "apps/v1", Kind: "StatefulSet"}:                func() any { return new(appsv1.StatefulSet) },
	{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"}:      func() any { return new(policyv1.PodDisruptionBudget) },
	{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"}: func() any { return new(networkingv1.NetworkPolicy) },
}

// strict decodes one object. Unknown fields, fields that are there twice, and values of another type are errors.
func strict(doc []byte) error {
	var is metav1.TypeMeta
	if err := yaml.Unmarshal(doc, &is); err != nil {
		return err
	}
	object := objects[is]
	if object == nil {
		return errors.New("unknown: " + is.APIVersion + " " + is.Kind)
	}
	return yaml.UnmarshalStrict(doc, object())
}

func TestManifests(t *testing.T) {
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no manifests", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
		for n := 1; ; n++ {
			doc, err := docs.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				err = strict(doc)
			}
			if err != nil {
				t.Errorf("%s, object %d: %v", file, n, err)
			}
		}
	}
}

// TestStrict: the test sees what is wrong.
func TestStrict(t *testing.T) {
	for doc, want := range map[string]bool{
		"apiVersion: v1\nkind: Service\nspec: { ports: [{ port: 80 }] }":        true,
		"apiVersion: v1\nkind: Service\nspec: { ports: [{ prt: 80 }] }":         false,
		"apiVersion: v1\nkind: Service\nspec: { ports: [{ port: eighty }] }":    false,
		"apiVersion: v1\nkind: Service\nspec: { type: X, type: Y }":             false,
		"apiVersion: apps/v1beta1\nkind: Deployment":                            false,
		"apiVersion: apps/v1\nkind: Deployment\nspec: { replicas: 3, pods: 1 }": false,
	} {
		if err := strict([]byte(doc)); (err == nil) != want {
			t.Errorf("%s: %v", doc, err)
		}
	}
}
