package api

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// Company is the record of an organisation's company (contract A15.1). Records
// are shared between readers: nobody may change one.
type Company struct {
	ID        string    `json:"id"`
	Org       string    `json:"org"`
	Name      string    `json:"name"`
	Token     string    `json:"token"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Property is the record of a property (contract A15.2).
type Property struct {
	ID          string   `json:"id"`
	Org         string   `json:"org"`
	Company     string   `json:"company"`
	Name        string   `json:"name"`
	Platform    Platform `json:"platform"`
	Development bool     `json:"development,omitempty"`
	// Domains are those of a web property.
	Domains []string `json:"domains,omitempty"`
	Privacy string   `json:"privacy,omitempty"`
	// Those that nobody has set are not shown.
	RuleComponentSequencing  *bool  `json:"rule_component_sequencing_enabled,omitempty"`
	SSL                      *bool  `json:"ssl_enabled,omitempty"`
	UndefinedVarsReturnEmpty *bool  `json:"undefined_vars_return_empty,omitempty"`
	Token                    string `json:"token"`
	// Host is the id of the host that environments are on that name none; empty when
	// it was deleted.
	Host      string    `json:"host"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Platform is what a property is for. Only edge properties have secrets.
type Platform string

// The platforms.
const (
	Web    Platform = "web"
	Mobile Platform = "mobile"
	Edge   Platform = "edge"
)

// Environment is the record of an environment (contract A15.3).
type Environment struct {
	ID       string `json:"id"`
	Org      string `json:"org"`
	Property string `json:"property"`
	Host     string `json:"host"`
	Name     string `json:"name"`
	Stage    Stage  `json:"stage"`
	Archive  bool   `json:"archive,omitempty"`
	// Passphrase is what archives are to be encrypted with, if anything. This package
	// can seal it, and cannot open it.
	Passphrase secret.SealedField `json:"archive_passphrase,omitzero"`
	Path       string             `json:"path,omitempty"`
	// DebugLibrary is not shown unless somebody has set it.
	DebugLibrary *bool  `json:"include_debug_library,omitempty"`
	Token        string `json:"token"`
	// LibraryPath is where its builds lie: the tokens of company and property.
	LibraryPath string    `json:"library_path"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// Encrypted reports whether archives are to be encrypted.
func (e *Environment) Encrypted() bool { return len(e.Passphrase.Sealed) > 0 }

// Stage is what an environment is for.
type Stage string

// The stages. Real clients know no others (contract A3).
const (
	Development Stage = "development"
	Staging     Stage = "staging"
	Production  Stage = "production"
)

// unique reports whether a property has but one environment of the stage.
func (s Stage) unique() bool { return s == Staging || s == Production }

// newToken returns a token of the kind that stands in library paths: 12 random
// lower-case hex digits (contract A2). It protects nothing.
func newToken() string {
	var b [6]byte
	rand.Read(b[:]) // never fails: it ends the program instead
	return hex.EncodeToString(b[:])
}

// companyID returns the id of an organisation's company: the same in every
// process, so that two that start together make one.
func companyID(org string) string {
	return stableID(secret.PrefixCompany, "rekindle.company.v1", org)
}

// stableID returns an id that is made of texts, none of which has a zero byte but
// perhaps the last. It has the form of a version 4 UUID (contract A2).
func stableID(prefix secret.Prefix, of ...string) string {
	h := sha256.Sum256([]byte(strings.Join(of, "\x00")))
	h[6] = h[6]&0x0f | 0x40
	h[8] = h[8]&0x3f | 0x80
	return string(prefix) + hex.EncodeToString(h[:16])
}
