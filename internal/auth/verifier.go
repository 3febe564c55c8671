package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/roomcast/roomcast/internal/config"
)

// Why a token isn't believed. The words may be shown to the client.
var (
	ErrTooLong = errors.New("auth: the token is too long")
	ErrExpired = errors.New("auth: the token has expired")
	ErrInvalid = errors.New("auth: the token is invalid")
)

const (
	maxUser = 255     // bytes of sub
	maxExp  = 1 << 40 // Unix seconds; beyond, arithmetic on times overflows
)

// User is whom a token names.
type User struct {
	ID      string    // sub
	Name    string    // the claim name, or ID
	Roles   []string  // of the claim that the settings name
	Expires time.Time // when the token is no longer believed: exp and the leeway
}

// Verifier believes tokens that one of its keys has signed.
type Verifier struct {
	keys     []key
	parser   *jwt.Parser
	leeway   time.Duration
	maxToken int
	roles    string // name of a claim, or "" if there are no roles
}

// New reads the keys. The error says which one is unusable, and why.
func New(c config.Auth) (*Verifier, error) {
	v := &Verifier{leeway: max(c.Leeway.Std(), 0), maxToken: int(c.MaxToken), roles: c.Roles}
	var methods []string
	for i, k := range c.Keys {
		loaded, err := loadKey(k)
		if err != nil {
			return nil, fmt.Errorf("auth: key %d: %w", i, err)
		}
		v.keys = append(v.keys, loaded)
		methods = append(methods, loaded.algorithms...)
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods(methods),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(v.leeway),
		jwt.WithStrictDecoding(),
	}
	if c.Issuer != "" {
		options = append(options, jwt.WithIssuer(c.Issuer))
	}
	if c.Audience != "" {
		options = append(options, jwt.WithAudience(c.Audience))
	}
	v.parser = jwt.NewParser(options...)
	return v, nil
}

type claims struct {
	jwt.RegisteredClaims
	Name string `json:"name"`

	all json.RawMessage
}

// UnmarshalJSON keeps all claims beside those that are known.
func (c *claims) UnmarshalJSON(b []byte) error {
	type known claims
	c.all = bytes.Clone(b)
	return json.Unmarshal(b, (*known)(c))
}

// Verify returns the user whom token names. The error is ErrTooLong, ErrExpired
// or wraps ErrInvalid, with a cause that is for logs rather than for clients.
func (v *Verifier) Verify(token string) (User, error) {
	if len(token) > v.maxToken {
		return User{}, ErrTooLong
	}
	var c claims
	_, err := v.parser.ParseWithClaims(token, &c, v.candidates)
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return User{}, ErrExpired
	case err != nil:
		return User{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	case c.ExpiresAt.Unix() > maxExp:
		return User{}, fmt.Errorf("%w: exp is beyond all calendars", ErrInvalid)
	case c.Subject == "" || len(c.Subject) > maxUser || !utf8.ValidString(c.Subject):
		return User{}, fmt.Errorf("%w: sub must have 1 to %d bytes", ErrInvalid, maxUser)
	}
	var roles []string
	if v.roles != "" {
		if roles, err = rolesOf(c.all, v.roles); err != nil {
			return User{}, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	u := User{ID: c.Subject, Name: strings.TrimSpace(c.Name), Roles: roles, Expires: c.ExpiresAt.Add(v.leeway)}
	if u.Name == "" {
		u.Name = u.ID
	}
	return u, nil
}

// candidates returns the keys that may have signed a token: those made for its
// algorithm whose id is the one it names, or that have none.
func (v *Verifier) candidates(t *jwt.Token) (any, error) {
	kid, _ := t.Header["kid"].(string)
	var set jwt.VerificationKeySet
	for _, k := range v.keys {
		if slices.Contains(k.algorithms, t.Method.Alg()) && (k.id == "" || k.id == kid) {
			set.Keys = append(set.Keys, k.material)
		}
	}
	if len(set.Keys) == 0 {
		return nil, errors.New("no key has its kid and algorithm")
	}
	return set, nil
}
