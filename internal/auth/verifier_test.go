package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/roomcast/roomcast/internal/config"
)

const secret = "0123456789abcdef0123456789abcdef"

var (
	rsaKey, _      = rsa.GenerateKey(rand.Reader, 2048)
	ecKey, _       = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, edKey, _    = ed25519.GenerateKey(rand.Reader)
	otherRSAKey, _ = rsa.GenerateKey(rand.Reader, 2048)
)

// file writes b to a file of the test's.
func file(t *testing.T, b []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func publicPEM(t *testing.T, k crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// sign makes a token. Claims that are nil are left out of the usual ones.
func sign(t *testing.T, alg, kid string, k any, change map[string]any) string {
	t.Helper()
	c := jwt.MapClaims{"sub": "ann", "exp": time.Now().Add(time.Hour).Unix(), "iss": "us", "aud": "roomcast"}
	for name, v := range change {
		if c[name] = v; v == nil {
			delete(c, name)
		}
	}
	token := jwt.NewWithClaims(jwt.GetSigningMethod(alg), c)
	if kid != "" {
		token.Header["kid"] = kid
	}
	s, err := token.SignedString(k)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// forge puts a token together without any library.
func forge(header, claims map[string]any, signature string) string {
	h, _ := json.Marshal(header)
	c, _ := json.Marshal(claims)
	b64 := base64.RawURLEncoding
	return b64.EncodeToString(h) + "." + b64.EncodeToString(c) + "." + signature
}

func TestVerify(t *testing.T) {
	rsaPEM := publicPEM(t, rsaKey)
	synctest.Test(t, func(t *testing.T) {
		v, err := New(config.Auth{
			Keys: []config.Key{
				{Secret: secret},
				{ID: "rsa", PublicKeyFile: file(t, rsaPEM)},
				{ID: "ec", PublicKeyFile: file(t, publicPEM(t, ecKey))},
				{ID: "ed", PublicKeyFile: file(t, publicPEM(t, edKey))},
			},
			Issuer: "us", Audience: "roomcast",
			Leeway: config.Duration(30 * time.Second), MaxToken: 8 << 10,
		})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		in := func(d time.Duration) map[string]any { return map[string]any{"exp": now.Add(d).Unix()} }
		usual := map[string]any{"sub": "ann", "exp": now.Add(time.Hour).Unix(), "iss": "us", "aud": "roomcast"}
		long := sign(t, "HS256", "", []byte(secret), nil)

		for _, tt := range []struct {
			name  string
			token string
			err   error // nil: believed
		}{
			{"HS256", sign(t, "HS256", "", []byte(secret), nil), nil},
			{"HS256 with some kid", sign(t, "HS256", "any", []byte(secret), nil), nil},
			{"RS256", sign(t, "RS256", "rsa", rsaKey, nil), nil},
			{"ES256", sign(t, "ES256", "ec", ecKey, nil), nil},
			{"EdDSA", sign(t, "EdDSA", "ed", edKey, nil), nil},
			{"list of audiences", sign(t, "HS256", "", []byte(secret), map[string]any{"aud": []string{"x", "roomcast"}}), nil},
			{"expired within the leeway", sign(t, "HS256", "", []byte(secret), in(-29*time.Second)), nil},
			{"not yet valid, within the leeway", sign(t, "HS256", "", []byte(secret), map[string]any{"nbf": now.Add(29 * time.Second).Unix()}), nil},

			{"no token", "", ErrInvalid},
			{"no JWT", "abc", ErrInvalid},
			{"dots", strings.Repeat(".", 8<<10), ErrInvalid},
			{"too long", long + strings.Repeat("A", 8<<10), ErrTooLong},
			{"a hundred thousand dots", strings.Repeat(".", 100_000), ErrTooLong},
			{"expired", sign(t, "HS256", "", []byte(secret), in(-31*time.Second)), ErrExpired},
			{"no exp", sign(t, "HS256", "", []byte(secret), map[string]any{"exp": nil}), ErrInvalid},
			{"exp is text", sign(t, "HS256", "", []byte(secret), map[string]any{"exp": "tomorrow"}), ErrInvalid},
			{"exp overflows", sign(t, "HS256", "", []byte(secret), map[string]any{"exp": 1e15}), ErrInvalid},
			{"not yet valid", sign(t, "HS256", "", []byte(secret), map[string]any{"nbf": now.Add(time.Minute).Unix()}), ErrInvalid},
			{"no sub", sign(t, "HS256", "", []byte(secret), map[string]any{"sub": nil}), ErrInvalid},
			{"long sub", sign(t, "HS256", "", []byte(secret), map[string]any{"sub": strings.Repeat("a", 256)}), ErrInvalid},
			{"other issuer", sign(t, "HS256", "", []byte(secret), map[string]any{"iss": "them"}), ErrInvalid},
			{"other issuer, same kid", sign(t, "RS256", "rsa", rsaKey, map[string]any{"iss": "them"}), ErrInvalid},
			{"no issuer", sign(t, "HS256", "", []byte(secret), map[string]any{"iss": nil}), ErrInvalid},
			{"other audience", sign(t, "HS256", "", []byte(secret), map[string]any{"aud": "shop"}), ErrInvalid},
			{"no audience", sign(t, "HS256", "", []byte(secret), map[string]any{"aud": nil}), ErrInvalid},
			{"other secret", sign(t, "HS256", "", []byte("another"+secret), nil), ErrInvalid},
			{"other key, same kid", sign(t, "RS256", "rsa", otherRSAKey, nil), ErrInvalid},
			{"right key, wrong kid", sign(t, "RS256", "ec", rsaKey, nil), ErrInvalid},
			{"right key, no kid", sign(t, "RS256", "", rsaKey, nil), ErrInvalid},
			{"kid is a URL", sign(t, "RS256", "https://evil.example/jwks", rsaKey, nil), ErrInvalid},
			{"algorithm not listed", sign(t, "HS512", "", []byte(secret), nil), ErrInvalid},
			{"RSA key as HS256 secret", sign(t, "HS256", "rsa", rsaPEM, nil), ErrInvalid},
			{"none", sign(t, "none", "", jwt.UnsafeAllowNoneSignatureType, nil), ErrInvalid},
			{"None", forge(map[string]any{"alg": "None", "typ": "JWT"}, usual, ""), ErrInvalid},
			{"no algorithm", forge(map[string]any{"typ": "JWT"}, usual, ""), ErrInvalid},
			{"no signature", forge(map[string]any{"alg": "HS256"}, usual, ""), ErrInvalid},
			{"kid isn't text", forge(map[string]any{"alg": "RS256", "kid": 1}, usual, "AAAA"), ErrInvalid},
		} {
			u, err := v.Verify(tt.token)
			if !errors.Is(err, tt.err) {
				t.Errorf("%s: got %v, want %v", tt.name, err, tt.err)
			}
			if (err == nil) != (u.ID == "ann") {
				t.Errorf("%s: user %+v with error %v", tt.name, u, err)
			}
		}
	})
}

func TestUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, err := New(config.Auth{Keys: []config.Key{{Secret: secret}}, Leeway: config.Duration(30 * time.Second), MaxToken: 8 << 10})
		if err != nil {
			t.Fatal(err)
		}
		exp := time.Now().Add(time.Minute).Truncate(time.Second)
		for _, tt := range []struct {
			claims map[string]any
			name   string
		}{
			{map[string]any{"exp": exp.Unix(), "name": " Ann "}, "Ann"},
			{map[string]any{"exp": exp.Unix()}, "ann"},
		} {
			u, err := v.Verify(sign(t, "HS256", "", []byte(secret), tt.claims))
			if err != nil {
				t.Fatal(err)
			}
			if u.ID != "ann" || u.Name != tt.name || !u.Expires.Equal(exp.Add(30*time.Second)) {
				t.Errorf("got %+v", u)
			}
		}
	})
}

