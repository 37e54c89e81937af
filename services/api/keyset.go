package api

import (
	"encoding/json"
	"fmt"

	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// readKeyset makes a sealer of the fleet's public keyset, which whoever holds
// the keyring has put into the state. A rotation is a new keyset; the keyset
// going away changes nothing, for what was sealed to it still opens.
func (p *projection) readKeyset(c state.Change) (func(), error) {
	if c.Value == nil {
		return nil, nil
	}
	var keyset seal.Keyset
	if err := json.Unmarshal(c.Value, &keyset); err != nil {
		return nil, err
	}
	sealer, err := seal.NewSealer(keyset)
	if err != nil {
		return nil, err
	}
	return func() {
		if p.sealer == nil {
			close(p.sealing)
		}
		p.sealer, p.keyset = sealer, keyset
	}, nil
}

// PublicKeyset returns the JSON of the fleet's public keyset, which publishers seal to,
// and a tag that changes with it, or ErrNotReady.
func (s *Service) PublicKeyset() (body []byte, tag string, err error) {
	keyset, known := s.keyset()
	if !known {
		_, err := s.sealer()
		return nil, "", err
	}
	body, err = json.Marshal(keyset)
	return body, keyset.Fingerprint(), err
}

// sealer returns the sealer for the fleet's keyset, or ErrNotReady.
func (s *Service) sealer() (*seal.Sealer, error) {
	s.view.mu.RLock()
	defer s.view.mu.RUnlock()
	if s.view.sealer == nil {
		return nil, fmt.Errorf("%w: the fleet's public keyset is not known yet; "+
			"an exchanger publishes it when it starts", ErrNotReady)
	}
	return s.view.sealer, nil
}
