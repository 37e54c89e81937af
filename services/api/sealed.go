package api

import (
	"fmt"

	"github.com/rekindle-dev/rekindle/events/sealing"
	"github.com/rekindle-dev/rekindle/pkg/seal"
)

// A hidden credential is sent as text, which is sealed here, or sealed by who sent it,
// as {"sealed": "<base64>"}: then nobody can read it here, and the exchange shows
// whether it is sealed for what it was sent for.

// hiddenFields are the hidden credentials of one secret, by field name: what is
// sealed and not shown.
type hiddenFields map[string]hiddenField

// hiddenField is one of them, as it was sent.
type hiddenField struct {
	text seal.Plaintext
	// sealed is set if text is not; about is what it must have been sealed for.
	sealed sealing.Value
	about  string
}

// wipe forgets the values.
func (h hiddenFields) wipe() {
	for _, f := range h {
		f.text.Wipe()
	}
}

// SealedOnly refuses the hidden values of the document that are sent as text, and
// forgets them: those that are sealed must be so for the secret that its sender calls
// about.
func (o *Object) SealedOnly(about string) { o.report.sealedOnly, o.report.about = true, about }

// readField reads a hidden credential, once. Sealed it must be for what about says,
// unless the door it came through says something else.
func (s *Service) readField(c *Object, name, about string) (hiddenField, bool) {
	if !c.isObject(name) || c.report.sealedOnly && !c.isSealed(name) {
		text, ok := c.hidden(name, maxHidden)
		return hiddenField{text: text}, ok
	}
	if c.report.about != "" {
		about = c.report.about
	}
	value, ok := s.readSealed(c, name)
	return hiddenField{sealed: value, about: about}, ok
}

// readSealed reads a value that is sealed. What only the plaintext could tell is not
// known here.
func (s *Service) readSealed(c *Object, name string) (value sealing.Value, ok bool) {
	err := value.UnmarshalJSON(c.members[name])
	header, unread := value.Header()
	switch keyset, known := s.keyset(); {
	case err != nil, unread != nil:
		c.fault(name, `must be text, or {"sealed": "<base64>"} of what was sealed to the fleet's keyset`)
	case header.Length == 0:
		c.fault(name, "must not be empty")
	case header.Length > maxHidden:
		c.fault(name, fmt.Sprintf("must be at most %d bytes long before it is sealed", maxHidden))
	case known && !keyset.Has(header.Key):
		c.fault(name, "is sealed to a key that the fleet does not have: fetch the keyset again")
	default:
		return value, true
	}
	return sealing.Value{}, false
}

// isObject reports whether a member is a JSON object, to look at.
func (o *Object) isObject(name string) bool {
	raw, ok := o.member(name)
	return ok && raw[0] == '{'
}

// isSealed reports whether a member is a sealed value, as far as that can be seen.
func (o *Object) isSealed(name string) bool {
	var value sealing.Value
	raw, ok := o.member(name)
	if !ok || value.UnmarshalJSON(raw) != nil {
		return false
	}
	_, err := value.Header()
	return err == nil
}

// onlySealed notes what is called as what hides something, and is not sealed, whether it is
// asked for or not: it must not go unsaid.
func (o *Object) onlySealed() {
	for _, name := range sealing.Fields() {
		if !o.isSealed(name) {
			o.hidden(name, maxHidden)
		}
	}
}

// keyset returns the fleet's public keyset, if it is known.
func (s *Service) keyset() (seal.Keyset, bool) {
	s.view.mu.RLock()
	defer s.view.mu.RUnlock()
	return s.view.keyset, s.view.sealer != nil
}