func TestKeysThatAreRefused(t *testing.T) {
	weak, _ := rsa.GenerateKey(rand.Reader, 1024)
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	private, _ := x509.MarshalPKCS8PrivateKey(ecKey)
	for _, tt := range []struct {
		name string
		key  config.Key
		want string
	}{
		{"missing file", config.Key{PublicKeyFile: "/does/not/exist"}, "no such file"},
		{"short secret", config.Key{SecretFile: file(t, []byte("short\n"))}, "has 5 bytes"},
		{"huge file", config.Key{SecretFile: file(t, make([]byte, 1<<20))}, "larger than"},
		{"no PEM", config.Key{PublicKeyFile: file(t, []byte(secret))}, "isn't PEM"},
		{"private key", config.Key{PublicKeyFile: file(t, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))}, "a PUBLIC KEY is needed"},
		{"weak RSA key", config.Key{PublicKeyFile: file(t, publicPEM(t, weak))}, "too short"},
		{"curve", config.Key{PublicKeyFile: file(t, publicPEM(t, p224))}, "isn't supported"},
		{"none", config.Key{Secret: secret, Algorithms: []string{"none"}}, `"none" doesn't fit a secret`},
		{"RSA with HS256", config.Key{PublicKeyFile: file(t, publicPEM(t, rsaKey)), Algorithms: []string{"RS256", "HS256"}}, `"HS256" doesn't fit`},
	} {
		_, err := New(config.Auth{Keys: []config.Key{tt.key}})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}

func TestSecretFileWithNewline(t *testing.T) {
	v, err := New(config.Auth{Keys: []config.Key{{SecretFile: file(t, []byte(secret+"\n"))}}, MaxToken: 8 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(sign(t, "HS256", "", []byte(secret), nil)); err != nil {
		t.Error(err)
	}
}
