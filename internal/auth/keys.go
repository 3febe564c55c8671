// Package auth verifies the JSON Web Tokens that clients show.
package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/roomcast/roomcast/internal/config"
)

const (
	maxKeyFile = 64 << 10
	minSecret  = 32   // bytes, as many as HS256 has
	minRSA     = 2048 // bits
)

// key is one key with the only algorithms that it is used for. Which it is used
// for is never the token's choice.
type key struct {
	id         string // kid; "" matches every token
	algorithms []string
	material   jwt.VerificationKey
}

func loadKey(k config.Key) (key, error) {
	if k.PublicKeyFile != "" {
		return loadPublic(k)
	}
	secret := []byte(k.Secret)
	if k.SecretFile != "" {
		b, err := readFile(k.SecretFile)
		if err != nil {
			return key{}, err
		}
		secret = bytes.TrimRight(b, "\r\n")
		if len(secret) < minSecret {
			return key{}, fmt.Errorf("%s has %d bytes; a secret needs at least %d (openssl rand -hex 32)", k.SecretFile, len(secret), minSecret)
		}
	}
	algorithms, err := choose(k.Algorithms, []string{"HS256", "HS384", "HS512"}, "a secret")
	return key{k.ID, algorithms, secret}, err
}

func loadPublic(k config.Key) (key, error) {
	b, err := readFile(k.PublicKeyFile)
	if err != nil {
		return key{}, err
	}
	public, err := parsePublic(b)
	if err != nil {
		return key{}, fmt.Errorf("%s: %w", k.PublicKeyFile, err)
	}
	var possible []string
	switch p := public.(type) {
	case *rsa.PublicKey:
		if p.N.BitLen() < minRSA {
			return key{}, fmt.Errorf("%s: an RSA key of %d bits is too short; at least %d are needed", k.PublicKeyFile, p.N.BitLen(), minRSA)
		}
		possible = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	case *ecdsa.PublicKey:
		switch p.Curve {
		case elliptic.P256():
			possible = []string{"ES256"}
		case elliptic.P384():
			possible = []string{"ES384"}
		case elliptic.P521():
			possible = []string{"ES512"}
		default:
			return key{}, fmt.Errorf("%s: the curve %s isn't supported", k.PublicKeyFile, p.Curve.Params().Name)
		}
	case ed25519.PublicKey:
		possible = []string{"EdDSA"}
	default:
		return key{}, fmt.Errorf("%s: holds a %T; RSA, ECDSA and Ed25519 are supported", k.PublicKeyFile, public)
	}
	algorithms, err := choose(k.Algorithms, possible, "the key in "+k.PublicKeyFile)
	return key{k.ID, algorithms, public}, err
}

// parsePublic reads a public key or a certificate in PEM.
func parsePublic(b []byte) (any, error) {
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, errors.New("isn't PEM")
	}
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return c.PublicKey, nil
	}
	return nil, fmt.Errorf("holds a %s; a PUBLIC KEY is needed", block.Type)
}

// choose returns the algorithms to use: those wanted, if possible, else the first.
func choose(wanted, possible []string, what string) ([]string, error) {
	if len(wanted) == 0 {
		return possible[:1], nil
	}
	for _, a := range wanted {
		if !slices.Contains(possible, a) {
			return nil, fmt.Errorf("the algorithm %q doesn't fit %s; possible: %s", a, what, strings.Join(possible, ", "))
		}
	}
	return wanted, nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(b) > maxKeyFile {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxKeyFile)
	}
	return b, err
}
